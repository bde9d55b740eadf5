"""Reading columns as the database holds them, for whoever does not believe the database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Select, Table, type_coerce
from sqlalchemy.types import NullType

from muniment.store.database.types import PortableText

Values: TypeAlias = tuple[Any, ...]

BUFFER = 16  # rows that are in memory at once where contents may be large


_any = partial(str, encoding="utf-8", errors="surrogateescape")  # equals no text that was written


@contextmanager
def any_text(connection: Connection) -> Iterator[None]:
    """Read in the block what an SQLite file holds as text, even where its bytes are no text."""
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name != "sqlite":
        yield
        return
    before, driver.text_factory = driver.text_factory, _any
    try:
        yield
    finally:
        driver.text_factory = before


def raw(table: Table, *names: str) -> list[ColumnElement[Any]]:
    """Return the columns of a table, or those named, whatever type their values should have."""
    columns = [table.c[name] for name in names] if names else list(table.c)
    return [
        column
        if isinstance(column.type, PortableText)
        else type_coerce(column, NullType()).label(column.name)
        for column in columns
    ]


def tuples(connection: Connection, statement: Select[*tuple[Any, ...]]) -> list[Values]:
    """Return the rows of a statement over such columns, as tuples.

    They are the driver's own: SQLAlchemy's rows take longer to make than to read.
    """
    result = connection.execute(statement)
    rows: list[Values] = list(result.cursor.fetchall())
    result.close()
    if connection.dialect.name == "sqlite":
        return rows
    columns = enumerate(statement.selected_columns)
    words = [at for at, column in columns if isinstance(column.type, PortableText)]
    return [_decoded(connection, row, words) for row in rows] if words else rows


def stream(connection: Connection, statement: Select[*tuple[Any, ...]]) -> Iterator[Any]:
    """Yield the rows of a statement without holding more than a few in memory."""
    yield from connection.execute(statement.execution_options(yield_per=BUFFER))


def _decoded(connection: Connection, row: Values, words: Sequence[int]) -> Values:
    """Return a row with texts as they were written."""
    held = list(row)
    for at in words:
        held[at] = PortableText().process_result_value(held[at], connection.dialect)
    return tuple(held)
