"""Copying an SQLite store while it is in use, by SQLite's own online backup."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from muniment.errors import StoreError
from muniment.ledger.tree import Frontier
from muniment.store.backup.base import BackupError, BackupSummary, Progress
from muniment.store.database import open_database
from muniment.store.database.engine import LOCK_SECONDS, Database
from muniment.store.recording import schema_version
from muniment.store.verification.verify import verify


class SqliteBackup:
    """Copies are SQLite files without a write-ahead log: one file is the whole of it."""

    def copy(self, database: Database, target: Path) -> BackupSummary:
        """Copy what is committed; the head is read in the transaction that is copied."""
        path = _file(database)
        try:
            target.touch(mode=0o600, exist_ok=False)
            with (
                closing(sqlite3.connect(path, timeout=LOCK_SECONDS)) as source,
                closing(sqlite3.connect(target)) as copy,
            ):
                source.isolation_level = None
                source.execute("BEGIN")
                log, size, frontier = source.execute(
                    "SELECT log_id, size, frontier FROM ledger_head"
                ).fetchone()
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")
            with target.open("rb") as file:
                os.fsync(file.fileno())
            target.chmod(path.stat().st_mode & 0o777)
        except (OSError, sqlite3.Error) as error:
            raise BackupError(target, f"cannot write {target}: {_why(error)}") from error
        return BackupSummary(log, size, Frontier.from_bytes(size, frontier).root().hex())

    def contents(self, file: Path, progress: Progress | None) -> BackupSummary:
        """Verify the copy's ledger as that of any store."""
        if not file.is_file():
            raise BackupError(file, f"there is no file {file}")
        copy = open_database(f"sqlite:///{quote(str(file.absolute()))}")
        try:
            found = schema_version.revision(copy)
            if found is None:
                raise BackupError(file, f"{file} is empty, and no backup of a store")
            if found > schema_version.HEAD:
                raise BackupError(
                    file,
                    f"{file} was made by a newer Muniment (schema {found}, this one knows "
                    f"{schema_version.HEAD}); install that version to restore it",
                )
            checked = verify(copy, projections=False, payloads=False, progress=progress)
            if not checked.ok:
                first = checked.problems[0]
                raise BackupError(
                    file, f"{file} is no whole backup: {first.where}: {first.message}"
                )
            with copy.reading() as connection:
                log = connection.exec_driver_sql("SELECT log_id FROM ledger_head").scalar()
        except StoreError as error:
            raise BackupError(file, f"{file} is no backup of a store: {error}") from error
        finally:
            copy.close()
        return BackupSummary(str(log), checked.entries, checked.root)

    def restore(self, database: Database, file: Path) -> None:
        """Write the copy over the store in one transaction, so that whoever has it open sees that.

        A store that SQLite cannot read any more is replaced as a file.
        """
        path = _file(database)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                _write_over(path, file)
            except sqlite3.DatabaseError as error:
                if getattr(error, "sqlite_errorcode", None) not in (
                    sqlite3.SQLITE_NOTADB,
                    sqlite3.SQLITE_CORRUPT,
                ):
                    raise
                _replace(path, file)
        except (OSError, sqlite3.Error) as error:
            raise BackupError(
                file, f"cannot restore to {path}: {_why(error)}; the store is as it was"
            ) from error


def _write_over(path: Path, file: Path) -> None:
    with (
        closing(sqlite3.connect(file, timeout=LOCK_SECONDS)) as source,
        closing(sqlite3.connect(path, timeout=LOCK_SECONDS)) as store,
    ):
        for pragma in ("synchronous = FULL", "secure_delete = ON"):
            store.execute(f"PRAGMA {pragma}")
        source.backup(store)
        store.execute("PRAGMA journal_mode = WAL")
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _replace(path: Path, file: Path) -> None:
    beside = path.with_name(f"{path.name}.restoring")
    try:
        beside.unlink(missing_ok=True)
        _write_over(beside, file)
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        beside.replace(path)
    finally:
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError):
                Path(f"{beside}{suffix}").unlink(missing_ok=True)


def _file(database: Database) -> Path:
    assert database.path is not None
    return database.path


def _why(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
        return f"others used it for more than {LOCK_SECONDS:g} seconds"
    return str(error)
