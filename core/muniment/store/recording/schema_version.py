"""The schema's version: making a store, telling its version, upgrading it.

Only making and upgrading import alembic; every other command reads its one-row table.
"""

from __future__ import annotations

import secrets
from importlib import resources
from pathlib import Path

from sqlalchemy import Connection, inspect, select

from muniment.errors import StoreVersionError
from muniment.store.database.engine import Database
from muniment.store.database.tables import alembic_version, ledger_head
from muniment.store.errors import NoStoreError

HEAD = "0001"  # the newest revision in migrations/versions; revisions are numbered in order


def migrations() -> Path:
    """Return the folder of the migrations: in the installed package, or in the checkout."""
    package = Path(str(resources.files("muniment")))
    packaged = package / "migrations"
    return packaged if packaged.is_dir() else package.parents[1] / "migrations"


def revision(database: Database) -> str | None:
    """Return the revision a store is at; None when there is no store yet.

    Raises StoreVersionError for a database of someone else's, StoreError for no database.
    """
    if not database.exists():
        return None
    with database.reading() as connection:
        return _revision(database, connection)


def _revision(database: Database, connection: Connection) -> str | None:
    tables = inspect(connection).get_table_names()
    if alembic_version.name in tables and ledger_head.name in tables:
        return connection.scalar(select(alembic_version.c.version_num))
    if tables:
        raise StoreVersionError(
            database.url, f"{database.name} is a database, but not a Muniment store"
        )
    return None


def require(database: Database, *, create: bool, older: bool = False) -> None:
    """Make sure that the store is there and of this version; make it where `create` says so."""
    found = revision(database)
    if found is None:
        if not create:
            raise NoStoreError(database.url, database.name)
        upgrade(database)
        return
    _refuse_newer(database, found)
    if found < HEAD and not older:
        raise StoreVersionError(
            database.url,
            f"the store {database.name} is of an older version (schema {found}, this one needs "
            f"{HEAD}); run `muniment db upgrade`",
        )


def _refuse_newer(database: Database, found: str) -> None:
    if found > HEAD:
        raise StoreVersionError(
            database.url,
            f"the store {database.name} was written by a newer Muniment (schema {found}, this one "
            f"knows {HEAD}); install that version to use it",
        )


def upgrade(database: Database) -> Path | None:
    """Bring the store to this version in one transaction, making it where there is none.

    Return the file that an SQLite store was copied to before; None where nothing was copied.
    """
    database.prepare()
    with database.upgrading() as connection:
        found = _revision(database, connection)
        if found == HEAD:  # another process was faster
            return None
        if found:
            _refuse_newer(database, found)
        from muniment.ledger.entries import genesis
        from muniment.store.database.migrations import migrate
        from muniment.store.recording.ledger import append, prepare

        copy = database.copy_before_upgrade(found) if found else None
        try:
            migrate(connection, migrations())
        except BaseException:
            if copy:  # all is undone, so that it says nothing new
                copy.unlink(missing_ok=True)
            raise
        if copy:  # what is erased later is still in it
            from muniment.store.database import backups
            from muniment.store.recording import tree_heads

            head = tree_heads.head(connection)
            backup = backups.Backup(copy, backups.now(), head.size, head.root.hex())
            backups.register(connection, [backup])
        if connection.scalar(select(ledger_head.c.size)) is None:
            log = secrets.token_hex(16)
            connection.execute(
                ledger_head.insert(), {"id": 1, "log_id": log, "size": 0, "frontier": b""}
            )
            append(connection, [prepare(genesis(log))])
    return copy
