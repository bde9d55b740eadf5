"""Read the metadata of wheels, and rebuild a wheel from an installed distribution."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import sys
import zipfile
from configparser import ConfigParser
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from importlib.metadata import Distribution
from pathlib import Path, PurePosixPath

from muniment.installation import (
    COMMAND_GROUP,
    CONTRACTS,
    ENTRY_POINT_GROUP,
    InstallError,
    is_plugin_group,
    normalised,
)
from muniment_installer.environment import Environment

_WRITTEN_BY_PIP = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
_CHUNK = 1 << 20
_UNREADABLE = (OSError, ValueError, AttributeError, KeyError, csv.Error, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel and its metadata. `programs` are the scripts that installing it creates."""

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
        """The normalised name."""
        return normalised(self.name)

    @property
    def is_plugin(self) -> bool:
        """Whether it is a plugin, for any version of the contract."""
        return any(map(is_plugin_group, self.groups))

    @property
    def fits(self) -> bool:
        """Whether it is a plugin for this version of the contract, or only adds commands."""
        contracts = {group for group in self.groups if group.startswith(CONTRACTS)}
        return ENTRY_POINT_GROUP in contracts or (not contracts and COMMAND_GROUP in self.groups)

    @classmethod
    def read(cls, path: Path) -> Wheel:
        """Read the metadata of a wheel. Raise InstallError for any other file."""
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
                (info,) = {  # a wheel may contain those of packages that it vendors, too
                    name.partition("/")[0]
                    for name in names
                    if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)
                }
                metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode("utf-8"))
                points = f"{info}/entry_points.txt"
                entry_points = archive.read(points).decode("utf-8") if points in names else ""
                foreign = _recorded_files(archive, f"{info}/RECORD") - set(names)
            name, version = metadata["Name"].strip(), metadata["Version"].strip()
            groups = _groups(entry_points)
        except _UNREADABLE as error:
            why = error.strerror if isinstance(error, OSError) else "it is not a wheel"
            raise InstallError(str(path), f"{path} cannot be read: {why}") from None
        if foreign:
            raise InstallError(
                str(path), f"{path} lists files that it does not contain: {min(foreign)}"
            )
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


def _recorded_files(archive: zipfile.ZipFile, record: str) -> set[str]:
    """Return the files that a wheel lists, which pip deletes when it uninstalls the wheel."""
    text = archive.read(record).decode("utf-8") if record in archive.namelist() else ""
    return {row[0] for row in csv.reader(text.splitlines()) if row and not row[0].endswith("/")}


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_editable(distribution: Distribution) -> bool:
    """Return whether a distribution is an editable install of a source folder."""
    origin = distribution.read_text("direct_url.json") or ""
    return '"editable": true' in origin or '"editable":true' in origin


def origin_sha256(distribution: Distribution) -> str | None:
    """Return the SHA-256 of the wheel from which pip installed a distribution, where recorded.

    pip records it for a wheel that was given by its path or address.
    """
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        sha256 = origin["archive_info"]["hashes"]["sha256"]
        is_wheel = str(origin["url"]).endswith(".whl")
    except (ValueError, KeyError, TypeError):
        return None
    return sha256 if is_wheel and re.fullmatch("[0-9a-f]{64}", str(sha256)) else None


def repack(distribution: Distribution, environment: Environment, into: Path) -> Path:
    """Write a wheel with the installed files of a distribution, and return its path.

    Raises InstallError for an editable install, and for one without a list of its files.
    """
    name, version = distribution.metadata["Name"], distribution.version
    wheel = distribution.read_text("WHEEL")
    if distribution.files is None or wheel is None or is_editable(distribution):
        why = "is an editable install" if is_editable(distribution) else "was not installed by pip"
        raise InstallError(
            name,
            f"{name} {version} {why}, and cannot be turned into a wheel; build a wheel and give "
            "its path",
        )
    about: Message = Parser().parsestr(wheel)
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
            name, f"{name} {version} cannot be packed: {error.filename}: {error.strerror}"
        ) from None
    return path


def _packed(
    distribution: Distribution, environment: Environment, stem: str
) -> list[tuple[Path, str]]:
    """Return the files of a distribution that belong in a wheel, and their names there."""
    made = {point.name for point in distribution.entry_points if "scripts" in point.group}
    root = Path(str(distribution.locate_file("")))
    packed: list[tuple[Path, str]] = []
    for file in distribution.files or ():
        source = Path(str(distribution.locate_file(file)))
        parts = PurePosixPath(file).parts
        if "__pycache__" in parts or source.suffix == ".pyc":
            continue
        if ".." not in parts:
            if not (parts[0].endswith(".dist-info") and parts[-1] in _WRITTEN_BY_PIP):
                packed.append((source, file.as_posix()))
            continue
        source = Path(*(root / file).resolve().parts)
        if source.parent == environment.programs.resolve():
            if source.name.removesuffix(".exe") not in made:
                packed.append((source, f"{stem}.data/scripts/{source.name}"))
        elif source.is_relative_to(environment.prefix.resolve()):
            relative = source.relative_to(environment.prefix.resolve()).as_posix()
            packed.append((source, f"{stem}.data/data/{relative}"))
    return packed


def _add(archive: zipfile.ZipFile, source: Path, target: str) -> tuple[str, int]:
    """Add a file to a wheel. Return its hash and size in the format of RECORD."""
    if ".data/scripts/" in target:  # pip wrote the path of this environment's Python into it
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
