"""Register the backups of a store, which may contain texts that are erased later."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, delete, select

from muniment.files import remove_abandoned
from muniment.ledger.fields import milliseconds, moment
from muniment.representation import showing
from muniment.store.database.engine import Database
from muniment.store.database.tables import backup


@dataclass(frozen=True, slots=True)
class Backup:
    """A registered backup of the store.

    Attributes:
        file: The path that it was written to.
        made_at: When it was made.
        entries: The number of ledger entries in it.
        root: The root hash of its ledger, in hexadecimal digits. Empty for an unfinished backup,
            of which a killed process leaves a part.
    """

    file: Path
    made_at: datetime
    entries: int
    root: str

    __repr__ = showing()

    @property
    def there(self) -> bool:
        """Whether the file is still at the path that it was written to."""
        return self.file.exists()


def register(connection: Connection, backups: list[Backup]) -> None:
    """Add backups to the register, in place of earlier ones with the same paths."""
    for item in backups:
        connection.execute(delete(backup).where(backup.c.file == str(item.file)))
        connection.execute(
            backup.insert(),
            {
                "file": str(item.file),
                "made_at": milliseconds(item.made_at),
                "entries": item.entries,
                "root": item.root,
            },
        )


def unregister(connection: Connection, file: Path) -> None:
    """Remove a backup from the register."""
    connection.execute(delete(backup).where(backup.c.file == str(file)))


def remove_unfinished(database: Database) -> None:
    """Remove the files of backups whose process was killed, and their rows in the register."""
    with database.reading() as connection:
        files = [item.file for item in registered(connection) if not item.root]
    if gone := [file for file in files if remove_abandoned(file)]:
        with database.maintaining() as connection:
            for file in gone:
                unregister(connection, file)


def registered(connection: Connection) -> list[Backup]:
    """Return all registered backups, the oldest first."""
    rows = connection.execute(select(backup).order_by(backup.c.made_at, backup.c.file))
    return [Backup(Path(row.file), moment(row.made_at), row.entries, row.root) for row in rows]
