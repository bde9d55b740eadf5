"""Connections, transactions and error messages of the store's database.

The rest of the store uses `Database`. Its `Backend` has the operations that differ between SQLite
and PostgreSQL, which are implemented in `sqlite.py` and `postgresql.py`.

A read transaction sees one snapshot of the store. A write transaction takes the write lock when it
begins and keeps it until it ends.
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
LOCK_SECONDS = 60.0  # how long a writer waits for the write lock


class Backend(Protocol):
    """The operations that differ between the supported databases."""

    def __init__(self, url: URL) -> None:
        """Prepare to connect to `url`, without connecting.

        Raise StoreError if this backend cannot use the URL.
        """

    @property
    def path(self) -> Path | None:
        """The absolute path of the database file, or None for a database server."""

    @property
    def name(self) -> str:
        """The name of the store in messages, without a password."""

    def engine(self) -> Engine:
        """Create the SQLAlchemy engine, without connecting."""

    def options(self, *, writes: bool) -> Mapping[str, Any]:
        """Return the SQLAlchemy execution options of a read or write transaction."""

    def begin(self, connection: Connection) -> None:
        """Begin to read."""

    def lock(self, connection: Connection) -> None:
        """Take the write lock, which is released when the transaction ends."""

    def set_timeouts(self, connection: Connection) -> None:
        """Set the timeouts of the transaction without taking the write lock."""

    def lock_schema(self, connection: Connection) -> None:
        """Take the write lock and the lock that serialises creating and upgrading a store."""

    def share_snapshot(self, connection: Connection, publish: Callable[[str], None]) -> None:
        """Begin to read, and call `publish` with a token of the snapshot.

        Other processes pass the token to `join_snapshot`, and `publish` must return only after all
        of them have done so. It is not called if the database cannot share a snapshot now.
        """

    def join_snapshot(self, connection: Connection, snapshot: str) -> None:
        """Begin to read the snapshot that another process shares under this token."""

    def exists(self) -> bool:
        """Return whether there is a database to connect to."""

    def prepare(self, connect: Callable[[], AbstractContextManager[Connection]]) -> None:
        """Create or check the prerequisites of a new store.

        Raise StoreError if one is missing and cannot be created.
        """

    def size(self, reading: Callable[[], AbstractContextManager[Connection]]) -> int:
        """Return the size of the store in bytes, indexes included."""

    def copy_before_upgrade(self, revision: str) -> Path | None:
        """Copy the store before its schema is upgraded from `revision`.

        Return the path of the copy, or None if this backend makes no copy.
        """

    def error_message(self, error: Any) -> str:
        """Return what an error of the database driver means and what the user can do."""


class Database:
    """The store's database.

    Attributes:
        url: The SQLAlchemy URL, without a password.
        dialect: The kind of database.
        path: The absolute path of an SQLite file, or None for a database server.
        name: The name of the store in messages.
        wrote: Whether this object began a write transaction, so that a new checkpoint may be due.
    """

    def __init__(self, url: URL, backend: Backend, dialect: Dialect) -> None:
        """Create the engine of a backend, without connecting. Call `open_database` instead.

        Raise StoreError if SQLAlchemy rejects the URL.
        """
        self.url = url.render_as_string(hide_password=True)
        self._url, self._backend, self.dialect = url, backend, dialect
        self.path, self.name = backend.path, backend.name
        try:
            self._engine = self._backend.engine()
        except (ArgumentError, NoSuchModuleError) as error:
            raise StoreError(self.url, f"cannot open {self.url}: {error}; check the URL") from None
        self._process = os.getpid()
        self.wrote = False

    @property
    def files(self) -> list[Path]:
        """The file of an SQLite store, and those of its write-ahead log and shared memory."""
        suffixes = () if self.path is None else ("", "-wal", "-shm")
        return [Path(f"{self.path}{suffix}") for suffix in suffixes]

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a read-only transaction that sees one snapshot of the store."""
        with self._transaction(self._backend.begin, writes=False) as connection:
            yield connection

    @contextmanager
    def reading_shared(self, publish: Callable[[str], None]) -> Iterator[Connection]:
        """Open a read-only transaction whose snapshot other processes can join.

        `publish` is called once, with the token that `reading_snapshot` takes. It must return only
        after every other process has begun to read. It is not called if the database cannot share
        a snapshot now.
        """
        with self.reading() as connection:
            self._backend.share_snapshot(connection, publish)
            yield connection

    @contextmanager
    def reading_snapshot(self, snapshot: str) -> Iterator[Connection]:
        """Open a read-only transaction on a snapshot that another process shares.

        The other process must stay in `reading_shared` until this transaction has begun.
        """
        with self.reading() as connection:
            self._backend.join_snapshot(connection, snapshot)
            yield connection

    def __reduce__(self) -> tuple[type[Database], tuple[URL, Backend, Dialect]]:
        """Pickle the URL and an unconnected backend, so that a worker process can connect."""
        return Database, (self._url, type(self._backend)(self._url), self.dialect)

    @contextmanager
    def writing(self, *, lock: bool = True) -> Iterator[Connection]:
        """Open a write transaction, which is rolled back if the block raises.

        `lock=False` does not take the write lock on PostgreSQL, so that other processes can write
        at the same time. Use it only for tables that are neither the ledger nor derived from it.
        """
        # The lock comes first: after a transaction has read, another writer can commit before the
        # lock is free. The transaction would then have to fail or to be retried.
        begin = self._backend.lock if lock else self._backend.set_timeouts
        with self._transaction(begin, writes=True) as connection:
            self.wrote = True
            yield connection

    @contextmanager
    def upgrading(self) -> Iterator[Connection]:
        """Open a write transaction that creates or changes tables, in one process at a time."""
        with self._transaction(self._backend.lock_schema, writes=True) as connection:
            yield connection

    def exists(self) -> bool:
        """Return whether there is a database to connect to.

        Raise StoreError if the path is a folder or cannot be accessed.
        """
        return self._backend.exists()

    def prepare(self) -> None:
        """Create or check the prerequisites of a new store.

        Raise StoreError if one is missing and cannot be created.
        """
        self._backend.prepare(self._connected)

    def copy_before_upgrade(self, revision: str) -> Path | None:
        """Copy an SQLite store of schema `revision` to a file beside it and return its path.

        Return None on PostgreSQL, where nothing is copied.
        """
        return self._backend.copy_before_upgrade(revision)

    def size(self) -> int:
        """Return the size of the store in bytes, indexes included."""
        return self._backend.size(self.reading)

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine of this process."""
        # Two processes must not share one connection: a forked child forgets those of its parent.
        if self._process != os.getpid():
            self._engine.dispose(close=False)
            self._process = os.getpid()
        return self._engine

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        with self._driver_errors(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def _transaction(
        self, begin: Callable[[Connection], None], *, writes: bool
    ) -> Iterator[Connection]:
        with self._connected() as connection:
            connection = connection.execution_options(**self._backend.options(writes=writes))
            with connection.begin():
                begin(connection)
                yield connection

    @contextmanager
    def _driver_errors(self) -> Iterator[None]:
        """Raise StoreError instead of errors of the database driver."""
        try:
            yield
        except DBAPIError as error:
            raise StoreError(self.url, self._backend.error_message(error.orig)) from error
