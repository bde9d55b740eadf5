"""A store in an SQLite file: write-ahead logging, one writer at a time, durable when it returns."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event

from muniment.errors import StoreError
from muniment.store.database.engine import LOCK_SECONDS

SHARE_SECONDS = 2.0  # how long is waited for a moment in which nobody writes
SHARED_CACHE = 8192  # KiB


class SqliteFile:
    """The file of a store, and what SQLite needs to be told."""

    def __init__(self, url: URL) -> None:
        """Take the URL; raises StoreError for one that names no file."""
        self._shown = url.render_as_string(hide_password=True)
        if not url.database or url.database == ":memory:":
            raise StoreError(self._shown, "a store is kept in a file; name one after sqlite:///")
        self.path = Path(url.database).absolute()
        self.name = str(self.path)
        self._unchangeable = _unchangeable(self.path)
        if self._unchangeable:
            url = url.set(
                database=f"file:{quote(str(self.path))}", query={"uri": "true", "immutable": "1"}
            )
        self._url = url

    def engine(self) -> Engine:
        """Make the engine."""
        engine = create_engine(self._url, connect_args={"timeout": LOCK_SECONDS})
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)
        if self._unchangeable:
            self._state = _state(self.path)
            event.listen(engine, "commit", self._check)
        return engine

    def _check(self, connection: Connection) -> None:
        """Refuse what was read while others, who may, wrote: SQLite was told not to look."""
        if _state(self.path) != self._state:
            raise StoreError(
                self._shown,
                f"the store {self.path} was written while it was read, which cannot be followed "
                "where its folder may not be written; try again when nobody writes, or read a "
                "backup",
            )

    def options(self, *, writes: bool) -> Mapping[str, Any]:
        """Tell `_begin` how to begin."""
        return {"muniment_writes": writes}

    def lock(self, connection: Connection) -> None:
        """Do nothing: `BEGIN IMMEDIATE` took the lock."""

    bound = lock_schema = lock

    def share(self, connection: Connection, others: Callable[[str], None]) -> None:
        """Keep writers out for the instant in which all begin to read.

        Whoever may not write, or finds others writing for long, cannot, and reads alone.
        """
        with closing(sqlite3.connect(self.path, timeout=SHARE_SECONDS)) as keeper:
            if not self._unchangeable:
                try:
                    keeper.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError:
                    return
            others("")
            self.join(connection, "")

    def join(self, connection: Connection, state: str) -> None:
        """Begin to read at once, not only when something is asked for.

        Many processes that read everything once, in order, have no use for a large cache each.
        """
        connection.exec_driver_sql(f"PRAGMA cache_size = -{SHARED_CACHE}")
        connection.exec_driver_sql("SELECT 1 FROM sqlite_schema")

    def exists(self) -> bool:
        """Whether there is a file; StoreError when its place is taken by a folder or barred."""
        try:
            if self.path.is_dir():
                raise StoreError(
                    self._shown, f"{self.path} is a folder; the store is a file, name one inside it"
                )
            return self.path.stat().st_size > 0
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise StoreError(
                self._shown, f"the store {self.path} cannot be opened: {error.strerror}"
            ) from error

    def prepare(self, connect: Callable[[], AbstractContextManager[Connection]]) -> None:
        """Make the folder, and turn on write-ahead logging, which a file keeps once it has it."""
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                self._shown, f"the store's folder {folder} cannot be made: {error.strerror}"
            ) from error
        with connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.execute("PRAGMA journal_mode = WAL")

    def size(self, reading: Callable[[], AbstractContextManager[Connection]]) -> int:
        """Return the bytes that the store's files take."""
        files = (Path(f"{self.path}{suffix}") for suffix in ("", "-wal", "-shm"))
        return sum(file.stat().st_size for file in files if file.exists())

    def copy(self, revision: str) -> Path:
        """Copy what is committed to a file beside the store's; StoreError where that fails."""
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        target = Path(f"{self.path}.before-upgrade-of-{revision}-{moment}")
        partial = Path(f"{target}.partial")
        try:
            partial.touch(mode=0o600)
            partial.chmod(self.path.stat().st_mode & 0o777)
            with (
                closing(sqlite3.connect(self.path, timeout=LOCK_SECONDS)) as source,
                closing(sqlite3.connect(partial)) as copy,
            ):
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(target)
        except (OSError, sqlite3.Error) as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise StoreError(
                self._shown,
                f"the store {self.path} was left as it is: it cannot be backed up to {target} "
                f"before the upgrade ({why}); make room beside it and try again",
            ) from error
        return target

    def sentence(self, error: Any) -> str:
        """Say what an error of SQLite means."""
        name = getattr(error, "sqlite_errorname", None) or ""
        for start, sentence in _SENTENCES.items():
            if name.startswith(start):
                return sentence.format(path=self.path)
        return f"the store {self.path} failed: {error}"


def _unchangeable(path: Path) -> bool:
    """Whether a store lies where nothing can be written, as an auditor's copy may.

    SQLite cannot read a database with write-ahead logging where it may make no file beside it,
    unless it is told that nothing will change. That is no lie only where nothing is left beside it.
    """
    ours = os.access in os.supports_effective_ids
    if os.access(path.parent, os.W_OK, effective_ids=ours):
        return False
    try:
        _, size, left = _state(path)
    except OSError:  # not there, or out of reach
        return False
    return size > 0 and left == 0


def _state(path: Path) -> tuple[int, int, int]:
    """Return when a store was last written, its size, and that of what is not in it yet.

    That is a log of what is to be added, or a journal of what is to be taken back.
    """
    file = path.stat()
    left = 0
    for suffix in ("-wal", "-journal"):
        with suppress(FileNotFoundError):
            left += Path(f"{path}{suffix}").stat().st_size
    return file.st_mtime_ns, file.st_size, left


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


_PRAGMAS = (
    "foreign_keys = ON",
    "secure_delete = ON",
    "synchronous = FULL",
    "cache_size = -65536",  # 64 MiB: the inner pages of every index of millions of generations
    "wal_autocheckpoint = 8192",  # pages, 32 MiB: those that many chunks change are copied once
)


def _configure(connection: sqlite3.Connection, record: object) -> None:
    connection.isolation_level = None  # transactions begin where `_begin` says so
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("muniment_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
