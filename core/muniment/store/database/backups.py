"""The register of backups, which still contain texts that are erased later."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, delete, select

from muniment.ledger.entries import milliseconds, moment
from muniment.store.database.tables import backup


@dataclass(frozen=True, slots=True)
class Backup:
    """A registered backup of the store.

    Attributes:
        file: The path that it was written to.
        made_at: When it was made.
        entries: The number of ledger entries in it.
        root: The root hash of its ledger, in hexadecimal digits.
    """

    file: Path
    made_at: datetime
    entries: int
    root: str

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


def registered(connection: Connection) -> list[Backup]:
    """Return all registered backups, the oldest first."""
    rows = connection.execute(select(backup).order_by(backup.c.made_at, backup.c.file))
    return [Backup(Path(row.file), moment(row.made_at), row.entries, row.root) for row in rows]
