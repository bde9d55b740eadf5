"""What a backup is to whoever makes or restores one, whatever database it is of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from muniment.errors import MunimentError
from muniment.store.database.engine import Database

Progress = Callable[[str, int, int], None]
"""Told what is being checked, how much of it is done, and how much there is."""


class BackupError(MunimentError):
    """A backup cannot be made, is not whole, or cannot be restored; `file` is the backup's."""

    def __init__(self, file: Path, message: str) -> None:
        super().__init__(message)
        self.file = file


@dataclass(frozen=True, slots=True)
class BackupSummary:
    """Which ledger a backup holds and how much of it: `root` is computed from its entries."""

    log: str
    entries: int
    root: str


class BackupBackend(Protocol):
    """How the stores of one kind of database are copied and put back."""

    def copy(self, database: Database, target: Path) -> BackupSummary:
        """Copy one state of the store to a file that is not there; return what that state was."""

    def contents(self, file: Path, progress: Progress | None) -> BackupSummary:
        """Read a copy from its first entry to its last; BackupError unless it is whole."""

    def restore(self, database: Database, file: Path) -> None:
        """Make the store what the copy is, whole or not at all; others may have it open."""
