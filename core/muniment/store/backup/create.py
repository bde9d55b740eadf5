"""Making a backup: copied, read again from end to end, compared, named, registered."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from muniment.store.backup import backend_of
from muniment.store.backup.base import BackupError, Progress
from muniment.store.database.backups import Backup, now, register
from muniment.store.database.engine import Database


def create_backup(database: Database, target: Path, progress: Progress | None = None) -> Backup:
    """Copy the store to a file, which is there whole or not at all; others may go on writing.

    What was copied is read again: its entries must be as many, and make the same root, as the
    store had at that moment. Raises BackupError.
    """
    way = backend_of(database)
    target = target.absolute()
    beside = target.with_name(f".{target.name}.partial")
    made_at = now()
    try:
        beside.unlink(missing_ok=True)
        had = way.copy(database, beside)
        found = way.contents(beside, progress)
        if found != had:
            raise BackupError(
                target,
                f"the copy is not what the store was ({found.entries} entries with root "
                f"{found.root}, not {had.entries} with {had.root}); nothing was kept of it",
            )
        beside.replace(target)
    except OSError as error:
        raise BackupError(target, f"cannot write {target}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
    made = Backup(target, made_at, found.entries, found.root)
    with database.writing(lock=False) as connection:
        register(connection, [made])
    return made
