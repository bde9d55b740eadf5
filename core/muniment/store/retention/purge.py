"""Making the bytes of what was erased go away, where the database lets go of them.

SQLite overwrites what is deleted (`secure_delete`); what is left is the search index, which is
rewritten, and the write-ahead log, which is copied into the file and cut to nothing. A reader that
began before holds up the log. PostgreSQL removes deleted rows by VACUUM, which a reader that began
before holds up, too.
"""

from __future__ import annotations

import time

from sqlalchemy import Connection, delete, func, select

from muniment.store.database.engine import LOCK_SECONDS, Database
from muniment.store.database.tables import erasing
from muniment.store.search import index

WAIT_MILLISECONDS = 1000  # for readers, before an erasure stays pending
_VACUUMED = ("payload", "search", "generation", "generation_tag", "actor")


def horizon(connection: Connection) -> int:
    """Return what tells readers that began before now from later ones; 0 where nothing does."""
    if connection.dialect.name != "postgresql":
        return 0
    return int(
        connection.exec_driver_sql("SELECT pg_current_xact_id()::text::bigint").scalar() or 0
    )


def purge(database: Database) -> bool:
    """Rewrite what may hold erased bytes; whether they are gone. Nothing to do counts as gone."""
    with database.reading() as connection:
        newest = connection.scalar(select(func.max(erasing.c.erasure)))
        latest = connection.scalar(select(func.max(erasing.c.horizon))) or 0
    if newest is None:
        return True
    gone = _purge_sqlite(database) if database.dialect == "sqlite" else _vacuum(database, latest)
    if gone:
        with database.writing(lock=False) as connection:
            connection.execute(delete(erasing).where(erasing.c.erasure <= newest))
    return gone


def _purge_sqlite(database: Database) -> bool:
    with database.writing() as connection:
        index.purge(connection)
    with database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.execute(f"PRAGMA busy_timeout = {WAIT_MILLISECONDS}")
        try:
            busy, _, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            raw.execute(f"PRAGMA busy_timeout = {int(LOCK_SECONDS * 1000)}")
    return not busy


def _vacuum(database: Database, latest: int) -> bool:
    with database.engine.connect() as connection:
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        end = time.monotonic() + WAIT_MILLISECONDS / 1000
        while held_up := connection.exec_driver_sql(_HELD_UP, (latest,)).scalar():
            if time.monotonic() > end:
                break
            time.sleep(0.05)
        for table in _VACUUMED:
            connection.exec_driver_sql(f"VACUUM {table}")
    return not held_up


_HELD_UP = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL
AND age(backend_xmin) >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint - %s
"""
