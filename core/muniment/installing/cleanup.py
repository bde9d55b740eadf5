"""What a killed pip leaves: folders it had moved aside, with a name that begins with `~`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from muniment.installing.wheels import Wheel

# pip puts these for the first characters of a name, so that it stays as long as it was.
_ASIDE = re.compile(r"~[-~.=%0-9]*")


def sweep(modules: Path, wheels: Iterable[Wheel]) -> None:
    """Delete what pip moved aside of these wheels and did not live to delete."""
    names = {name.partition("/")[0] for wheel in wheels for name in wheel.files}
    for path in modules.glob("~*"):
        if any(_is_aside(path.name, name) for name in names):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _is_aside(found: str, name: str) -> bool:
    if len(found) != len(name):
        return False
    aside = _ASIDE.match(found)
    return aside is not None and any(
        found[length:] == name[length:] for length in range(1, aside.end() + 1)
    )
