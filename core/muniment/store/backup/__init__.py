"""Verified copies of a store.

`create` copies a store and verifies the copy. `restore` verifies a backup and replaces a store
with it. The backends `sqlite` and `postgresql` copy one kind of database each.
"""

from __future__ import annotations

from muniment.store.backup.base import BackupBackend
from muniment.store.database.engine import Database


def backend_of(database: Database) -> BackupBackend:
    """Return the backup backend for the dialect of a database."""
    if database.dialect == "sqlite":
        from muniment.store.backup.sqlite import SqliteBackup

        return SqliteBackup()
    from muniment.store.backup.postgresql import PostgresqlBackup

    return PostgresqlBackup()
