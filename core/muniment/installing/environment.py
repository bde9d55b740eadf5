"""Where Muniment is installed: what kind of environment it is, what is in it, and how pip runs.

`pipx` and `uv tool` make virtual environments that may have no pip of their own. Python brings one
to put there (`ensurepip`), which runs from its wheel and stays out of the environment; where that
is missing, too, uv fetches one.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path
from typing import Literal, TypeAlias

from muniment.config import normalised
from muniment.installing.errors import InstallError

CORE = "muniment"

Kind: TypeAlias = Literal["virtual", "pipx", "uv tool", "system"]


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment by its folder, and where Python's modules and programs are in it."""

    prefix: Path
    modules: Path
    programs: Path
    kind: Kind

    @classmethod
    def here(cls) -> Environment:
        """Return the environment that this process runs in."""
        prefix = Path(sys.prefix)
        kind: Kind = "virtual"
        if sys.prefix == sys.base_prefix:
            kind = "system"
        elif (prefix / "pipx_metadata.json").is_file():
            kind = "pipx"
        elif (prefix / "uv-receipt.toml").is_file():
            kind = "uv tool"
        return cls(
            prefix, Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("scripts")), kind
        )

    def check_changeable(self) -> None:
        """Raise InstallError, saying what to do, where plugins must not be installed."""
        if self.kind == "system" and (marker := managed()):
            raise InstallError(
                str(self.prefix),
                f"the system manages this Python ({marker} says so), and nothing else may install "
                "into it; put Muniment into an environment of its own (`pipx install muniment`, "
                "`uv tool install muniment`, or `python3 -m venv`), and install plugins there",
            )

    def pip(self) -> list[str]:
        """Return the command that runs pip for this environment.

        Raises InstallError where there is none.
        """
        # -P: what lies in the current folder is neither pip nor installed
        python = [sys.executable, "-P"]
        if importlib.util.find_spec("pip") is not None:
            return [*python, "-m", "pip"]
        if (wheel := _pip_of_python()) is not None:
            return [*python, f"{wheel}/pip"]
        if uv := shutil.which("uv"):
            return [
                uv,
                *"tool run --quiet --from pip pip --python".split(),
                sys.executable,
            ]
        raise InstallError(
            str(self.prefix),
            f"{self.prefix} has no pip, this Python brings none, and uv is not on the PATH; "
            "install uv, or what brings ensurepip on your system (python3-venv on Debian)",
        )

    def present(self) -> dict[str, Distribution]:
        """Return the distributions that Python finds, by normalised name."""
        found: dict[str, Distribution] = {}
        for distribution in importlib.metadata.distributions():
            name: str | None = distribution.metadata["Name"]
            # What an interrupted pip left has no name, or was moved aside.
            if name and not _aside(distribution):
                found.setdefault(normalised(name), distribution)
        return found


def managed() -> Path | None:
    """Return the marker of a Python that the system manages (PEP 668), or None."""
    marker = Path(sysconfig.get_path("stdlib", sysconfig.get_default_scheme()))
    return path if (path := marker / "EXTERNALLY-MANAGED").is_file() else None


def _aside(distribution: Distribution) -> bool:
    folder: Path | None = getattr(distribution, "_path", None)
    return folder is not None and folder.name.startswith("~")


def _pip_of_python() -> Path | None:
    spec = importlib.util.find_spec("ensurepip")
    if spec is None or spec.origin is None:
        return None
    wheels = sorted(Path(spec.origin).parent.glob("_bundled/pip-*.whl"))
    return wheels[-1] if wheels else None
