"""Lists of records: a table on a terminal, tab-separated lines elsewhere, or JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import click

from muniment.cli.field_lines import print_fields
from muniment.cli.output import on_terminal, one_line, write_data, write_json, write_note
from muniment.cli.values import cell

_Record = TypeVar("_Record")
Column: TypeAlias = tuple[str, str | Callable[[_Record], object]]
"""A header, and the key, the attribute or the function that gives a record's value."""
_IDS = ("id", "run", "hold")


def emit(
    records: Iterable[_Record],
    columns: Sequence[Column[_Record]],
    as_json: bool,
    *,
    to_json: Callable[[_Record], object] | None = None,
    empty: str | Callable[[], str] = "",
    cut: str = "",
    drop: Sequence[str] = (),
    limit: int | None = None,
    total: Callable[[], int | None] | None = None,
    show: Callable[[_Record], None] | None = None,
) -> int:
    """Print a list of records and return their number.

    A terminal gets a table with headers. Numbers are right-aligned, the column `cut` is shortened
    to fit, and a column of ids comes last. On a narrow terminal the columns `drop` are left out,
    the first of them first, and a note names them. If the rest does not fit either, the column
    `cut` is printed below each record, and then long words are folded. At last, each record is a
    block of lines. Known words in a column named status, state or result are coloured.
    With `show`, that function prints each record on a terminal as it comes, instead of the table.
    Anything else gets one line of tab-separated values a record, after a line with the headers if
    `--headers` is given.

    With `as_json`, each record is one JSON object a line: the result of `to_json`, else of the
    record's own `to_json()`, else its keys or fields.

    `empty` is a note for standard error, or returns one, printed when there are no records. When
    `limit` records were printed on a terminal, a note follows. With `total`, which returns the
    number of all records, it is "20 of 53", and omitted when these are all.
    """
    rows: list[Sequence[object]] = []
    terminal, headers = on_terminal(), _headers_wanted(as_json)
    if terminal:
        columns = sorted(columns, key=lambda column: column[0] in _IDS)
    elif headers:
        write_data("\t".join(one_line(header) for header, _ in columns))
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
        from muniment.cli.table import print_table

        print_table([header for header, _ in columns], rows, cut, drop)
    if number == 0 and empty:
        write_note(empty if isinstance(empty, str) else empty())
    if terminal and not as_json and limit and limit <= number:
        _write_limit(number, total)
    return number


_HEADERS = "muniment.headers"


def want_headers() -> None:
    """Let `emit` print a line of headers above tab-separated values in the current command."""
    click.get_current_context().meta[_HEADERS] = True


def _headers_wanted(as_json: bool) -> bool:
    context = click.get_current_context(silent=True)
    if context is None or not context.meta.get(_HEADERS):
        return False
    if as_json:
        raise click.UsageError("--headers has no effect with --json; remove one.")
    return True


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


def emit_line(record: object, line: str, as_json: bool) -> None:
    """Print one record as a line of data or as one JSON object."""
    if as_json:
        write_json(record)
    else:
        write_data(line)


def _write_limit(number: int, total: Callable[[], int | None] | None) -> None:
    count = None if total is None else total()
    if count is None:
        write_note(f"stopped at the limit of {number:,}; use -n 0 for all")
    elif count > number:
        write_note(f"{number:,} of {count:,}; use -n 0 for all")


def _value(record: Any, key: str | Callable[[Any], object]) -> object:
    if callable(key):
        return key(record)
    return record[key] if isinstance(record, Mapping) else getattr(record, key)
