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
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from muniment.installing import bundle_format
from muniment.installing.environment import Environment
from muniment.installing.wheels import repack
from support.commands import ROOT, Result


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
    """Put the wheels of Muniment and of all it needs into a folder."""
    here = Environment.here()
    present = here.present()
    build(ROOT, into)
    for name in bundle_format.needed_by_core(present) - {"muniment"}:
        repack(present[name], here, into)


def template(wheels: Path, folder: Path) -> Path:
    """Make an environment with pip, and Muniment from its wheel."""
    venv.create(folder, with_pip=True, symlinks=True)
    must(
        run(
            *(folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-index"),
            *("--find-links", wheels, "muniment"),
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

    @classmethod
    def copy(cls, template: Path, folder: Path, home: Path) -> Fresh:
        """Copy an environment; its Python finds itself where it is, its scripts do not."""
        shutil.copytree(template, folder, symlinks=True)
        return cls(folder, home)

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
) -> Path:
    """Write a plugin as its author would, build its wheel into the folder, and return that.

    The module is called as the distribution is, and without a source has one generator.
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
    desk = folder / ".sources" / f"{name}-{version}"
    shutil.rmtree(desk, ignore_errors=True)
    desk.mkdir(parents=True)
    (desk / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
    held = {f"{module}.py": "", **(files or {})}
    for path, text in (files or {}).items():
        (desk / path).parent.mkdir(parents=True, exist_ok=True)
        (desk / path).write_text(text, encoding="utf-8")
    lines = [
        "[build-system]",
        'requires = ["hatchling"]',
        'build-backend = "hatchling.build"',
        "[project]",
        f'name = "{name}"',
        f'version = "{version}"',
        'requires-python = ">=3.11"',
        f"dependencies = {json.dumps(list(needs))}",
        "[tool.hatch.build.targets.wheel]",
        f"only-include = {json.dumps(list(held))}",
    ]
    if group:
        lines += [f'[project.entry-points."{group}"]', f'made = "{module}"']
    if scripts:
        lines += ["[project.scripts]", *(f'{key} = "{value}"' for key, value in scripts.items())]
    (desk / "pyproject.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return build(desk, folder)
