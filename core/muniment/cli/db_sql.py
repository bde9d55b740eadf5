"""The command `muniment db sql`."""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

import click

from muniment.cli.context import CliContext
from muniment.cli.emit import emit
from muniment.cli.options import json_option
from muniment.cli.output import (
    json_text,
    on_terminal,
    printable,
    write_bytes,
    write_json,
    write_note,
)
from muniment.errors import UsageError

_ROWS_PER_TABLE = 500  # a terminal gets a table with headers for each of these, while rows arrive


@click.command
@click.argument("statement", metavar="SELECT")
@json_option
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with a line of column names.")
@click.pass_obj
def sql(context: CliContext, statement: str, as_json: bool, as_csv: bool) -> None:
    """Run a SELECT statement on the store.

    The statement can read but not write. docs/reference/sql.md describes the views v_generation,
    v_verdict, v_score and v_event. Their texts are not compared with the commitments in the ledger,
    for which there is `muniment audit verify --payloads`.

    Piped output has tab-separated columns. Bytes are printed in hexadecimal. NULL is empty, except
    in JSON.
    """
    from muniment.store import Store

    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other; remove one.")
    with (
        Store.open(context.store_url, create=False, read_only=True) as store,
        store.select(statement) as selected,
    ):
        if as_json:
            _raise_if_names_repeat(selected.columns)
        write_note("Note: texts are not compared with their commitments; see `audit verify`")
        if as_json:
            for row in selected.rows:
                write_json(dict(zip(selected.columns, map(_json_value, row), strict=True)))
        elif as_csv:
            _write_csv(itertools.chain([selected.columns], selected.rows))
        else:
            _write_tables(selected.columns, selected.rows)


def _raise_if_names_repeat(columns: Sequence[str]) -> None:
    name, count = Counter(columns).most_common(1)[0]
    if count > 1:
        raise UsageError(
            f"{count} columns are named {name!r}, which JSON cannot tell apart; rename them with AS"
        )


def _write_tables(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows as tables of limited length, so that memory does not hold a large result."""
    texts = ([_text(value) for value in row] for row in rows)
    shown = [(name, itemgetter(index)) for index, name in enumerate(columns)]
    while part := list(itertools.islice(texts, _ROWS_PER_TABLE)):
        emit(part, shown, False)


def _write_csv(rows: Iterable[Sequence[Any]]) -> None:
    """Write CSV (RFC 4180) as UTF-8 in every locale."""
    escape = printable if on_terminal() else str
    for row in rows:
        line = io.StringIO()
        csv.writer(line).writerow([escape(_text(value)) for value in row])
        write_bytes(line.getvalue().encode())


def _text(value: object) -> str:
    """Return a value as text, and NULL as no text."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case bytes():
            return value.hex()
        case dict() | list():
            return json_text(_json_value(value))
    return str(value)


def _json_value(value: Any) -> Any:
    """Return a value with types that JSON has. Text replaces infinite numbers."""
    match value:
        case bytes():
            return value.hex()
        case float() if not math.isfinite(value):
            return str(value)
        case list():
            return [_json_value(item) for item in value]
        case dict():
            return {key: _json_value(item) for key, item in value.items()}
    return value
