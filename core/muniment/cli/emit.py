"""Print records as a table, as tab-separated lines or as JSON, from one list of columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from muniment.cli.output import (
    cell,
    on_terminal,
    one_line,
    print_fields,
    write_data,
    write_json,
    write_note,
)

_Record = TypeVar("_Record")

Column: TypeAlias = tuple[str, str | Callable[[_Record], object]]
"""A header, and the key, the attribute or the function that gives a record's value."""


def emit(
    records: Iterable[_Record],
    columns: Sequence[Column[_Record]],
    as_json: bool,
    *,
    to_json: Callable[[_Record], object] | None = None,
    empty: str = "",
    cut: str = "",
    limit: int | None = None,
    total: Callable[[], int] | None = None,
    show: Callable[[_Record], None] | None = None,
) -> int:
    """Print a list of records and return their number.

    A terminal gets a table with headers, in which numbers are right-aligned and the column `cut`
    is shortened to fit. Known words in a column named status, state or result are coloured. With
    `show`, that function prints each record on a terminal as it comes, instead of the table.
    Anything else gets one line of tab-separated values a record, without headers.

    With `as_json`, each record is one JSON object a line: the result of `to_json`, else of the
    record's own `to_json()`, else its keys or fields.

    `empty` is a note for standard error, printed when there are no records. When `limit` records
    were printed on a terminal, a note says so. With `total`, which returns the number of all
    records, it is "20 of 53", and omitted when these are all.
    """
    rows: list[Sequence[object]] = []
    terminal = on_terminal()
    number = 0
    for record in records:
        number += 1
        if as_json:
            write_json(to_json(record) if to_json else record)
        elif terminal and show is not None:
            show(record)
        elif terminal:
            rows.append([_value(record, key) for _, key in columns])
        else:
            write_data("\t".join(one_line(cell(_value(record, key))) for _, key in columns))
    if rows:
        from muniment.cli.terminal import print_table

        print_table([header for header, _ in columns], rows, cut)
    if number == 0 and empty:
        write_note(empty)
    if terminal and not as_json and limit and limit <= number:
        _write_limit(number, total)
    return number


def emit_one(
    record: _Record,
    columns: Sequence[Column[_Record]],
    as_json: bool,
    *,
    to_json: Callable[[_Record], object] | None = None,
) -> None:
    """Print one record: a line for each column that has a value, or one JSON object."""
    if as_json:
        write_json(to_json(record) if to_json else record)
    else:
        print_fields((header, _value(record, key)) for header, key in columns)


def _write_limit(number: int, total: Callable[[], int] | None) -> None:
    count = None if total is None else total()
    if count is None:
        write_note(f"stopped at the limit of {number:,}; use -n 0 for all")
    elif count > number:
        write_note(f"{number:,} of {count:,}; use -n 0 for all")


def _value(record: Any, key: str | Callable[[Any], object]) -> object:
    if callable(key):
        return key(record)
    return record[key] if isinstance(record, Mapping) else getattr(record, key)
