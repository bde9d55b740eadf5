"""The backend for SQLite, which copies with SQLite's online backup while others use the store.

A copy is one SQLite file without a write-ahead log.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from muniment.errors import (
    DamagedStoreError,
    StoreError,
    StoreVersionError,
    VerificationError,
)
from muniment.files import replacing
from muniment.ledger.tree import Frontier
from muniment.store.backup import BackupError, BackupSummary, CorruptBackupError
from muniment.store.database import catalog
from muniment.store.database.engine import LOCK_SECONDS, Database, Progress
from muniment.store.database.opening import open_database
from muniment.store.database.sqlite import copy_file, create_private
from muniment.store.recording import schema_version
from muniment.store.verification.verify import verify as verify_store


def copy(database: Database, target: Path) -> BackupSummary:
    """Copy the committed state of the store, and return its head."""
    try:
        log, size, frontier = copy_file(_path(database), target)
    except (OSError, sqlite3.Error) as error:
        if _is_corrupt(error):
            raise CorruptBackupError(target, _reason(error)) from error
        raise BackupError(target, f"cannot write {target}: {_reason(error)}") from error
    return BackupSummary(log, size, Frontier.from_bytes(size, frontier).root().hex())


def verify(file: Path, progress: Progress | None, *, whole: bool = False) -> BackupSummary:
    """Verify the ledger of a copy in the same way as the ledger of a store.

    With `whole`, the schema must be unaltered. Payloads, query tables and search index are
    verified too, if the copy has the current schema. Raises BackupError if the file is no store,
    has a newer schema, or is corrupt.
    """
    copy = open_database(f"sqlite:///{quote(str(file.absolute()))}")
    try:
        revision = schema_version.revision(copy)
        if revision is None:
            raise BackupError(
                file, f"{file} is empty and not a backup of a store; use another file"
            )
        schema_version.raise_if_foreign(copy.url, f"the backup {file}", revision)
        contents = whole and revision == schema_version.HEAD
        if not contents:  # otherwise a part of the verification
            with copy.reading() as connection:
                if problem := catalog.first_problem(catalog.damage(connection)):
                    raise CorruptBackupError(file, f"integrity check: {problem}")
        verification = verify_store(
            copy, projections=contents, payloads=contents, search=contents, progress=progress
        )
        problems = [item for item in verification.problems if whole or item.kind != "schema"]
        if problems:
            first = problems[0]
            raise CorruptBackupError(file, f"{first.where}: {first.message}")
        with copy.reading() as connection:
            log = connection.exec_driver_sql("SELECT log_id FROM ledger_head").scalar()
    except StoreVersionError as error:
        raise BackupError(file, str(error)) from error
    except VerificationError as error:  # its message is about a store in use
        raise CorruptBackupError(file, "its schema was altered") from error
    except DamagedStoreError as error:  # as above
        message = f"{file} is not a backup of a store, or is damaged; use another backup"
        raise CorruptBackupError(file, "SQLite cannot read it", message) from error
    except StoreError as error:
        raise BackupError(file, f"{file} cannot be read as a backup: {error}") from error
    finally:
        copy.close()
    return BackupSummary(str(log), verification.entries, verification.root, contents)


def restore(database: Database, file: Path) -> None:
    """Write a copy over the store in one transaction.

    Processes that have the store open see the new contents in their next transaction. The
    file of a store that SQLite cannot read is replaced by a new file.
    """
    path = _path(database)
    try:
        create_private(path)
        try:
            _overwrite(path, file)
        except sqlite3.DatabaseError as error:
            if not _is_corrupt(error):
                raise
            _replace_file(path, file)
    except (OSError, sqlite3.Error) as error:
        raise BackupError(
            file, f"cannot restore to {path}: {_reason(error)}; the store is unchanged"
        ) from error


def _overwrite(path: Path, file: Path) -> None:
    """Copy the SQLite file `file` over the SQLite file `path` in one transaction."""
    with (
        closing(sqlite3.connect(file, timeout=LOCK_SECONDS)) as source,
        closing(sqlite3.connect(path, timeout=LOCK_SECONDS)) as store,
    ):
        for pragma in ("synchronous = FULL", "secure_delete = ON"):
            store.execute(f"PRAGMA {pragma}")
        source.backup(store)
        store.execute("PRAGMA journal_mode = WAL")
        store.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _replace_file(path: Path, file: Path) -> None:
    """Replace the file `path` with a copy of the SQLite file `file`."""
    with replacing(path, [file]) as new:
        _overwrite(Path(new.name), file)
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)


def _path(database: Database) -> Path:
    assert database.path is not None
    return database.path


def _is_corrupt(error: Exception) -> bool:
    """Return whether SQLite cannot read the contents of a file."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)  # without the detail


def _reason(error: Exception) -> str:
    """Return a short description of an error of the file system or of SQLite."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
        return f"other processes locked it for more than {LOCK_SECONDS:g} seconds"
    return str(error)
