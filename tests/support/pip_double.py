"""A double of pip that works in this process, and environments that are changed with it.

`DoublePip` has the methods of `muniment_installer.pip.Pip`: it resolves requirements among the
wheels that PIP_FIND_LINKS names and writes their files into a folder. Tests that run with both it
and pip (`on_both` in tests/installer) hold it to what pip does.
"""

from __future__ import annotations

import contextlib
import csv
import importlib
import io
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from muniment.cli import main
from muniment.installation import InstallError
from muniment.plugins import discovery
from muniment_installer import dependencies
from muniment_installer.environment import Environment
from muniment_installer.errors import ConflictError
from muniment_installer.pip import Pip, ResolvedPackage
from muniment_installer.preflight import requirements
from muniment_installer.wheels import Wheel
from support.commands import Result
from support.environments import Fresh
from support.sharing import link

OUTSIDE = [path for path in sys.path if path.endswith("site-packages") or "/core" in path]
STANDARD = [path for path in sys.path if path and path not in OUTSIDE]


class DoublePip:
    """What `Pip` does, for an environment that is a folder of modules and one of programs."""

    def __init__(self, environment: Environment, lock: int | None = None) -> None:
        self.environment = environment

    def choose(
        self, wanted: Sequence[str], keep: Mapping[str, str], *, upgrade: bool
    ) -> list[ResolvedPackage]:
        present = self.environment.present()
        chosen: dict[str, tuple[Wheel, bool]] = {}
        kept = {canonicalize_name(name): version for name, version in keep.items()}

        def need(requirement: Requirement, who: str, *, newest: bool) -> None:
            key = canonicalize_name(requirement.name)
            if key in chosen:
                return
            if key in kept:
                if not requirement.specifier.contains(kept[key], prereleases=True):
                    raise ConflictError(
                        "install",
                        f"{who} needs {requirement}; {requirement.name} {kept[key]} "
                        "is installed here and stays",
                    )
                return
            there = present.get(key)
            fits = there is not None and requirement.specifier.contains(there.version)
            found = [
                wheel
                for wheel in self._offered()
                if wheel.key == key and requirement.specifier.contains(wheel.version)
            ]
            if fits and there is not None and (not newest or not found):
                return
            if not found:
                raise InstallError(str(requirement), f"{requirement} is in no index")
            best = max(found, key=lambda wheel: Version(wheel.version))
            if there is None or there.version != best.version:
                take(best, direct=False)

        def take(wheel: Wheel, *, direct: bool) -> None:
            chosen[wheel.key] = (wheel, direct)
            for requirement in requirements(wheel.requires):
                need(requirement, f"{wheel.name} {wheel.version}", newest=False)

        for path in (Path(text) for text in wanted if os.sep in text):
            take(Wheel.read(path), direct=True)
        for text in (text for text in wanted if os.sep not in text):
            need(Requirement(text), "the command", newest=upgrade)
        return [
            ResolvedPackage(wheel.name, wheel.version, wheel.path if direct else None)
            for wheel, direct in chosen.values()
        ]

    def fetch(self, wanted: Sequence[str], into: Path) -> None:
        for text in wanted:
            requirement = Requirement(text)
            offered = [
                wheel
                for wheel in self._offered()
                if wheel.key == canonicalize_name(requirement.name)
                and requirement.specifier.contains(wheel.version)
            ]
            if not offered:
                raise InstallError(text, f"{text} is in no index")
            shutil.copy(offered[0].path, into)

    def fetch_pinned(self, pins: Sequence[str], into: Path, beside: Sequence[Path]) -> None:
        for pin in pins:
            requirement, *hashes = pin.split()
            name, _, version = requirement.partition("==")
            named = [
                wheel
                for wheel in self._offered(beside)
                if (wheel.key, wheel.version) == (canonicalize_name(name), version)
            ]
            if not named:
                raise InstallError(requirement, f"{requirement} is in no index")
            good = [w for w in named if f"--hash=sha256:{w.sha256}" in hashes]
            if not good:
                raise InstallError(requirement, f"the hash of {requirement} is another one")
            shutil.copy(good[0].path, into)

    def install(self, wheels: Sequence[Wheel], *, over: bool = False) -> None:
        if not over:
            there = self.environment.present()
            self.uninstall([wheel.name for wheel in wheels if wheel.key in there])
        for wheel in wheels:
            write(wheel, self.environment)

    def uninstall(self, names: Sequence[str]) -> None:
        modules = self.environment.modules
        for name in names:
            distribution = self.environment.present()[canonicalize_name(name)]
            assert distribution.files is not None, f"{name} has no list of its files"
            paths = [Path(str(distribution.locate_file(file))) for file in distribution.files]
            for path in paths:
                path.unlink(missing_ok=True)
            for folder in sorted({path.parent for path in paths}, reverse=True):
                if folder.is_relative_to(modules) and folder != modules:
                    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
                    if not list(folder.iterdir()):
                        folder.rmdir()
            importlib.invalidate_caches()

    def _offered(self, beside: Sequence[Path] = ()) -> list[Wheel]:
        folders = [*map(Path, os.environ.get("PIP_FIND_LINKS", "").split()), *beside]
        return [Wheel.read(path) for folder in folders for path in sorted(folder.glob("*.whl"))]


