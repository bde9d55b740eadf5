"""The environment that Muniment runs in: its kind, its distributions, and how pip runs in it.

`pipx` and `uv tool` make virtual environments that may lack pip. Then the pip that Python bundles
(`ensurepip`) runs from its wheel and is not installed, or uv downloads one.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path
from typing import Literal, TypeAlias

from muniment.installation import InstallError, distributions

Kind: TypeAlias = Literal["virtual", "pipx", "uv tool", "system"]


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment by its folder, and the folders of its modules and programs."""

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
        """Raise InstallError when the operating system manages this Python (PEP 668)."""
        if self.kind == "system" and (marker := _managed()):
            raise InstallError(
                str(self.prefix),
                f"the operating system manages this Python ({marker}), and no other tool may "
                "install into it; install Muniment into an environment of its own (`pipx install "
                "muniment`, `uv tool install muniment`, or `python3 -m venv`), and plugins there",
            )

    def pip(self) -> list[str]:
        """Return the command that runs pip for this environment, or raise InstallError."""
        # -P: the current folder must not provide a module named pip
        python = [sys.executable, "-P"]
        if importlib.util.find_spec("pip") is not None:
            return [*python, "-m", "pip"]
        if (wheel := _bundled_pip()) is not None:
            return [*python, f"{wheel}/pip"]
        if uv := shutil.which("uv"):
            return [
                uv,
                *"tool run --quiet --from pip pip --python".split(),
                sys.executable,
            ]
        raise InstallError(
            str(self.prefix),
            f"{self.prefix} has no pip, this Python bundles none, and uv is not on the PATH; "
            "install uv, or the package with ensurepip (python3-venv on Debian)",
        )

    def present(self) -> dict[str, Distribution]:
        """Return the installed distributions by normalised name."""
        return distributions()


def _managed() -> Path | None:
    marker = Path(sysconfig.get_path("stdlib", sysconfig.get_default_scheme()))
    return path if (path := marker / "EXTERNALLY-MANAGED").is_file() else None


def _bundled_pip() -> Path | None:
    spec = importlib.util.find_spec("ensurepip")
    if spec is None or spec.origin is None:
        return None
    wheels = sorted(Path(spec.origin).parent.glob("_bundled/pip-*.whl"))
    return wheels[-1] if wheels else None
