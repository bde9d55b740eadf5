"""Delete the folders that a killed pip had renamed, with names that begin with `~`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from muniment_installer.wheels import Wheel

# pip replaces the first characters of a name by these, so that its length stays the same.
_PREFIX = re.compile(r"~[-~.=%0-9]*")


def sweep(modules: Path, wheels: Iterable[Wheel]) -> None:
    """Delete the files and folders of these wheels that pip renamed and did not delete."""
    names = {name.partition("/")[0] for wheel in wheels for name in wheel.files}
    for path in modules.glob("~*"):
        if any(_is_renamed(path.name, name) for name in names):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _is_renamed(found: str, name: str) -> bool:
    if len(found) != len(name):
        return False
    prefix = _PREFIX.match(found)
    return prefix is not None and any(
        found[length:] == name[length:] for length in range(1, prefix.end() + 1)
    )
