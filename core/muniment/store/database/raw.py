"""Read columns without type conversion, so that verification sees exactly what is stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Select, Table, func, select, type_coerce
from sqlalchemy.types import NullType

Values: TypeAlias = tuple[Any, ...]

ROWS_PER_FETCH = 16  # rows in memory at once, where a row may have a large content

# Invalid bytes become lone surrogates, which no recorded text contains.
_decode_any_bytes = partial(str, encoding="utf-8", errors="surrogateescape")


@contextmanager
def any_text(connection: Connection) -> Iterator[None]:
    """Let the block read TEXT values of an SQLite file that are not valid UTF-8."""
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name != "sqlite":
        yield
        return
    previous, driver.text_factory = driver.text_factory, _decode_any_bytes
    try:
        yield
    finally:
        driver.text_factory = previous


def raw(table: Table, *names: str) -> list[ColumnElement[Any]]:
    """Return all columns of a table, or the named ones, without result conversion."""
    columns = [table.c[name] for name in names] if names else list(table.c)
    return [type_coerce(column, NullType()).label(column.name) for column in columns]


def count_rows(connection: Connection, table: Table, *conditions: ColumnElement[bool]) -> int:
    """Return the number of rows of a table that meet all conditions."""
    statement = select(func.count()).select_from(table).where(*conditions)
    return connection.scalar(statement) or 0


def tuples(
    connection: Connection,
    statement: Select[*tuple[Any, ...]],
    parameters: Mapping[str, Any] | None = None,
) -> list[Values]:
    """Return the rows of a statement over raw columns, as the driver's tuples."""
    # Building SQLAlchemy's row objects takes longer than reading the rows.
    result = connection.execute(statement, parameters)
    rows: list[Values] = list(result.cursor.fetchall())
    result.close()
    return rows


def stream(
    connection: Connection,
    statement: Select[*tuple[Any, ...]],
    rows: int = ROWS_PER_FETCH,
    parameters: Mapping[str, Any] | None = None,
) -> Iterator[Any]:
    """Yield the rows of a statement over raw columns, with at most `rows` of them in memory."""
    if connection.dialect.name == "sqlite":  # its cursor reads a row at a time
        result = connection.execute(statement, parameters)
        cursor: Any = result.cursor
        yield from cursor
        result.close()
        return
    yield from connection.execute(statement.execution_options(yield_per=rows), parameters)
