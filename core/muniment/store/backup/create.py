"""Create a backup: copy the store, verify the copy, and register it in the store."""

from __future__ import annotations

from pathlib import Path

from muniment.files import replacing
from muniment.store.backup import backend_of
from muniment.store.backup.base import BackupError, Progress
from muniment.store.database.backups import Backup, register
from muniment.store.database.engine import Database
from muniment.validation import now


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
