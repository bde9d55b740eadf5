"""Backups: verified copies of a whole store.

`create` makes a backup and reads it again, `restore` checks one and puts it back. The backends
`sqlite` and `postgresql` copy one kind of database each.
"""

from __future__ import annotations

from muniment.store.backup.base import BackupBackend
from muniment.store.database.engine import Database


def backend_of(database: Database) -> BackupBackend:
    """Return the backend that copies the store of a database."""
    if database.dialect == "sqlite":
        from muniment.store.backup.sqlite import SqliteBackup

        return SqliteBackup()
    from muniment.store.backup.postgresql import PostgresqlBackup

    return PostgresqlBackup()
