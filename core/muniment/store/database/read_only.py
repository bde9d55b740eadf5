"""Run one SELECT statement that a user wrote, so that it cannot write.

On SQLite the connection is opened with `mode=ro`, and an authorizer denies every action other than
reading. On PostgreSQL the transaction is read-only, and the statement is the query of a cursor.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy.exc import DBAPIError

from muniment.errors import UsageError
from muniment.representation import showing
from muniment.store.database.engine import Database
from muniment.validation import escape_unencodable

_PAGE = 1000  # rows in memory at once, on PostgreSQL
_STEPS = 10_000  # instructions of SQLite's virtual machine between two checks for Ctrl-C


class SqlError(UsageError):
    """A statement that is malformed, that fails, or that is not a single SELECT."""

    def __init__(self, statement: str, reason: str) -> None:
        super().__init__(f"the SQL statement failed: {reason}")
        self.statement = statement


@dataclass(frozen=True, slots=True)
class SelectedRows:
    """The result of a SELECT: the names of its columns and an iterator over its rows.

    Several columns can have the same name. TEXT of an SQLite file that is not valid UTF-8 has
    backslash escapes for the invalid bytes.
    """

    columns: Sequence[str]
    rows: Iterator[Sequence[Any]]

    __repr__ = showing()


@contextmanager
def select(database: Database, statement: str) -> Iterator[SelectedRows]:
    """Run a SELECT in a read-only transaction that lasts as long as the block.

    The rows are read while the block iterates over them. Raise SqlError if the statement is not a
    single SELECT or fails, and StoreError if the database does.
    """
    if escape_unencodable(statement) != statement:  # psycopg would send the part before NUL
        raise SqlError(statement, "it has a NUL character or is not valid Unicode; remove that")
    with database.reading() as connection:
        driver: Any = connection.connection.driver_connection
        dbapi: Any = connection.dialect.loaded_dbapi
        is_sqlite = connection.dialect.name == "sqlite"
        try:
            with (_sqlite_cursor if is_sqlite else _postgresql_cursor)(driver) as cursor:
                cursor.execute(statement)
                if cursor.description is None:
                    raise SqlError(statement, "it is empty; use a SELECT statement")
                rows = iter(cursor)
                first = list(itertools.islice(rows, 1))  # before the caller prints anything
                columns = [column[0] for column in cursor.description]
                yield SelectedRows(columns, itertools.chain(first, rows))
        except (dbapi.Error, dbapi.Warning) as error:
            raise _error(statement, error, dbapi) from error


@contextmanager
def _sqlite_cursor(driver: sqlite3.Connection) -> Iterator[sqlite3.Cursor]:
    """Open a cursor on a connection that permits reading only while the block runs."""
    previous, driver.text_factory = driver.text_factory, _decode_escaping_invalid_bytes
    driver.set_authorizer(_authorize)
    # Python runs signal handlers between two instructions of its own, so SQLite has to call Python.
    driver.set_progress_handler(lambda: 0, _STEPS)
    cursor = driver.cursor()
    try:
        yield cursor
    finally:
        cursor.close()
        driver.set_progress_handler(None, 0)
        driver.set_authorizer(None)
        driver.text_factory = previous


@contextmanager
def _postgresql_cursor(driver: Any) -> Iterator[Any]:
    """Open a server-side cursor, for which the driver sends DECLARE ... CURSOR FOR.

    The driver uses the extended protocol, in which a second statement is a syntax error.
    """
    from psycopg.types.string import TextLoader

    with driver.cursor("muniment_sql") as cursor:
        cursor.itersize = _PAGE
        for name in _TIMES:
            cursor.adapters.register_loader(name, TextLoader)
        yield cursor


def _authorize(action: int, first: str | None, second: str | None, *place: str | None) -> int:
    """Return whether SQLite may compile an action of a statement."""
    allowed = action in _READING and not (
        action == sqlite3.SQLITE_FUNCTION and second in _FORBIDDEN_FUNCTIONS
    )
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def _error(statement: str, error: Exception, dbapi: Any) -> BaseException:
    """Return the exception to raise for an error of the driver."""
    code = getattr(error, "sqlite_errorname", None) or getattr(error, "sqlstate", None) or ""
    if code == "SQLITE_INTERRUPT":
        return KeyboardInterrupt()
    if code.startswith(_STORE_FAILURES) or (isinstance(error, dbapi.OperationalError) and not code):
        return DBAPIError(statement, None, error)  # which becomes StoreError
    lines = str(error).splitlines() or [type(error).__name__]
    if "one statement at a time" in lines[0] or "multiple commands" in lines[0]:
        return SqlError(statement, "there are several statements; use one")
    if code == "SQLITE_AUTH":
        return SqlError(statement, f"{lines[0]}; only SELECT is allowed, without PRAGMA")
    hints = [line.removeprefix("HINT:").strip() for line in lines if line.startswith("HINT:")]
    return SqlError(statement, "; ".join([lines[0], *hints]).rstrip("."))


_decode_escaping_invalid_bytes = partial(str, encoding="utf-8", errors="backslashreplace")

_READING = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
    }
)
# Functions that run code, access files or return pointers. Most builds of SQLite lack them.
_FORBIDDEN_FUNCTIONS = frozenset(
    {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"}
)

# SQLSTATE classes and names of SQLite's codes that concern the database, not the statement.
_STORE_FAILURES = (
    *("53", "57P", "58", "XX"),
    *("SQLITE_BUSY", "SQLITE_CANTOPEN", "SQLITE_CORRUPT", "SQLITE_FULL", "SQLITE_IOERR"),
    *("SQLITE_NOTADB", "SQLITE_PERM"),
)

# Types whose values can be out of the range of Python's types, such as `infinity`.
_TIMES = ("date", "time", "timetz", "timestamp", "timestamptz", "interval")
