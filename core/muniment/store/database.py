"""One database file: connections, transactions, and errors that say what to do.

A reading transaction sees one state of the store from beginning to end. A writing one takes the
write lock at once (`BEGIN IMMEDIATE`): a transaction that reads first and then wants to write can
find that it lost the race, and would have to fail.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from muniment.errors import StoreError

LOCK_SECONDS = 60.0


class Database:
    """The store's database: `path` is its file, `url` what it was opened by, without password."""

    def __init__(self, url: str) -> None:
        """Take a SQLAlchemy URL; nothing is touched yet. Raises StoreError for one of no use."""
        try:
            parsed = make_url(url)
        except ArgumentError:
            raise StoreError(
                url, f"{url!r} is not a store's URL; one looks like sqlite:////path/to/muniment.db"
            ) from None
        self.url = parsed.render_as_string(hide_password=True)
        if parsed.get_backend_name() != "sqlite":
            raise StoreError(
                self.url, f"a store is an SQLite file so far; {self.url} is something else"
            )
        if not parsed.database or parsed.database == ":memory:":
            raise StoreError(self.url, "a store is kept in a file; name one after sqlite:///")
        self.path = Path(parsed.database).absolute()
        if _unchangeable(self.path):
            parsed = parsed.set(
                database=f"file:{quote(str(self.path))}", query={"uri": "true", "immutable": "1"}
            )
        try:
            self._engine = create_engine(parsed, connect_args={"timeout": LOCK_SECONDS})
        except (ArgumentError, NoSuchModuleError) as error:
            raise StoreError(self.url, f"cannot open {self.url}: {error}") from None
        self._process = os.getpid()
        event.listen(self._engine, "connect", _configure)
        event.listen(self._engine, "begin", _begin)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One state of the store; nothing can be written."""
        with self._errors(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """All that is done is committed at the end, or none of it when an exception leaves."""
        with self._errors(), self.engine.connect() as connection:
            connection = connection.execution_options(muniment_writes=True)
            with connection.begin():
                yield connection

    def exists(self) -> bool:
        """Whether there is a file; StoreError when its place is taken by a folder or barred."""
        try:
            if self.path.is_dir():
                raise StoreError(
                    self.url, f"{self.path} is a folder; the store is a file, name one inside it"
                )
            return self.path.stat().st_size > 0
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise StoreError(
                self.url, f"the store {self.path} cannot be opened: {error.strerror}"
            ) from error

    def size(self) -> int:
        """Return the bytes that the store's files take."""
        files = (Path(f"{self.path}{suffix}") for suffix in ("", "-wal", "-shm"))
        return sum(file.stat().st_size for file in files if file.exists())

    def use_wal(self) -> None:
        """Turn on write-ahead logging, which a file keeps once it has it."""
        with self._errors(), self.engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.execute("PRAGMA journal_mode = WAL")

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
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise StoreError(self.url, self._sentence(error.orig)) from error

    def _sentence(self, error: Any) -> str:
        name = getattr(error, "sqlite_errorname", None) or ""
        for start, sentence in _SENTENCES.items():
            if name.startswith(start):
                return sentence.format(path=self.path)
        return f"the store {self.path} failed: {error}"


def _unchangeable(path: Path) -> bool:
    """Whether a store lies on a read-only disk, as an auditor's copy may.

    SQLite cannot read a database with write-ahead logging where it may make no file beside it,
    unless it is told that nothing will change. That is no lie only where no log is left over.
    """
    try:
        read_only = bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except (OSError, AttributeError):  # not there, or a system without statvfs
        return False
    return read_only and not Path(f"{path}-wal").exists()


_SENTENCES = {
    "SQLITE_BUSY": "the store {path} is being written by others and did not become free within "
    f"{LOCK_SECONDS:g} seconds; try again",
    "SQLITE_FULL": "the disk is full: nothing was written to {path}; make room and try again",
    "SQLITE_READONLY": "the store {path} cannot be written: the file or its folder is read-only",
    "SQLITE_PERM": "the store {path} may not be opened; look at its permissions",
    "SQLITE_AUTH": "the store {path} may not be opened; look at its permissions",
    "SQLITE_CANTOPEN": "the store {path} cannot be opened; look at the permissions",
    "SQLITE_NOTADB": "{path} is not a Muniment store: it is no database",
    "SQLITE_CORRUPT": "the store {path} is damaged; restore it from a backup",
    "SQLITE_IOERR": "the disk failed under the store {path}; nothing of this was written",
}


def _configure(connection: sqlite3.Connection, record: object) -> None:
    connection.isolation_level = None  # transactions begin where `_begin` says so
    for pragma in ("foreign_keys = ON", "secure_delete = ON", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("muniment_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
