"""The SQLite backend: write-ahead logging, one writer at a time, fsync at every commit."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event

from muniment.errors import StoreError, UsageError
from muniment.files import make_folder, replacing
from muniment.store.database import bulk
from muniment.store.database.engine import LOCK_SECONDS, Database

SHARE_SECONDS = 2.0  # how long `share_snapshot` waits for the write lock
SHARED_CACHE = 8192  # KiB of page cache for each process that reads a shared snapshot


class SqliteDatabase(Database):
    """A store in an SQLite file."""

    dialect = "sqlite"
    path: Path

    def __init__(self, url: URL, *, read_only: bool = False) -> None:
        """Prepare to open the file of `url`, with `read_only` so that SQLite cannot write to it.

        Raise UsageError if the URL has no file or has options.
        """
        if not url.database or url.database == ":memory:":
            raise UsageError(f"{url} has no file name; add a path after sqlite:///")
        if url.query:
            raise UsageError(
                f"{url} has options after the path ({', '.join(url.query)}), which are not "
                "supported; remove them"
            )
        self.path = Path(url.database).absolute()
        self._read_only, self._immutable = read_only, _is_immutable(self.path)
        super().__init__(url)
        self.name = str(self.path)

    def _create_engine(self) -> Engine:
        url = self._url
        if self._immutable or self._read_only:
            mode = {"immutable": "1"} if self._immutable else {"mode": "ro"}
            url = url.set(database=f"file:{quote(str(self.path))}", query={"uri": "true", **mode})
        engine = create_engine(url, connect_args={"timeout": LOCK_SECONDS})
        event.listen(engine, "connect", _configure)
        if self._immutable:
            self._file_state = _file_state(self.path)
            event.listen(engine, "commit", self._raise_if_written)
        return engine

    def _raise_if_written(self, connection: Connection) -> None:
        """Raise StoreError if the file of an immutable store has changed since it was opened."""
        # Opened with immutable=1, SQLite takes no locks and does not detect changes. A process with
        # more permissions may have written, so the rows read may be inconsistent.
        if _file_state(self.path) != self._file_state:
            raise StoreError(
                self.url,
                f"the store {self.path} was written while it was read in a read-only folder; try "
                "again when no process writes, or read a backup",
            )

    def _begin(self, connection: Connection) -> None:
        """Begin to read."""
        bulk.execute(connection, "BEGIN")

    def _lock(self, connection: Connection) -> None:
        """Take the write lock and begin to write."""
        if not _try_to_lock(connection):
            bulk.execute(connection, "BEGIN IMMEDIATE")  # waits again, and raises StoreError

    _set_timeouts = _lock_schema = _lock

    def _share_snapshot(self, connection: Connection, publish: Callable[[str], None]) -> None:
        """Hold the write lock while this process and the others begin to read.

        An immutable store needs no lock. `publish` is not called if the lock is not free within
        `SHARE_SECONDS`, or if this process may not write.
        """
        with closing(sqlite3.connect(self.path, timeout=SHARE_SECONDS)) as locking:
            if not self._immutable:
                try:
                    locking.execute("BEGIN IMMEDIATE")
                except sqlite3.OperationalError:
                    return
            publish("")
            self._join_snapshot(connection, "")

    def _join_snapshot(self, connection: Connection, snapshot: str) -> None:
        """Begin to read now, while the process that shares the snapshot holds the write lock."""
        # Each of these processes reads everything once and in order: a large cache has no use.
        connection.exec_driver_sql(f"PRAGMA cache_size = -{SHARED_CACHE}")
        # BEGIN alone takes no snapshot; the first SELECT does.
        connection.exec_driver_sql("SELECT 1 FROM sqlite_schema")

    def exists(self) -> bool:
        """Return whether the file exists and is not empty.

        Raise StoreError if the path is a folder or cannot be accessed.
        """
        try:
            if self.path.is_dir():
                raise StoreError(
                    self.url,
                    f"{self.path} is a folder, but a store is a file; add a file name to the path",
                )
            return self.path.stat().st_size > 0
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise StoreError(
                self.url,
                f"the store {self.path} cannot be opened: {error.strerror}; check the path",
            ) from error

    def prepare(self) -> None:
        """Create the folder and the file, and turn on write-ahead logging in the file.

        Raise StoreError if one of them cannot be created.
        """
        try:
            create_private(self.path)
        except OSError as error:
            raise StoreError(
                self.url,
                f"the store {self.path} cannot be created: {error.strerror}; check the path",
            ) from error
        with self._connected() as connection:
            driver: Any = connection.connection.driver_connection
            # Outside a transaction. The file keeps this mode for every later connection.
            driver.execute("PRAGMA journal_mode = WAL")

    def size(self) -> int:
        """Return the size in bytes of the database, its write-ahead log and shared-memory file."""
        return sum(file.stat().st_size for file in self.files if file.exists())

    def copy_before_upgrade(self, revision: str) -> Path:
        """Copy all committed data to a file beside the store, fsync it and return its path.

        Raise StoreError if the copy fails, after removing the partial file.
        """
        timestamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        target = Path(f"{self.path}.before-upgrade-of-{revision}-{timestamp}")
        try:
            with replacing(target) as file:
                copy_file(self.path, Path(file.name))
        except (OSError, sqlite3.Error) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise StoreError(
                self.url,
                f"the store {self.path} was not upgraded, because it cannot be backed up to "
                f"{target} ({reason}); free disk space there and try again",
            ) from error
        return target

    def _schema_version(self, connection: Connection) -> int:
        """Return the number that SQLite increments with every change of the schema."""
        [(version,)] = bulk.execute(connection, "PRAGMA main.schema_version")
        return int(version)

    def _is_damage(self, error: Any) -> bool:
        """Return whether SQLite cannot read the file."""
        code = getattr(error, "sqlite_errorname", None) or ""
        return code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))

    def _error_message(self, error: Any) -> str:
        """Return the message for an error of the `sqlite3` module, by the name of its code."""
        code = getattr(error, "sqlite_errorname", None) or ""
        for prefix, message in _MESSAGES.items():
            if code.startswith(prefix):
                return message.format(path=self.path)
        if str(error) == "constraint failed":  # FTS5 names no table; constraints of tables do
            return (
                f"nothing was written to the store {self.path}, because its search index is "
                "damaged; run `muniment db rebuild`, and then the command again"
            )
        return f"the store {self.path} failed: {error}"


def create_private(path: Path) -> None:
    """Create a file and its folder for their owner only, unless they exist. Raises OSError."""
    make_folder(path.parent)
    if not path.exists():
        path.touch(mode=0o600)  # SQLite would follow the umask, and gives its log the same mode


def copy_file(path: Path, target: Path) -> tuple[str, int, bytes]:
    """Copy the committed data of a store to an empty file, with the permissions of the store.

    Return identity, size and frontier of the copied ledger.
    """
    with (
        closing(sqlite3.connect(path, timeout=LOCK_SECONDS)) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        # The head is read in the same transaction as the copied pages.
        source.isolation_level = None
        source.execute("BEGIN")
        head: tuple[str, int, bytes] = source.execute(
            "SELECT log_id, size, frontier FROM ledger_head"
        ).fetchone()
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    target.chmod(path.stat().st_mode & 0o777)
    return head


def _is_immutable(path: Path) -> bool:
    """Return whether a store can be opened with immutable=1.

    Its folder must not be writable, as for an auditor's copy. There must be no data in a
    write-ahead log or rollback journal beside it.
    """
    # SQLite cannot open a database with write-ahead logging in a folder where it may not create
    # files, except with immutable=1. With that it ignores a log or journal beside the file.
    effective_ids = os.access in os.supports_effective_ids
    if os.access(path.parent, os.W_OK, effective_ids=effective_ids):
        return False
    try:
        _, size, unmerged = _file_state(path)
    except OSError:  # the file is missing or cannot be accessed
        return False
    return size > 0 and unmerged == 0


def _file_state(path: Path) -> tuple[int, int, int]:
    """Return modification time (ns) and size of a store, and the size of its log and journal."""
    file = path.stat()
    unmerged = 0
    for suffix in ("-wal", "-journal"):
        with suppress(FileNotFoundError):
            unmerged += Path(f"{path}{suffix}").stat().st_size
    return file.st_mtime_ns, file.st_size, unmerged


_MESSAGES = {
    "SQLITE_BUSY": "the store {path} is locked: other processes wrote to it for more than "
    f"{LOCK_SECONDS:g} seconds; try again",
    "SQLITE_FULL": "the disk is full: nothing was written to {path}; free disk space and try again",
    "SQLITE_READONLY": "the store {path} cannot be written, because the file or its folder is "
    "read-only; change its permissions",
    "SQLITE_PERM": "access to the store {path} is denied; check its permissions",
    "SQLITE_AUTH": "access to the store {path} is denied; check its permissions",
    "SQLITE_CANTOPEN": "the store {path} cannot be opened; check the permissions of the file and "
    "its folder",
    "SQLITE_NOTADB": "{path} is not a Muniment store, because it is not an SQLite database; check "
    "the path",
    "SQLITE_CORRUPT": "the store {path} is damaged; restore it from a backup",
    "SQLITE_IOERR": "a disk error occurred in the store {path}: nothing was written; check the "
    "disk",
}


_PRAGMAS = (
    "foreign_keys = ON",
    "secure_delete = ON",
    "synchronous = FULL",
    "cache_size = -32768",  # 32 MiB: at a million generations, 64 MiB read and wrote no faster
    "wal_autocheckpoint = 8192",  # pages, 32 MiB: a page that many batches change is copied once
)


_RETRY_SECONDS = 0.001, 0.004  # between two attempts to take the write lock


def _configure(connection: sqlite3.Connection, record: object) -> None:
    connection.isolation_level = None  # sqlite3 begins no transactions itself
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _try_to_lock(connection: Connection) -> bool:
    """Take the write lock, and return whether it was free within `LOCK_SECONDS`."""
    # SQLite sleeps for up to 100 ms between two attempts of its own. With sixteen writers that
    # left the lock free for half of the time.
    driver: Any = connection.connection.driver_connection
    end = time.monotonic() + LOCK_SECONDS
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        while time.monotonic() < end:
            try:
                driver.execute("BEGIN IMMEDIATE")
                return True
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    return False
            time.sleep(random.uniform(*_RETRY_SECONDS))
        return False
    finally:
        driver.execute(f"PRAGMA busy_timeout = {int(LOCK_SECONDS * 1000)}")
