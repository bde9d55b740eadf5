"""Print records as a table, as tab-separated lines or as JSON, from one list of columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

from muniment.cli.output import json_text, moment, print_fields, table, write_json, write_note

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
) -> int:
    """Print a list of records and return their number.

    A terminal gets a table with headers, in which the column `cut` is shortened to fit. Anything
    else gets one line of tab-separated values a record, without headers. With `as_json`, each
    record is one JSON object a line: what `to_json` returns, else the record's own `to_json()`,
    else its keys or fields. `empty` is a note for standard error, printed when there are no
    records.
    """
    number = 0

    def counted() -> Iterator[_Record]:
        nonlocal number
        for record in records:
            number += 1
            yield record

    if as_json:
        for record in counted():
            write_json(_object(record, to_json))
    else:
        rows = ([_cell(_value(record, key)) for _, key in columns] for record in counted())
        table([header for header, _ in columns], rows, cut=cut)
    if number == 0 and empty:
        write_note(empty)
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
        write_json(_object(record, to_json))
    else:
        print_fields([(header, _cell(_value(record, key))) for header, key in columns])


def _value(record: Any, key: str | Callable[[Any], object]) -> object:
    if callable(key):
        return key(record)
    return record[key] if isinstance(record, Mapping) else getattr(record, key)


def _cell(value: object) -> str:
    """Return a value as text for people: no text for None, `yes` and `no`, local times."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case datetime():
            return moment(value)
        case Mapping():
            return json_text(value)
        case list() | tuple() | set() | frozenset():
            return ", ".join(map(_cell, value))
        case _:
            return str(value)


def _object(record: Any, to_json: Callable[[Any], object] | None) -> object:
    if to_json is not None:
        return to_json(record)
    if isinstance(record, Mapping):
        return record
    own = getattr(record, "to_json", None)
    if callable(own):
        return own()
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return dataclasses.asdict(record)
    import msgspec

    return msgspec.to_builtins(record)
