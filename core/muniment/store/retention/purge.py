"""Remove the bytes of erased texts from the database's files.

SQLite overwrites deleted rows with zeros (`secure_delete`). Deleted terms remain in the search
index until it is rewritten, and deleted bytes in the write-ahead log until a checkpoint truncates
it. PostgreSQL removes deleted rows by VACUUM. A transaction that began before the erasure prevents
the truncation of the log and the removal by VACUUM.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, delete, func, select

from muniment.store.database.engine import LOCK_SECONDS, Database
from muniment.store.database.tables import erasing
from muniment.store.search import index

WAIT_MILLISECONDS = 1000  # time to wait for readers before an erasure remains pending
_TABLES_WITH_TEXTS = ("payload", "search", "generation", "generation_tag", "fingerprint", "actor")


def current_xid(connection: Connection) -> int:
    """Return PostgreSQL's id of the current transaction, or 0 on SQLite.

    `purge` compares the snapshots of readers with it, to find those that began earlier.
    """
    if connection.dialect.name != "postgresql":
        return 0
    return int(
        connection.exec_driver_sql("SELECT pg_current_xact_id()::text::bigint").scalar() or 0
    )


def purge(database: Database) -> bool:
    """Remove the bytes of all pending erasures. Return whether none is pending any more.

    If a reader prevents the removal for more than `WAIT_MILLISECONDS`, they remain pending.
    """
    with database.reading() as connection:
        newest = connection.scalar(select(func.max(erasing.c.erasure)))
        newest_xid = connection.scalar(select(func.max(erasing.c.snapshot_xid))) or 0
    if newest is None:
        return True
    if database.dialect == "sqlite":
        purged = _purge_sqlite(database)
    else:
        purged = _purge_postgresql(database, newest_xid)
    if purged:
        with database.maintaining() as connection:
            connection.execute(delete(erasing).where(erasing.c.erasure <= newest))
    return purged


def _purge_sqlite(database: Database) -> bool:
    """Rewrite the search index and truncate the write-ahead log. Return whether it succeeded."""
    with database.maintaining() as connection:
        index.purge(connection)
    with database.engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        raw.execute(f"PRAGMA busy_timeout = {WAIT_MILLISECONDS}")
        try:
            busy, _, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            raw.execute(f"PRAGMA busy_timeout = {int(LOCK_SECONDS * 1000)}")
    return not busy


def _purge_postgresql(database: Database, newest_xid: int) -> bool:
    """Wait for older readers and vacuum the tables. Return whether no older reader remained.

    `newest_xid` is the id of the transaction of the newest erasure.
    """
    with database.engine.connect() as connection:
        # VACUUM cannot run in a transaction.
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        end = time.monotonic() + WAIT_MILLISECONDS / 1000
        while readers := connection.exec_driver_sql(_COUNT_OLDER_READERS, (newest_xid,)).scalar():
            if time.monotonic() > end:
                break
            time.sleep(0.05)
        for table in _TABLES_WITH_TEXTS:
            connection.exec_driver_sql(f"VACUUM {table}")
    return not readers


_COUNT_OLDER_READERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL
AND age(backend_xmin) >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint - %s
"""
