"""Reading a table of measured outputs: one row for each, with its item, levels, seed and value."""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from muniment_analysis.errors import TableError

MAX_FIELD = 10_000_000
"""Characters of the longest field, because a column may have the outputs themselves."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_LARGEST = 1e300  # the difference of two values is a finite number, too
_SHOWN = 60


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
    for name in columns.names:
        if columns.names.count(name) > 1:
            raise TableError(f"column {name!r} is used twice; name a column for each part")
    with _errors_named(path), path.open(encoding="utf-8-sig", newline="") as file:
        records = csv.reader(file, strict=True)
        header = next(records, None)
        if not header:
            raise TableError(f"{path} is empty; write a first line that names its columns")
        places = [_place(path, header, name) for name in columns.names]
        rows = list(_rows(path, records, len(header), places, has_seed=bool(columns.seed)))
    if not rows:
        raise TableError(f"{path} has no row below its header; add the outputs")
    return rows


@contextlib.contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    """Raise a TableError for an error of reading, and allow long fields within the block."""
    limit = csv.field_size_limit(MAX_FIELD)  # that of the whole process
    try:
        yield
    except UnicodeDecodeError:
        raise TableError(f"{path} is not UTF-8; save it as UTF-8") from None
    except csv.Error as error:
        raise TableError(f"{path} is not a CSV file ({error}); correct it") from None
    except OSError as error:
        raise TableError(f"{path} cannot be read ({error.strerror}); use a CSV file") from None
    finally:
        csv.field_size_limit(limit)


def _place(path: Path, header: Sequence[str], name: str) -> int:
    """Return the position of a column."""
    if header.count(name) == 1:
        return header.index(name)
    if name in header:
        raise TableError(f"{path} has {header.count(name)} columns {name!r}; rename all but one")
    names = ", ".join(map(_quoted, header[:20]))
    raise TableError(f"{path} has no column {name!r}; use one of {names}")


def _rows(
    path: Path,
    records: Iterator[list[str]],
    width: int,
    places: Sequence[int],
    *,
    has_seed: bool,
) -> Iterator[Row]:
    for record in records:
        line: int = records.line_num  # type: ignore[attr-defined]
        if not record:
            continue
        if len(record) != width:
            raise TableError(
                f"{path}, line {line}: {len(record)} fields instead of {width}; "
                "separate fields by a comma, and quote those with a comma"
            )
        item, *levels, value = (record[place] for place in places)
        seed = levels.pop() if has_seed else ""
        if not item:
            raise TableError(f"{path}, line {line}: the item is empty; add its id")
        try:
            number = _number(value)
        except ValueError as error:
            raise TableError(
                f"{path}, line {line}: the value {_quoted(value)} is {error}; "
                "correct it, or remove the row"
            ) from None
        yield Row(line, item, tuple(levels), seed, number)


def _number(text: str) -> int | float:
    """Return a finite number, an integer exactly. Raises ValueError with the problem."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        raise ValueError("not a finite number")
    number = float(text)
    if abs(number) > _LARGEST:
        raise ValueError("too large")
    return int(text) if _INTEGER.fullmatch(text) else number


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
