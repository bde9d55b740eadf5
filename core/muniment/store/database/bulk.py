"""Write many rows at once, and run short statements in little time.

Rows are tuples in the order of the columns, and are passed to the driver without conversion. SQLite
runs one prepared statement for each row. PostgreSQL gets all rows in one statement.
"""

# SQLAlchemy binds the values of every row by name and type, which takes longer than the database
# needs to write them. A lookup by a key takes it ten times as long as the driver.

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeAlias

from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError

Values: TypeAlias = tuple[Any, ...]


def execute(connection: Connection, sql: str, values: Values = ()) -> list[Values]:
    """Run a statement that has a question mark for each value, and return its rows."""
    if connection.dialect.name == "postgresql":
        sql = sql.replace("?", "%s")
    driver: Any = connection.connection.driver_connection
    with _sqlalchemy_errors(connection, sql):
        cursor = driver.execute(sql, values)
        rows: list[Values] = cursor.fetchall() if cursor.description else []
    return rows


def insert(connection: Connection, table: Table, rows: Sequence[Values]) -> None:
    """Insert rows that have one value for each column, in the table's order."""
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        copy(connection, table.name, [column.name for column in table.c], rows)
    else:
        _run_many(connection, _insert(table), rows)


def copy(
    connection: Connection, table: str, columns: Sequence[str], rows: Iterable[Values]
) -> None:
    """Insert rows into a PostgreSQL table with COPY, several times as fast as INSERT."""
    names = ", ".join(f'"{name}"' for name in columns)
    sql = f'COPY "{table}" ({names}) FROM STDIN'
    cursor: Any = connection.connection.cursor()
    with _sqlalchemy_errors(connection, sql), cursor, cursor.copy(sql) as stream:
        for row in rows:
            stream.write_row(row)


def _run_many(connection: Connection, sql: str, rows: Sequence[Values]) -> int:
    """Run a statement of SQLite for each row, and return the number of rows that it changed."""
    driver: Any = connection.connection.driver_connection
    with _sqlalchemy_errors(connection, sql):
        changed: int = driver.executemany(sql, rows).rowcount
    return changed


@contextmanager
def _sqlalchemy_errors(connection: Connection, sql: str) -> Iterator[None]:
    """Raise the driver's errors as SQLAlchemy does for its own statements."""
    driver: Any = connection.dialect.loaded_dbapi
    try:
        yield
    except driver.Error as error:
        raise DBAPIError.instance(
            sql, None, error, driver.Error, dialect=connection.dialect
        ) from error


def update(
    connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Values], where: str
) -> int:
    """Update rows by primary key and return the number of rows that were changed.

    Each of `rows` has new values for `columns`, and the primary key last. A value of None keeps the
    old one. Rows that do not meet the SQL condition `where` are not changed.
    """
    if not rows:
        return 0
    bound = [*(table.c[name] for name in columns), *table.primary_key]
    if connection.dialect.name == "postgresql":
        types = tuple(column.type.compile(connection.dialect).split()[0] for column in bound)
        sql = _update_from_arrays(table, tuple(columns), types, where)
        return connection.exec_driver_sql(sql, tuple(map(list, zip(*rows, strict=True)))).rowcount
    sql = _update(table, tuple(columns), where)
    return _run_many(connection, sql, rows)


def delete(connection: Connection, table: Table, keys: Iterable[Any]) -> None:
    """Delete rows by primary key, which must have one column."""
    [key] = table.primary_key
    if connection.dialect.name == "postgresql":
        sql = f'DELETE FROM "{table.name}" WHERE "{key.name}" = ANY(%s)'
        connection.exec_driver_sql(sql, (list(keys),))
    else:
        sql = f'DELETE FROM "{table.name}" WHERE "{key.name}" = ?'
        _run_many(connection, sql, [(value,) for value in keys])


@cache
def _insert(table: Table) -> str:
    names = ", ".join(f'"{column.name}"' for column in table.c)
    marks = ", ".join("?" * len(table.c))
    return f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})'


@cache
def _update(table: Table, columns: tuple[str, ...], where: str) -> str:
    changes = ", ".join(f'"{name}" = coalesce(?, "{name}")' for name in columns)
    [key] = table.primary_key
    return f'UPDATE "{table.name}" SET {changes} WHERE "{key.name}" = ? AND {where}'


@cache
def _update_from_arrays(
    table: Table, columns: tuple[str, ...], types: tuple[str, ...], where: str
) -> str:
    """Return a PostgreSQL statement that updates all rows from one array for each column."""
    changes = ", ".join(
        f'"{name}" = coalesce(new.v{number}, "{table.name}"."{name}")'
        for number, name in enumerate(columns)
    )
    arrays = ", ".join(f"%s::{type}[]" for type in types)
    names = ", ".join(f"v{number}" for number in range(len(types)))
    [key] = table.primary_key
    return (
        f'UPDATE "{table.name}" SET {changes} FROM unnest({arrays}) AS new({names}) '
        f'WHERE "{key.name}" = new.v{len(columns)} AND {where}'
    )
