"""Writing many rows with one prepared statement.

SQLAlchemy prepares the values of every row by name and type, which takes longer than SQLite needs
to write them. Here rows are tuples in the order of the columns and go to the driver as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import Column, Connection, Table

from muniment.store.columns import Words

Values: TypeAlias = tuple[Any, ...]


def insert(connection: Connection, table: Table, rows: Sequence[Values]) -> None:
    """Insert rows, each with a value for every column in the table's order."""
    if rows:
        sql = _insert(table, connection.dialect.name)
        connection.exec_driver_sql(sql, _writable(connection, list(table.c), rows))


def insert_named(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that name the columns of their values."""
    if rows:
        insert(connection, table, ordered(rows, [column.name for column in table.c]))


def ordered(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> list[Values]:
    """Return the values of rows in the order of the names."""
    if len(names) == 1:
        return [(row[names[0]],) for row in rows]
    return list(map(itemgetter(*names), rows))


def update(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Values], where: str
) -> int:
    """Set columns in the rows of the first column's values; return how many rows were changed.

    Each of `rows` has the values of `columns` and, last, of the primary key; `where` is a further
    condition.
    """
    held = [table.c[name] for name in columns]
    sql = _update(table, tuple(columns), where, connection.dialect.name)
    key = list(table.primary_key)
    return connection.exec_driver_sql(sql, _writable(connection, [*held, *key], rows)).rowcount


def delete(connection: Connection, table: Table, keys: Iterable[Any]) -> None:
    """Delete the rows of these primary keys, of one column each."""
    sql = _delete(table, connection.dialect.name)
    connection.exec_driver_sql(sql, [(key,) for key in keys])


def _writable(
    connection: Connection, columns: Sequence[Column[Any]], rows: Sequence[Values]
) -> list[Values]:
    """Return the rows as the driver takes them; SQLite takes any text as it is."""
    if connection.dialect.name == "sqlite":
        return list(rows)
    words = [isinstance(column.type, Words) for column in columns]
    convert = Words().process_bind_param
    return [
        tuple(
            convert(value, connection.dialect) if text else value
            for value, text in zip(row, words, strict=True)
        )
        for row in rows
    ]


@cache
def _insert(table: Table, dialect: str) -> str:
    names = ", ".join(f'"{column.name}"' for column in table.c)
    marks = ", ".join([_mark(dialect)] * len(table.c))
    return f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})'


@cache
def _update(table: Table, columns: tuple[str, ...], where: str, dialect: str) -> str:
    mark = _mark(dialect)
    changes = ", ".join(f'"{name}" = {mark}' for name in columns)
    [key] = table.primary_key
    return f'UPDATE "{table.name}" SET {changes} WHERE "{key.name}" = {mark} AND {where}'


@cache
def _delete(table: Table, dialect: str) -> str:
    [key] = table.primary_key
    return f'DELETE FROM "{table.name}" WHERE "{key.name}" = {_mark(dialect)}'


def _mark(dialect: str) -> str:
    return "?" if dialect == "sqlite" else "%s"
