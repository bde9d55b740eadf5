"""Reading a table of measured outputs: one row for each, with its item, levels, seed and value."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from muniment_analysis.errors import TableError
from muniment_analysis.tables import differing_columns, quoted, read_records

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_NAMED = 5  # columns in a message
_LARGEST = 1e300  # the difference of two values is a finite number, too


@dataclass(frozen=True)
class Columns:
    """The names of the columns to read. An empty `seed` means that no column names the seed."""

    item: str
    factors: tuple[str, ...]
    seed: str
    value: str

    @property
    def names(self) -> tuple[str, ...]:
        """All names in the order of the fields of `Row`."""
        seeds = (self.seed,) if self.seed else ()
        return (self.item, *self.factors, *seeds, self.value)


class Row(NamedTuple):
    """One output. Ids and levels are texts: 007 and 7 are two items.

    An integer is exact, so that large ones that differ by 1 are not equal.
    """

    line: int
    item: str
    levels: tuple[str, ...]
    seed: str
    value: int | float


def read_rows(path: Path, columns: Columns) -> list[Row]:
    """Return the rows of a CSV file with a header, in UTF-8. Raises TableError."""
    return [
        _row(path, line, texts, has_seed=bool(columns.seed))
        for line, texts in read_records(path, columns.names)
    ]


def forgotten_factor(path: Path, columns: Columns, lines: Sequence[int]) -> TableError | None:
    """Return the error for rows that differ in a column without a use, or None if none does."""
    try:
        names = [name for name in differing_columns(path, lines) if name not in columns.names]
    except TableError:  # a pipe is empty when it is read again
        return None
    if not names:
        return None
    factor = "one" if len(names) > 1 else "it"
    return TableError(
        f"lines {' and '.join(map(str, lines))} have the same item, levels and seed, and differ in "
        f"{', '.join(map(quoted, names[:_NAMED]))}; "
        f"if {factor} is a factor, add it to --factors, else remove a line"
    )


def _row(path: Path, line: int, texts: list[str], *, has_seed: bool) -> Row:
    item, *levels, value = texts
    seed = levels.pop() if has_seed else ""
    if not item:
        raise TableError(f"{path}, line {line}: the item is empty; add its id")
    try:
        number = _number(value)
    except ValueError as error:
        raise TableError(
            f"{path}, line {line}: the value {quoted(value)} is {error}; "
            "correct it, or remove the row"
        ) from None
    return Row(line, item, tuple(levels), seed, number)


def _number(text: str) -> int | float:
    """Return a finite number, an integer exactly. Raises ValueError with the problem."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        raise ValueError("not a finite number")
    number = float(text)
    if abs(number) > _LARGEST:
        raise ValueError("too large")
    return int(text) if _INTEGER.fullmatch(text) else number
