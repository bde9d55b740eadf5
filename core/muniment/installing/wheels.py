"""Wheels: what is in one, and making one again of what is installed."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import sys
import zipfile
from configparser import ConfigParser
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from importlib.metadata import Distribution
from pathlib import Path, PurePosixPath

from muniment.config import normalised
from muniment.installing.environment import Environment
from muniment.installing.errors import InstallError
from muniment.plugins.discovery import ENTRY_POINT_GROUP

CONTRACTS = "muniment.v"  # what the group of any version of the contract begins with
_OF_INSTALLING = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel and what it says of itself; `programs` are the scripts that it has made."""

    path: Path
    name: str
    version: str
    sha256: str
    requires: tuple[str, ...]
    groups: frozenset[str]
    programs: tuple[str, ...]
    files: tuple[str, ...]

    @property
    def key(self) -> str:
        """The name as it is compared."""
        return normalised(self.name)

    @property
    def is_plugin(self) -> bool:
        """Whether it has something for Muniment, of whatever version of the contract."""
        return any(group.startswith(CONTRACTS) for group in self.groups)

    @property
    def fits(self) -> bool:
        """Whether it has something for this version of the contract."""
        return ENTRY_POINT_GROUP in self.groups

    @classmethod
    def read(cls, path: Path) -> Wheel:
        """Read a wheel; raises InstallError for what is none."""
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
                (info,) = {
                    name.partition("/")[0] for name in names if name.endswith(".dist-info/METADATA")
                }
                metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode("utf-8"))
                points = f"{info}/entry_points.txt"
                held = archive.read(points).decode("utf-8") if points in names else ""
            name, version = metadata["Name"].strip(), metadata["Version"].strip()
            groups = _groups(held)
        except (OSError, ValueError, AttributeError, KeyError, zipfile.BadZipFile) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no wheel"
            raise InstallError(str(path), f"{path} cannot be read: {why}") from None
        return cls(
            path,
            name,
            version,
            sha256_of(path),
            tuple(metadata.get_all("Requires-Dist") or ()),
            frozenset(groups),
            tuple(
                name
                for group in ("console_scripts", "gui_scripts")
                for name in groups.get(group, ())
            ),
            tuple(name for name in names if not name.endswith("/")),
        )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_editable(distribution: Distribution) -> bool:
    """Whether what is installed only points to a folder where it is being worked on."""
    held = distribution.read_text("direct_url.json") or ""
    return '"editable": true' in held or '"editable":true' in held


def repack(distribution: Distribution, environment: Environment, into: Path) -> Path:
    """Make a wheel of what is installed, as it is now; return its path.

    Raises InstallError where that cannot be: of an editable install, or without a record of files.
    """
    name, version = distribution.metadata["Name"], distribution.version
    held = distribution.read_text("WHEEL")
    if distribution.files is None or held is None or is_editable(distribution):
        how = "is installed from a folder that is being worked on (editable)"
        raise InstallError(
            name,
            f"{name} {version} {how if is_editable(distribution) else 'was not installed by pip'}, "
            "so that no wheel can be made of what is there; build one and give its path",
        )
    about: Message = Parser().parsestr(held)
    stem = f"{normalised(name).replace('-', '_')}-{version}"
    tags = [tag.strip().split("-") for tag in about.get_all("Tag") or ["py3-none-any"]]
    tag = "-".join(".".join(sorted({part[place] for part in tags})) for place in range(3))
    path = into / f"{stem}-{tag}.whl"
    rows: list[tuple[str, str, int | str]] = []
    try:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for source, target in _packed(distribution, environment, stem):
                rows.append((target, *_add(archive, source, target)))
            info = next(row[0].partition("/")[0] for row in rows if row[0].endswith("/WHEEL"))
            record = io.StringIO()
            csv.writer(record, lineterminator="\n").writerows([*rows, (f"{info}/RECORD", "", "")])
            archive.writestr(f"{info}/RECORD", record.getvalue())
    except OSError as error:
        raise InstallError(
            name, f"no wheel can be made of {name} {version}: {error.filename}: {error.strerror}"
        ) from None
    return path


def _packed(
    distribution: Distribution, environment: Environment, stem: str
) -> list[tuple[Path, str]]:
    """Return the files that belong in a wheel, and their names in it."""
    made = {point.name for point in distribution.entry_points if "scripts" in point.group}
    root = Path(str(distribution.locate_file("")))
    found: list[tuple[Path, str]] = []
    for file in distribution.files or ():
        source = Path(str(distribution.locate_file(file)))
        parts = PurePosixPath(file).parts
        if "__pycache__" in parts or source.suffix == ".pyc":
            continue
        if ".." not in parts:
            if not (parts[0].endswith(".dist-info") and parts[-1] in _OF_INSTALLING):
                found.append((source, file.as_posix()))
            continue
        source = Path(*(root / file).resolve().parts)
        if source.parent == environment.programs.resolve():
            if source.name.removesuffix(".exe") not in made:
                found.append((source, f"{stem}.data/scripts/{source.name}"))
        elif source.is_relative_to(environment.prefix.resolve()):
            relative = source.relative_to(environment.prefix.resolve()).as_posix()
            found.append((source, f"{stem}.data/data/{relative}"))
    return found


def _add(archive: zipfile.ZipFile, source: Path, target: str) -> tuple[str, int]:
    """Add a file to a wheel; return its hash and size as RECORD has them."""
    if ".data/scripts/" in target:  # pip wrote this environment's Python into it
        content = source.read_bytes()
        own = f"#!{sys.executable}".encode()
        if content.startswith(own):
            content = b"#!python" + content.removeprefix(own)
        archive.writestr(target, content)
        return _recorded(hashlib.sha256(content).digest()), len(content)
    hashed = hashlib.sha256()
    size = 0
    with source.open("rb") as read, archive.open(target, "w", force_zip64=True) as write:
        while part := read.read(_CHUNK):
            hashed.update(part)
            size += len(part)
            write.write(part)
    return _recorded(hashed.digest()), size


def _recorded(digest: bytes) -> str:
    return f"sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def _groups(entry_points: str) -> dict[str, tuple[str, ...]]:
    """Return the names of entry points by group."""
    parser = ConfigParser(delimiters=("=",), interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign] # names keep their case
    parser.read_string(entry_points)
    return {group: tuple(parser[group]) for group in parser.sections()}
