"""Write many rows at once.

Rows are tuples in the order of the columns, and are passed to the driver without conversion. SQLite
runs one prepared statement for each row. PostgreSQL gets all rows in one statement.
"""

# SQLAlchemy binds the values of every row by name and type, which takes longer than the database
# needs to write them.

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import Column, Connection, Table
from sqlalchemy.exc import DBAPIError

from muniment.store.database.types import PortableText

Values: TypeAlias = tuple[Any, ...]


def insert(connection: Connection, table: Table, rows: Sequence[Values]) -> None:
    """Insert rows that have one value for each column, in the table's order."""
    if not rows:
        return
    written = _writable(connection, list(table.c), rows)
    if connection.dialect.name == "postgresql":
        copy(connection, table.name, [column.name for column in table.c], written)
    else:
        connection.exec_driver_sql(_insert(table), written)


def copy(
    connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Values]
) -> None:
    """Insert rows into a PostgreSQL table with COPY, several times as fast as INSERT."""
    names = ", ".join(f'"{name}"' for name in columns)
    sql = f'COPY "{table}" ({names}) FROM STDIN'
    driver: Any = connection.dialect.loaded_dbapi
    cursor: Any = connection.connection.cursor()
    try:
        with cursor, cursor.copy(sql) as stream:
            for row in rows:
                stream.write_row(row)
    except driver.Error as error:  # as SQLAlchemy raises it for its own statements
        raise DBAPIError.instance(
            sql, None, error, driver.Error, dialect=connection.dialect
        ) from error


def insert_named(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows given as mappings from column names to values."""
    if rows:
        insert(connection, table, ordered(rows, [column.name for column in table.c]))


def ordered(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> list[Values]:
    """Return the values of rows as tuples in the order of `names`."""
    if len(names) == 1:
        return [(row[names[0]],) for row in rows]
    return list(map(itemgetter(*names), rows))


def update(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Values], where: str
) -> int:
    """Update rows by primary key and return the number of rows that were changed.

    Each of `rows` has new values for `columns`, and the primary key last. Rows that do not meet the
    SQL condition `where` are not changed.
    """
    bound = [*(table.c[name] for name in columns), *table.primary_key]
    written = _writable(connection, bound, rows)
    if connection.dialect.name == "postgresql":
        types = [
            "text"
            if isinstance(column.type, PortableText)
            else column.type.compile(connection.dialect)
            for column in bound
        ]
        sql = _update_from_arrays(table, tuple(columns), tuple(types), where)
        return connection.exec_driver_sql(
            sql, tuple(map(list, zip(*written, strict=True)))
        ).rowcount
    sql = _update(table, tuple(columns), where)
    return connection.exec_driver_sql(sql, written).rowcount


def delete(connection: Connection, table: Table, keys: Iterable[Any]) -> None:
    """Delete rows by primary key, which must have one column."""
    [key] = table.primary_key
    if connection.dialect.name == "postgresql":
        sql = f'DELETE FROM "{table.name}" WHERE "{key.name}" = ANY(%s)'
        connection.exec_driver_sql(sql, (list(keys),))
    else:
        sql = f'DELETE FROM "{table.name}" WHERE "{key.name}" = ?'
        connection.exec_driver_sql(sql, [(value,) for value in keys])


def _writable(
    connection: Connection, columns: Sequence[Column[Any]], rows: Sequence[Values]
) -> list[Values]:
    """Return the rows with texts escaped for PostgreSQL, and unchanged for SQLite."""
    if connection.dialect.name == "sqlite":
        return list(rows)
    texts = "".join([value for row in rows for value in row if type(value) is str])
    if PortableText.plain(texts):  # nearly always; one check of all texts is faster
        return list(rows)
    is_text = [isinstance(column.type, PortableText) for column in columns]
    convert = PortableText().process_bind_param
    return [
        tuple(
            convert(value, connection.dialect) if text else value
            for value, text in zip(row, is_text, strict=True)
        )
        for row in rows
    ]


@cache
def _insert(table: Table) -> str:
    names = ", ".join(f'"{column.name}"' for column in table.c)
    marks = ", ".join("?" * len(table.c))
    return f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})'


@cache
def _update(table: Table, columns: tuple[str, ...], where: str) -> str:
    changes = ", ".join(f'"{name}" = ?' for name in columns)
    [key] = table.primary_key
    return f'UPDATE "{table.name}" SET {changes} WHERE "{key.name}" = ? AND {where}'


@cache
def _update_from_arrays(
    table: Table, columns: tuple[str, ...], types: tuple[str, ...], where: str
) -> str:
    """Return a PostgreSQL statement that updates all rows from one array for each column."""
    changes = ", ".join(f'"{name}" = new.v{number}' for number, name in enumerate(columns))
    arrays = ", ".join(f"%s::{type}[]" for type in types)
    names = ", ".join(f"v{number}" for number in range(len(types)))
    [key] = table.primary_key
    return (
        f'UPDATE "{table.name}" SET {changes} FROM unnest({arrays}) AS new({names}) '
        f'WHERE "{key.name}" = new.v{len(columns)} AND {where}'
    )
