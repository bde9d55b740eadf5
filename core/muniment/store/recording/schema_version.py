"""Read the version of a store's schema, and create or upgrade the store.

Only creating and upgrading import alembic. All other commands read its table of one row.
"""

from __future__ import annotations

import itertools
import secrets
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, inspect, select

from muniment.errors import AlteredRevisionError, StoreVersionError
from muniment.store.database.engine import Database, Progress
from muniment.store.database.tables import alembic_version, backfill, ledger_head
from muniment.store.errors import NoStoreError
from muniment.validation import now

HEAD = "1005"  # the newest revision in migrations/versions; revisions are numbered in order
_FIRST = "1001"


def revision(database: Database) -> str | None:
    """Return the newest revision that the store was upgraded to completely.

    Return None if there is no store. Raises StoreVersionError if the database belongs to another
    program, and StoreError if it is no database.
    """
    if not database.exists():
        return None
    with database.reading() as connection:
        return _read_revision(database, connection)


def _read_revision(database: Database, connection: Connection) -> str | None:
    tables = inspect(connection).get_table_names()
    if alembic_version.name in tables and ledger_head.name in tables:
        if backfill.name in tables:
            unfinished = connection.scalar(select(func.min(backfill.c.revision)))
            if unfinished is not None:
                return _before(unfinished)
        return connection.scalar(select(alembic_version.c.version_num)) or ""
    if tables:
        raise StoreVersionError(
            database.url, f"{database.name} is not a Muniment store; use another database"
        )
    return None


def _before(revision: Any) -> str:
    """Return the revision before one, or the same value if it is not a revision."""
    from muniment.store.database.catalog import is_revision

    return f"{int(revision) - 1:04}" if is_revision(revision) else revision


def require(database: Database, *, create: bool, older: bool = False) -> None:
    """Raise unless the store exists and has the current schema.

    With `create`, a missing store is created. With `older`, an older schema is accepted. Raises
    NoStoreError for a missing store and StoreVersionError for another schema, of which
    AlteredRevisionError for one whose recorded revision was altered.
    """
    current = revision(database)
    if current is None:
        if not create:
            raise NoStoreError(database.url, database.name)
        upgrade(database)
        return
    if current != HEAD:
        _raise_if_not_of_its_schema(database)
    raise_if_foreign(database.url, f"the store {database.name}", current)
    if current < HEAD and not older:
        raise StoreVersionError(
            database.url,
            f"the store {database.name} has an older schema ({current} instead of {HEAD}); run "
            "`muniment db upgrade`",
        )


def _raise_if_not_of_its_schema(database: Database) -> None:
    """Raise AlteredRevisionError if the schema is that of another revision than the recorded one.

    A store with an unknown schema may belong to a newer version.
    """
    from muniment.store.database import catalog

    with database.reading() as connection:
        recorded = catalog.revisions(connection)
        matching = catalog.matching(connection)
    if len(recorded) != 1 or not catalog.is_revision(recorded[0]):
        return  # the caller refuses any such store
    if matching and recorded[0] not in matching:
        raise AlteredRevisionError(
            database.url,
            f"the store {database.name} records the schema revision {recorded[0]}, but its schema "
            f"is that of {matching[-1]}, so its table alembic_version was altered; set version_num "
            f"to {matching[-1]!r}, or restore a backup",
        )


def raise_if_foreign(url: str, store: str, current: str) -> None:
    """Raise StoreVersionError for a schema that this version cannot upgrade.

    `store` is the subject of the message.
    """
    from muniment.store.database.catalog import is_revision

    if not is_revision(current):
        raise AlteredRevisionError(
            url,
            f"{store} has the unknown schema revision {current!r}, because its table "
            "alembic_version or backfill was altered; restore a backup",
        )
    if current < _FIRST:
        raise StoreVersionError(
            url,
            f"{store} was made by an unreleased version and cannot be upgraded; "
            "use --store to create another store",
        )
    if current > HEAD:
        raise StoreVersionError(
            url,
            f"{store} has a newer schema ({current} instead of {HEAD}); install "
            "the Muniment version that wrote it",
        )


def _raise_if_altered(database: Database, connection: Connection) -> None:
    """Raise StoreVersionError if the store is not as the migrations of its revision make it."""
    from muniment.store.database import catalog

    problems = itertools.chain(catalog.differences(connection), catalog.damage(connection))
    if problem := catalog.first_problem(problems):
        raise StoreVersionError(
            database.url,
            f"the store {database.name} was not upgraded, because it was altered: {problem}; undo "
            "the changes, or restore a backup",
        )


def upgrade(database: Database, progress: Progress | None = None) -> Path | None:
    """Upgrade the store to the current schema. Create it if it is missing.

    The schema changes in one transaction. New tables are then filled, with a transaction for each
    page of entries, after which `progress` is called. An upgrade that was interrupted is continued.
    Return the file that an SQLite
    store was copied to before the upgrade, or None if nothing was copied.
    """
    database.prepare()
    with database.upgrading() as connection:
        current = _read_revision(database, connection)
        if current == HEAD:  # another process upgraded it while this one waited for the lock
            return None
        if current is not None:
            raise_if_foreign(database.url, f"the store {database.name}", current)
            _raise_if_altered(database, connection)
        stamped = current and connection.scalar(select(alembic_version.c.version_num))
        copy = None if stamped == HEAD else _migrate(database, connection, current)
    from muniment.store.database.catalog import migrations
    from muniment.store.database.migrations import fill_page

    position = 0 if current else None
    while position is not None:
        with database.upgrading() as connection:
            position = fill_page(connection, migrations())
            size = connection.scalar(select(ledger_head.c.size)) or 1
        if progress:
            progress("entries", size if position is None else position, size)
    return copy


def _migrate(database: Database, connection: Connection, current: str | None) -> Path | None:
    """Run the migrations that are due. Return the copy of an SQLite store, or None."""
    from muniment.ledger.entries import GenesisEntry
    from muniment.store.database.catalog import migrations
    from muniment.store.database.migrations import migrate
    from muniment.store.recording.ledger import append, prepare

    copy = database.copy_before_upgrade(current) if current else None
    try:
        migrate(connection, migrations())
    except BaseException:
        if copy:  # the transaction is rolled back, so the copy equals the store
            copy.unlink(missing_ok=True)
        raise
    if copy:  # registered as a backup, because payloads erased later are still in it
        from muniment.store.recording import backup_register, tree_heads

        head = tree_heads.head(connection)
        backup = backup_register.Backup(copy, now(), head.size, head.root.hex())
        backup_register.register(connection, [backup])
    if connection.scalar(select(ledger_head.c.size)) is None:
        log = secrets.token_hex(16)
        connection.execute(
            ledger_head.insert(), {"id": 1, "log_id": log, "size": 0, "frontier": b""}
        )
        append(connection, [prepare(GenesisEntry(log=log))])
    return copy
