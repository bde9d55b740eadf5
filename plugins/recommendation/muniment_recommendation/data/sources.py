"""The files of a folder of data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from muniment_recommendation.errors import DataError

INTERACTIONS = "interactions.csv"
ITEMS = "items.csv"
_CSV = ((INTERACTIONS, ITEMS), ("ratings.csv", "movies.csv"))
"""Names of tables of interactions and of items. The second are those of MovieLens."""
_ATOMIC, _ATOMIC_ITEMS = ".inter", ".item"  # of RecBole
_ADVICE = f"use a folder with {INTERACTIONS}, or with a file NAME{_ATOMIC} of RecBole"


@dataclass(frozen=True)
class Source:
    """The table of interactions, and that of items, if there is one."""

    interactions: Path
    items: Path | None
    is_atomic: bool

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files."""
        return tuple(path.name for path in (self.interactions, self.items) if path is not None)


def find_source(path: Path) -> Source:
    """Return the tables of a folder, or those with a table of interactions.

    Raises DataError for a path without such a table, and for a folder with several atomic files.
    """
    path = path.expanduser()
    if path.is_dir():
        interactions = _interactions_of(path)
    elif not os.path.lexists(path):
        raise DataError(f"the data {path} does not exist; {_ADVICE}")
    elif path.suffix == _ATOMIC or path.name in dict(_CSV):
        interactions = path
    else:
        raise DataError(f"the data {path} is not a folder; {_ADVICE}")
    is_atomic = interactions.suffix == _ATOMIC
    items = (
        interactions.with_suffix(_ATOMIC_ITEMS)
        if is_atomic
        else interactions.with_name(dict(_CSV)[interactions.name])
    )
    return Source(interactions, items if os.path.lexists(items) else None, is_atomic)


def _interactions_of(folder: Path) -> Path:
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise DataError(f"the folder {folder} cannot be read: {error.strerror}") from None
    for name, _ in _CSV:
        if name in names:
            return folder / name
    atomic = [name for name in names if name.endswith(_ATOMIC)]
    if len(atomic) > 1:
        raise DataError(
            f"the folder {folder} has {len(atomic)} tables of interactions, such as {atomic[0]} "
            f"and {atomic[1]}; use the path of one of them"
        )
    if atomic:
        return folder / atomic[0]
    state = "is empty" if not names else f"has no {INTERACTIONS}"
    raise DataError(f"the folder {folder} {state}; {_ADVICE}")
