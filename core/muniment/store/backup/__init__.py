"""Backups: verified copies of a whole store.

`create` makes a backup and reads it again, `restore` checks one and puts it back. The backends
`sqlite` and `postgresql` copy one kind of database each.
"""

from __future__ import annotations

from muniment.store.backup.base import Copying
from muniment.store.database.engine import Database


def copying(database: Database) -> Copying:
    """Return the backend that copies the store of a database."""
    if database.dialect == "sqlite":
        from muniment.store.backup.sqlite import SqliteCopying

        return SqliteCopying()
    from muniment.store.backup.postgresql import PostgresqlCopying

    return PostgresqlCopying()
