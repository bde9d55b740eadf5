"""The store's database: connections, transactions, and errors that say what to do.

A reading transaction sees one state of the store from beginning to end. A writing one takes the
write lock at once and keeps it to its end: a transaction that reads first and then wants to write
can find that it lost the race, and would have to fail. What differs between SQLite and PostgreSQL
is in `sqlite.py` and `postgresql.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from muniment.errors import StoreError

Dialect = Literal["sqlite", "postgresql"]
LOCK_SECONDS = 60.0  # how long a writer waits for the others


class Backend(Protocol):
    """What one kind of database does in its own way."""

    def __init__(self, url: URL) -> None:
        """Take the URL; raises StoreError for one that the backend cannot use."""

    @property
    def path(self) -> Path | None:
        """The file that the store is, where it is one."""

    @property
    def name(self) -> str:
        """What the store is called in a sentence; never with a password."""

    def engine(self) -> Engine:
        """Make the engine; nothing is connected to yet."""

    def options(self, *, writes: bool) -> Mapping[str, Any]:
        """Return the options of a connection that is to read or to write."""

    def lock(self, connection: Connection) -> None:
        """Keep other writers out until the transaction ends."""

    def bound(self, connection: Connection) -> None:
        """Do without the lock, but let nothing be waited for too long."""

    def lock_schema(self, connection: Connection) -> None:
        """Keep other writers out, and whoever else makes or upgrades the store."""

    def share(self, connection: Connection, others: Callable[[str], None]) -> None:
        """Begin to read, and have others begin at the same state, which they are told to `join`.

        They are not called where that cannot be had.
        """

    def join(self, connection: Connection, state: str) -> None:
        """Begin to read the state that another process shares."""

    def exists(self) -> bool:
        """Whether there is anything to connect to."""

    def prepare(self, connect: Callable[[], AbstractContextManager[Connection]]) -> None:
        """Get ready what a new store needs; StoreError where that cannot be had."""

    def size(self, reading: Callable[[], AbstractContextManager[Connection]]) -> int:
        """Return the bytes that the store takes."""

    def copy(self, revision: str) -> Path | None:
        """Copy the store before its schema changes; None where that is left to its keepers."""

    def sentence(self, error: Any) -> str:
        """Say what an error of the driver means, and what to do."""


class Database:
    """The store's database: `url` is what it was opened by, without password.

    `path` is its file, None where it is a server's; `name` is what sentences call it.
    """

    def __init__(self, url: URL, backend: Backend, dialect: Dialect) -> None:
        """Create the engine of a backend; nothing is connected. Use `open_database`."""
        self.url = url.render_as_string(hide_password=True)
        self._url, self._backend, self.dialect = url, backend, dialect
        self.path, self.name = backend.path, backend.name
        try:
            self._engine = self._backend.engine()
        except (ArgumentError, NoSuchModuleError) as error:
            raise StoreError(self.url, f"cannot open {self.url}: {error}") from None
        self._process = os.getpid()
        self.wrote = False  # whether anything may have been written, and needs a signature

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One state of the store; nothing can be written."""
        with self._transaction(writes=False) as connection:
            yield connection

    @contextmanager
    def reading_with(self, others: Callable[[str], None]) -> Iterator[Connection]:
        """One state of the store for this process and others, as long as the block lasts.

        `others` is called once, with what `reading_beside` takes, and returns when all of them have
        begun. It is not called where one state for all cannot be had.
        """
        with self._transaction(writes=False) as connection:
            self._backend.share(connection, others)
            yield connection

    @contextmanager
    def reading_beside(self, state: str) -> Iterator[Connection]:
        """The state that another process reads, which waits in `reading_with`."""
        with self._transaction(writes=False) as connection:
            self._backend.join(connection, state)
            yield connection

    def __reduce__(self) -> tuple[type[Database], tuple[URL, Backend, Dialect]]:
        """Pickle what a worker process needs to open the database again."""
        return Database, (self._url, type(self._backend)(self._url), self.dialect)

    @contextmanager
    def writing(self, *, lock: bool = True) -> Iterator[Connection]:
        """All that is done is committed at the end, or none of it when an exception leaves.

        Without `lock` others may write meanwhile, where the database allows that: for what
        touches neither the ledger nor what is derived from it.
        """
        with self._transaction(writes=True) as connection:
            (self._backend.lock if lock else self._backend.bound)(connection)
            self.wrote = True
            yield connection

    @contextmanager
    def upgrading(self) -> Iterator[Connection]:
        """A writing transaction that makes or changes the tables; one process at a time."""
        with self._transaction(writes=True) as connection:
            self._backend.lock_schema(connection)
            yield connection

    def exists(self) -> bool:
        """Whether there is a database; StoreError when its place is taken by something else."""
        return self._backend.exists()

    def prepare(self) -> None:
        """Get ready what a new store needs; StoreError where that cannot be had."""
        self._backend.prepare(self._connected)

    def copy(self, revision: str) -> Path | None:
        """Copy an SQLite store of that revision to a file beside it, whose path is returned.

        Of a server's database nothing is copied: its keepers back it up.
        """
        return self._backend.copy(revision)

    def size(self) -> int:
        """Return the bytes that the store takes."""
        return self._backend.size(self.reading)

    @property
    def engine(self) -> Engine:
        """The engine; connections that a parent process opened are never used in a child."""
        if self._process != os.getpid():
            self._engine.dispose(close=False)
            self._process = os.getpid()
        return self._engine

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        with self._errors(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def _transaction(self, *, writes: bool) -> Iterator[Connection]:
        with self._connected() as connection:
            connection = connection.execution_options(**self._backend.options(writes=writes))
            with connection.begin():
                yield connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise StoreError(self.url, self._backend.sentence(error.orig)) from error
