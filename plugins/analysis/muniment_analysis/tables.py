"""Read the named columns of a CSV file."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from muniment.command import pluralize
from muniment_analysis.errors import TableError

MAX_FIELD = 10_000_000
"""Characters of the longest field, because a column may have the outputs themselves."""

_SHOWN = 60


class Record(NamedTuple):
    """The texts of the named columns in a row, and the line where the row ends."""

    line: int
    texts: list[str]


def read_records(path: Path, columns: Sequence[str]) -> list[Record]:
    """Return the rows of a CSV file with a header, in UTF-8. Raises TableError."""
    for name in columns:
        if columns.count(name) > 1:
            raise TableError(f"column {name!r} is used twice; name a column for each part")
    with _open_table(path) as (header, reader):
        places = [_place(path, header, name) for name in columns]
        records = list(_records(path, reader, len(header), places))
    if not records:
        raise TableError(f"{path} has no row below its header; add the outputs")
    return records


def differing_columns(path: Path, lines: Sequence[int]) -> list[str]:
    """Return the names of the columns in which the rows that end in these lines differ."""
    with _open_table(path) as (header, reader):
        records = _records(path, reader, len(header), range(len(header)))
        rows = [record.texts for record in records if record.line in lines]
    return [name for name, *texts in zip(header, *rows, strict=True) if len(set(texts)) > 1]


def quoted(text: str) -> str:
    """Return a text as a message shows it, in quotes and shortened."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


@contextlib.contextmanager
def _open_table(path: Path) -> Iterator[tuple[list[str], Iterator[list[str]]]]:
    """Open a CSV file for the block, and yield its header and the reader of its rows."""
    with _errors_named(path), path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        header = next(reader, None)
        if not header:
            raise TableError(f"{path} is empty; write a first line that names its columns")
        yield header, reader


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
    if len(header) == 1:
        raise TableError(
            f"{path} has no column {name!r}, only {quoted(header[0])}; separate fields by a comma"
        )
    names = ", ".join(map(quoted, header[:20]))
    raise TableError(f"{path} has no column {name!r}; use one of {names}")


def _records(
    path: Path, reader: Iterator[list[str]], width: int, places: Sequence[int]
) -> Iterator[Record]:
    for fields in reader:
        line: int = reader.line_num  # type: ignore[attr-defined]
        if not fields:
            continue
        if len(fields) != width:
            raise TableError(
                f"{path}, line {line}: {pluralize(len(fields), 'field')} instead of {width}; "
                "separate fields by a comma, and quote those with a comma"
            )
        yield Record(line, [fields[place] for place in places])
