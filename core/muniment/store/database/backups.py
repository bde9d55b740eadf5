"""Which backups were made of a store: what was erased later is still in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, delete, select

from muniment.ledger.entries import milliseconds, moment
from muniment.store.database.tables import backup


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy of the store: `entries` and `root` are those of the ledger that it holds."""

    file: Path
    made_at: datetime
    entries: int
    root: str

    @property
    def there(self) -> bool:
        """Whether the file is still where it was written."""
        return self.file.exists()


def register(connection: Connection, backups: list[Backup]) -> None:
    """Remember backups; one that was written to the same file before is forgotten."""
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
    """Return every backup that was made, the oldest first."""
    rows = connection.execute(select(backup).order_by(backup.c.made_at, backup.c.file))
    return [Backup(Path(row.file), moment(row.made_at), row.entries, row.root) for row in rows]


def now() -> datetime:
    """Return the time that a backup is registered with."""
    return datetime.now(UTC)