def write(wheel: Wheel, environment: Environment) -> None:
    """Write the files of a wheel, its programs and the list of both."""
    rows = []
    with zipfile.ZipFile(wheel.path) as archive:
        archive.extractall(environment.modules)
        names = archive.namelist()
    (info,) = {name.partition("/")[0] for name in names if name.partition("/")[0].endswith("-info")}
    rows = [name for name in names if not name.endswith("/RECORD")]
    for program in wheel.programs:
        script = environment.programs / program
        script.write_text(f"#!{sys.executable}\n")
        rows.append(os.path.relpath(script, environment.modules))
    (environment.modules / info / "INSTALLER").write_text("double\n")
    rows += [f"{info}/INSTALLER", f"{info}/RECORD"]
    record = io.StringIO()
    csv.writer(record, lineterminator="\n").writerows([[name, "", ""] for name in rows])
    (environment.modules / info / "RECORD").write_text(record.getvalue())
    importlib.invalidate_caches()


class Borrowed:
    """Finds the modules that are installed outside, but none of their distributions."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return PathFinder.find_spec(name, OUTSIDE) if path is None else None


class Inside(Fresh):
    """An environment whose commands run in this process, with the double in place of pip.

    It holds the metadata of what Muniment needs; the modules themselves are those outside.
    """

    @classmethod
    def make(cls, folder: Path, home: Path) -> Inside:
        made = cls(folder, home)
        made.renew()
        return made

    def renew(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.modules.mkdir(parents=True)
        (self.folder / "bin").mkdir()
        present = Environment.here().present()
        for name in dependencies.needed_by_core(present):
            source = Path(str(present[name]._path))  # type: ignore[attr-defined]
            target = self.modules / source.name
            target.mkdir()
            for file in ("METADATA", "entry_points.txt", "WHEEL"):
                if (source / file).is_file():
                    link(source / file, target / file)
            record = (source / "RECORD").read_text(encoding="utf-8")
            (target / "RECORD").write_text(record.replace("../../../bin/", "../bin/"))
            for point in present[name].entry_points.select(group="console_scripts"):
                (self.folder / "bin" / point.name).touch()

    @property
    def modules(self) -> Path:
        return self.folder / "modules"

    @property
    def place(self) -> Environment:
        return Environment(self.folder, self.modules, self.folder / "bin", "virtual")

    def __call__(self, *arguments: str | Path) -> Result:
        with self._active(), _written() as (out, err):
            code = main([str(argument) for argument in arguments])
        return Result(code, out(), err())

    def pip(self, *arguments: str | Path) -> str:
        command, *rest = arguments
        assert command == "install", "a double of pip for tests only installs"
        with self._active():
            DoublePip(self.place).install(
                [Wheel.read(path) for path in rest if isinstance(path, Path)]
            )
        return ""

    def installed(self) -> dict[str, str]:
        with self._active():
            return {key: held.version for key, held in self.place.present().items()}

    @contextlib.contextmanager
    def _active(self) -> Iterator[None]:
        """Let this process have just this environment, as one of its own would."""
        before = set(sys.modules)
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith(("MUNIMENT_", "PIP_"))]:
                patch.delenv(name)
            # What tries a plugin is a process of its own, which looks here first.
            settings = {"PYTHONPATH": str(self.modules), "PYTHONDONTWRITEBYTECODE": "1"}
            for name, value in {**settings, **self.settings()}.items():
                patch.setenv(name, value)
            patch.chdir(self.folder)
            patch.setattr(sys, "path", [str(self.modules), *STANDARD])
            patch.setattr(sys, "meta_path", [*sys.meta_path, Borrowed])
            patch.setattr(sys, "prefix", str(self.folder))
            patch.setattr(sys, "dont_write_bytecode", True)
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
            patch.setattr(Environment, "here", lambda: self.place)
            for name in ("__init__", "choose", "fetch", "fetch_pinned", "install", "uninstall"):
                patch.setattr(Pip, name, getattr(DoublePip, name))
            patch.setattr(Pip, "_offered", DoublePip._offered, raising=False)
            discovery._code_digest.cache_clear()
            importlib.invalidate_caches()
            try:
                yield
            finally:
                discovery._code_digest.cache_clear()
                own = str(self.modules)
                for name in set(sys.modules) - before:
                    if (getattr(sys.modules[name], "__file__", "") or "").startswith(own):
                        del sys.modules[name]


@contextlib.contextmanager
def _written() -> Iterator[tuple[Any, Any]]:
    """Take what is written to standard output and standard error."""
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2)]

    def text(stream: io.TextIOWrapper) -> str:
        raw = stream.buffer
        assert isinstance(raw, io.BytesIO)
        return raw.getvalue().decode("utf-8")

    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        yield lambda: text(streams[0]), lambda: text(streams[1])
