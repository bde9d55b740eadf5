"""Fresh environments with Muniment installed from its wheel, and wheels of plugins to put there.

No network: the wheels of what Muniment needs are made again of what is installed here.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import venv
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from muniment_installer import dependencies
from muniment_installer.environment import Environment
from muniment_installer.wheels import repack
from support.commands import ROOT, Result
from support.sharing import link

_REAL = pytest.param("real", marks=pytest.mark.integration)
on_both = pytest.mark.parametrize("pip_kind", ["double", _REAL])
only_real = pytest.mark.parametrize("pip_kind", [_REAL])


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command with nothing of ours in its environment."""
    held = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MUNIMENT_", "PYTHON", "PIP_", "VIRTUAL_ENV"))
    }
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**held, "PIP_CONFIG_FILE": os.devnull, **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


def python_with_packages(folder: Path) -> Path:
    """Make an environment that sees the packages installed here, and return its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    (library,) = folder.glob("lib/python*/site-packages")
    packages = [path for path in sys.path if path.endswith("site-packages")]
    lines = (f"import site; site.addsitedir({path!r})\n" for path in packages)
    (library / "here.pth").write_text("".join(lines))
    return folder / "bin" / "python"


def must(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a command said, which must have worked."""
    assert done.returncode == 0, f"{done.args} said:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(source: Path, into: Path) -> Path:
    """Build the wheel of a folder with the backend that is installed here."""
    into.mkdir(parents=True, exist_ok=True)
    before = set(into.glob("*.whl"))
    must(run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", into, cwd=source))
    (wheel,) = set(into.glob("*.whl")) - before
    return wheel


def wheels_of_core(into: Path) -> None:
    """Put the wheels of Muniment, its installer, and all they need into a folder."""
    here = Environment.here()
    present = here.present()
    build(ROOT, into)
    build(ROOT / "plugins" / "installer", into)
    for name in dependencies.needed_by_core(present) - {"muniment", "muniment-installer"}:
        repack(present[name], here, into)


def others(rows: Iterable[Any]) -> list[Any]:
    """Return the rows or objects of a list of plugins but that of the installer itself."""
    return [row for row in rows if "'muniment-installer'" not in str(row)]


def template(wheels: Path, folder: Path) -> Path:
    """Make an environment with pip, and Muniment from its wheel."""
    venv.create(folder, with_pip=True, symlinks=True)
    must(
        run(
            *(folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-index"),
            *("--find-links", wheels, "muniment", "muniment-installer"),
            cwd=folder,
        )
    )
    return folder


@dataclass
class Fresh:
    """A fresh environment, and a home folder for it."""

    folder: Path
    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    template: Path | None = None

    @classmethod
    def copy(cls, template: Path, folder: Path, home: Path) -> Fresh:
        """Copy an environment; its Python finds itself where it is, its scripts do not."""
        made = cls(folder, home, template=template)
        made.renew()
        return made

    def renew(self) -> None:
        """Make the environment anew, as `pipx reinstall` does."""
        assert self.template is not None
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.template, self.folder, symlinks=True, copy_function=link)

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def command(self) -> list[str | Path]:
        return [self.python, "-P", "-m", "muniment"]

    def settings(self) -> dict[str, str]:
        """What the environment's processes find in their variables."""
        return {"MUNIMENT_HOME": str(self.home), "PIP_NO_INDEX": "1", **self.environment}

    def __call__(self, *arguments: str | Path) -> Result:
        done = run(*self.command, *arguments, cwd=self.folder, **self.settings())
        return Result(done.returncode, done.stdout, done.stderr)

    def pip(self, *arguments: str | Path) -> str:
        return must(run(self.python, "-m", "pip", *arguments, cwd=self.folder, PIP_NO_INDEX="1"))

    @property
    def modules(self) -> Path:
        """Where its modules lie."""
        (folder,) = self.folder.glob("lib/python*/site-packages")
        return folder

    def entries(self, kind: str) -> list[dict[str, Any]]:
        """The entries of a kind that were recorded, the oldest first."""
        file = self.home / "muniment.db"
        if not file.is_file():
            return []
        with closing(sqlite3.connect(file)) as database:
            rows = database.execute(
                "SELECT canonical_bytes FROM entry WHERE kind = ? ORDER BY seq", (kind,)
            )
            return [json.loads(data) for (data,) in rows]

    def installed(self) -> dict[str, str]:
        """The versions of what is installed, by name."""
        found = json.loads(self.pip("list", "--format", "json"))
        return {item["name"]: item["version"] for item in found}

    def files(self) -> set[str]:
        """The files and folders among the modules but for what Python compiled."""
        return {
            path.relative_to(self.modules).as_posix()
            for path in self.modules.rglob("*")
            if "__pycache__" not in path.parts and not path.match("pip/**")
        }


def plugin(
    folder: Path,
    name: str,
    source: str | None = None,
    *,
    version: str = "1.0",
    needs: Iterable[str] = (),
    group: str = "muniment.v1",
    generator: str = "echo",
    files: Mapping[str, str] | None = None,
    scripts: Mapping[str, str] | None = None,
    commands: Mapping[str, str] | None = None,
) -> Path:
    """Write the wheel of a plugin into the folder and return its path.

    The module is called as the distribution is, and without a source has one generator. The values
    of `commands` are attributes of it.
    """
    module = name.replace("-", "_")
    if source is None:
        source = f"""
            import muniment

            class Made(muniment.Generator):
                name, media_type, determinism = "{generator}", "text/plain", "exact"

                def generate(self, requests):
                    for request in requests:
                        yield request.reply(muniment.Text(f"{version}: {{request.prompt}}"))

            @muniment.hookimpl
            def muniment_generators(register):
                register(Made)
        """
    info = f"{module}-{version}.dist-info"
    about = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    about += ["Requires-Python: >=3.11", *(f"Requires-Dist: {need}" for need in needs)]
    points = [f"[{group}]", f"made = {module}"] if group else []
    if scripts:
        points += ["[console_scripts]", *(f"{key} = {value}" for key, value in scripts.items())]
    if commands:
        points += ["[muniment.commands]"]
        points += [f"{path} = {module}:{name}" for path, name in commands.items()]
    held = {
        f"{module}.py": textwrap.dedent(source),
        **(files or {}),
        f"{info}/METADATA": "\n".join(about) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if points:
        held[f"{info}/entry_points.txt"] = "\n".join(points) + "\n"
    rows = []
    for path, text in held.items():
        digest = urlsafe_b64encode(sha256(text.encode()).digest()).decode().rstrip("=")
        rows.append(f"{path},sha256={digest},{len(text.encode())}")
    held[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in held.items():
            archive.writestr(path, text)
    return wheel
