"""Verified copies of a store.

`create_backup` copies a store and verifies the copy. `restore` verifies a backup and replaces a
store with it. The backends `sqlite` and `postgresql` copy one kind of database each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from muniment.errors import MunimentError
from muniment.files import replacing
from muniment.store.database.engine import Database
from muniment.store.recording.erasure_log import Backup, register
from muniment.validation import now

Progress = Callable[[str, int, int], None]
"""A function that receives the kind of checked items, the number checked and the total."""


class BackupError(MunimentError):
    """A backup that cannot be created, is corrupt, or cannot be restored. `file` is its path."""

    def __init__(self, file: Path, message: str) -> None:
        super().__init__(message)
        self.file = file


@dataclass(frozen=True, slots=True)
class BackupSummary:
    """The ledger in a backup: its identity `log`, its number of entries, and its root.

    `root` is computed from the bytes of the entries, in hexadecimal.
    """

    log: str
    entries: int
    root: str


class BackupBackend(Protocol):
    """The operations for copying and restoring the stores of one kind of database."""

    def copy(self, database: Database, target: Path) -> BackupSummary:
        """Copy a snapshot of the store to an empty file. Return the head of that snapshot.

        Other processes may write meanwhile. Raises BackupError.
        """

    def verify(self, file: Path, progress: Progress | None) -> BackupSummary:
        """Read all entries of a copy and return its summary. Raise BackupError if it is corrupt."""

    def restore(self, database: Database, file: Path) -> None:
        """Replace the store with a copy in one transaction.

        Other processes may have the store open. Raises BackupError, and then changes nothing.
        """


def backend_of(database: Database) -> BackupBackend:
    """Return the module that copies and restores databases of this dialect."""
    if database.dialect == "sqlite":
        from muniment.store.backup import sqlite

        return sqlite
    from muniment.store.backup import postgresql

    return postgresql


def create_backup(database: Database, target: Path, progress: Progress | None = None) -> Backup:
    """Copy the store to a file, verify the copy, and register it.

    The copy is written to a temporary file, which is renamed after verification. Its number of
    entries and its root must be those of the store at the time of the copy. Other processes may
    write meanwhile. Raises BackupError, and then leaves no new file.
    """
    backend = backend_of(database)
    target = target.absolute()
    made_at = now()
    try:
        with replacing(target, database.files) as file:
            copied = backend.copy(database, Path(file.name))
            verified = backend.verify(Path(file.name), progress)
            if verified != copied:
                raise BackupError(
                    target,
                    f"the copy differs from the store ({verified.entries} entries with root "
                    f"{verified.root}, not {copied.entries} with {copied.root}) and was deleted; "
                    "try again",
                )
    except OSError as error:
        raise BackupError(target, f"cannot write {target}: {error.strerror}") from error
    backup = Backup(target, made_at, verified.entries, verified.root)
    with database.writing(lock=False) as connection:
        register(connection, [backup])
    return backup
