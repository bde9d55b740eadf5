"""The interface of backup backends, and the types that all of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from muniment.errors import MunimentError
from muniment.store.database.engine import Database

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
