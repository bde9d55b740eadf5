"""Connections, transactions and error messages of the store's database.

The subclasses of `Database` in `sqlite.py` and `postgresql.py` have the operations that differ
between the two databases. `open_database` in `opening.py` returns the one of a URL.

A read transaction sees one snapshot of the store. A write transaction takes the write lock when it
begins and keeps it until it ends.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlalchemy import URL, Connection, Engine
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    MultipleResultsFound,
    NoResultFound,
    NoSuchModuleError,
)

from muniment.config import without_password
from muniment.errors import DamagedStoreError, StoreError, StoreVersionError

T = TypeVar("T")

Dialect = Literal["sqlite", "postgresql"]
Progress = Callable[[str, int, int], None]
"""A function that receives the kind of checked items, the number checked and the total."""
CHUNK = 1000  # values in one IN (…)
LOCK_SECONDS = 60.0  # how long a writer waits for the write lock
_DATABASE = "database"  # the key in the data of a connection


class Database(ABC):
    """The store's database. A subclass has the operations of one kind of database.

    Attributes:
        url: The SQLAlchemy URL, without a password.
        dialect: The kind of database.
        path: The absolute path of an SQLite file, or None for a database server.
        name: The name of the store in messages, without a password.
        wrote: Whether this object began a write transaction, so that a new checkpoint may be due.
    """

    dialect: Dialect
    path: Path | None = None

    def __init__(self, url: URL) -> None:
        """Create the engine, without connecting. Call `open_database` instead.

        Raise UsageError or StoreError if the subclass or SQLAlchemy rejects the URL.
        """
        self.url = self.name = without_password(url.render_as_string(hide_password=False))
        self._url = url
        self._process = os.getpid()
        self._compared: object = None  # revision and version of the schema that was compared last
        self.wrote = False
        try:
            self._engine = self._create_engine()
        except (ArgumentError, NoSuchModuleError) as error:
            raise StoreError(self.url, f"cannot open {self.url}: {error}; check the URL") from None

    # ---- operations that differ between the databases ------------------------------------------

    @abstractmethod
    def _create_engine(self) -> Engine:
        """Create the SQLAlchemy engine, without connecting."""

    def _options(self, *, writes: bool) -> Mapping[str, Any]:
        """Return the SQLAlchemy execution options of a read or write transaction."""
        return {}

    @abstractmethod
    def _begin(self, connection: Connection) -> None:
        """Begin to read."""

    @abstractmethod
    def _lock(self, connection: Connection) -> None:
        """Take the write lock, which is released when the transaction ends."""

    @abstractmethod
    def _set_timeouts(self, connection: Connection) -> None:
        """Set the timeouts of the transaction without taking the write lock."""

    @abstractmethod
    def _lock_schema(self, connection: Connection) -> None:
        """Take the write lock and the lock that serialises creating and upgrading a store."""

    @abstractmethod
    def _share_snapshot(self, connection: Connection, publish: Callable[[str], None]) -> None:
        """Begin to read, and call `publish` with a token of the snapshot."""

    @abstractmethod
    def _join_snapshot(self, connection: Connection, snapshot: str) -> None:
        """Begin to read the snapshot that another process shares under this token."""

    @abstractmethod
    def _schema_version(self, connection: Connection) -> int:
        """Return a number that changes with the schema, if the database has one."""

    @abstractmethod
    def _is_damage(self, error: Any) -> bool:
        """Return whether an error of the driver means that stored data cannot be read."""

    @abstractmethod
    def _error_message(self, error: Any) -> str:
        """Return what an error of the database driver means and what the user can do."""

    @abstractmethod
    def exists(self) -> bool:
        """Return whether there is a database to connect to.

        Raise StoreError if the path is a folder or cannot be accessed.
        """

    @abstractmethod
    def prepare(self) -> None:
        """Create or check the prerequisites of a new store.

        Raise StoreError if one is missing and cannot be created.
        """

    @abstractmethod
    def copy_before_upgrade(self, revision: str) -> Path | None:
        """Copy an SQLite store of schema `revision` to a file beside it and return its path.

        Return None on PostgreSQL, where nothing is copied.
        """

    @abstractmethod
    def size(self) -> int:
        """Return the size of the store in bytes, indexes included."""

    # ---- connections and transactions ----------------------------------------------------------

    @property
    def files(self) -> list[Path]:
        """The file of an SQLite store, and those of its write-ahead log and shared memory."""
        suffixes = () if self.path is None else ("", "-wal", "-shm")
        return [Path(f"{self.path}{suffix}") for suffix in suffixes]

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a read-only transaction that sees one snapshot of the store."""
        with self._transaction(self._begin, writes=False) as connection:
            yield connection

    @contextmanager
    def reading_shared(self, publish: Callable[[str], None]) -> Iterator[Connection]:
        """Open a read-only transaction whose snapshot other processes can join.

        `publish` is called once, with the token that `reading_snapshot` takes. It must return only
        after every other process has begun to read. It is not called if the database cannot share
        a snapshot now.
        """
        with self.reading() as connection:
            self._share_snapshot(connection, publish)
            yield connection

    @contextmanager
    def reading_snapshot(self, snapshot: str) -> Iterator[Connection]:
        """Open a read-only transaction on a snapshot that another process shares.

        The other process must stay in `reading_shared` until this transaction has begun.
        """
        with self.reading() as connection:
            self._join_snapshot(connection, snapshot)
            yield connection

    def __reduce__(self) -> tuple[type[Database], tuple[URL]]:
        """Pickle the URL, so that a worker process can connect."""
        return type(self), (self._url,)

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a write transaction, which is rolled back if the block raises.

        Raise StoreVersionError if the schema is not the one that the migrations make. PostgreSQL
        has no number that changes with the schema, so there it is compared in the first transaction
        and after an upgrade.
        """
        # The lock comes first: after a transaction has read, another writer can commit before the
        # lock is free. The transaction would then have to fail or to be retried.
        with self._transaction(self._lock, writes=True) as connection:
            self._raise_if_altered(connection)
            self.wrote = True
            yield connection

    @contextmanager
    def maintaining(self) -> Iterator[Connection]:
        """Open a write transaction for tables that hold no evidence, also in an altered schema.

        These are the leases, the register of backups and the pending removals of erased bytes. On
        PostgreSQL the write lock is not taken, so that other processes can write at the same time.
        """
        with self._transaction(self._set_timeouts, writes=True) as connection:
            yield connection

    @contextmanager
    def upgrading(self) -> Iterator[Connection]:
        """Open a write transaction that creates or changes tables, in one process at a time."""
        with self._transaction(self._lock_schema, writes=True) as connection:
            yield connection

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
        """Open a connection. Raise StoreError instead of errors of the database driver."""
        try:
            with self.engine.connect() as connection:
                connection.info[_DATABASE] = self
                yield connection
        except DBAPIError as error:
            raise self._store_error(error.orig) from error
        except (NoResultFound, MultipleResultsFound) as error:  # of tables with one row
            raise DamagedStoreError(
                self.url,
                f"the store {self.name} is damaged: its table ledger_head does not have exactly "
                "one row; restore a backup",
            ) from error
        except self._driver_error() as error:  # of a cursor that is used without SQLAlchemy
            raise self._store_error(error) from error

    def _driver_error(self) -> type[Exception]:
        driver: Any = self.engine.dialect.loaded_dbapi
        error: type[Exception] = driver.Error
        return error

    def _store_error(self, error: BaseException | None) -> StoreError:
        message = self._error_message(error)
        if self._is_damage(error):
            return DamagedStoreError(self.url, message)
        return StoreError(self.url, message)

    def _raise_if_altered(self, connection: Connection) -> None:
        """Raise StoreVersionError if the schema was upgraded or altered by another process."""
        from muniment.store.database import catalog

        state = catalog.revisions(connection), self._schema_version(connection)
        if state == self._compared:
            return
        if catalog.is_newer(state[0]):
            raise StoreVersionError(
                self.url,
                f"nothing was written to the store {self.name}, because it was upgraded by a newer "
                f"Muniment (schema {state[0][0]}); restart with that version",
            )
        if problem := catalog.first_problem(catalog.differences(connection)):
            raise StoreVersionError(
                self.url,
                f"nothing was written to the store {self.name}, because its schema was altered: "
                f"{problem}; run `muniment audit verify` to list the problems, and undo the "
                "changes or restore a backup",
            )
        self._compared = state

    @contextmanager
    def _transaction(
        self, begin: Callable[[Connection], None], *, writes: bool
    ) -> Iterator[Connection]:
        with self._connected() as connection:
            connection = connection.execution_options(**self._options(writes=writes))
            with connection.begin():
                begin(connection)
                yield connection


def database_of(connection: Connection) -> Database:
    """Return the database of a transaction, which has its name and URL without a password."""
    database: Database = connection.info[_DATABASE]
    return database


def chunks(values: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """Yield the values in slices of at most `size`, for one SQL statement each."""
    return (values[start : start + size] for start in range(0, len(values), size))
