"""A store in a PostgreSQL database: processes on any host write one ledger.

Whoever writes holds the one row of `ledger_head` from the beginning of the transaction to its end,
so that entries are numbered in the order in which they are committed, and what was read before
writing still holds. Readers are never in the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine

from muniment.errors import StoreError
from muniment.store.database.engine import LOCK_SECONDS

DRIVER = "postgresql+psycopg"
SCHEMA_LOCK = 0x6D756E696D656E74  # "muniment", as an advisory lock of the database
SILENT_SECONDS = 60  # a writer that stands still for longer lets the others go on


class PostgresqlDatabase:
    """A database on a server, and what PostgreSQL needs to be told."""

    path: Path | None = None

    def __init__(self, url: URL) -> None:
        """Take the URL; raises StoreError where it names another driver than psycopg."""
        self.name = url.render_as_string(hide_password=True)
        if url.drivername not in ("postgresql", "postgres", DRIVER):
            raise StoreError(
                self.name, f"PostgreSQL is spoken to through psycopg: write {DRIVER}:// instead"
            )
        self._url = url.set(drivername=DRIVER)

    def engine(self) -> Engine:
        """Make the engine; StoreError where psycopg is not installed."""
        query = self._url.query
        defaults = {name: value for name, value in _CONNECT.items() if name not in query}
        try:
            # A connection that the server dropped while nothing was asked is replaced unseen.
            return create_engine(self._url, connect_args=defaults, pool_pre_ping=True)
        except ImportError as error:
            raise StoreError(
                self.name,
                f"PostgreSQL needs psycopg, which cannot be imported ({error}); install it with "
                "`pip install 'muniment[postgresql]'`",
            ) from error

    def options(self, *, writes: bool) -> Mapping[str, Any]:
        """Read one state; write on what is committed when the lock is had."""
        return {
            "isolation_level": "READ COMMITTED" if writes else "REPEATABLE READ",
            "postgresql_readonly": not writes,
        }

    def lock(self, connection: Connection) -> None:
        """Take the row of the head; whoever holds it alone may number entries."""
        connection.exec_driver_sql(_BOUND + "SELECT 1 FROM ledger_head FOR UPDATE")

    def bound(self, connection: Connection) -> None:
        """Wait for no lock for ever, and commit to disk whatever the server's setting."""
        connection.exec_driver_sql(_BOUND)

    def lock_schema(self, connection: Connection) -> None:
        """Keep out whoever else upgrades, and then the writers; a migration may take its time."""
        connection.exec_driver_sql(
            f"{_BOUND}SET LOCAL idle_in_transaction_session_timeout = 0; "
            f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})"
        )
        if connection.exec_driver_sql("SELECT to_regclass('ledger_head')").scalar() is not None:
            connection.exec_driver_sql("LOCK TABLE ledger_head IN ACCESS EXCLUSIVE MODE")

    def share(self, connection: Connection, others: Callable[[str], None]) -> None:
        """Export the snapshot, which others can take as long as the transaction lasts."""
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        others(str(connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar()))

    def join(self, connection: Connection, state: str) -> None:
        """Take the snapshot."""
        connection.exec_driver_sql(f"SET TRANSACTION SNAPSHOT '{state}'")
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")

    def exists(self) -> bool:
        """Say yes: whether the database is there is found out by connecting to it."""
        return True

    def prepare(self, connect: Callable[[], AbstractContextManager[Connection]]) -> None:
        """See that the database can hold every text."""
        with connect() as connection:
            encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
        if encoding != "UTF8":
            raise StoreError(
                self.name,
                f"the database {self.name} has the encoding {encoding}, which cannot hold every "
                "text; make one with ENCODING 'UTF8'",
            )

    def size(self, reading: Callable[[], AbstractContextManager[Connection]]) -> int:
        """Return the bytes that the tables and indexes of the schema take."""
        with reading() as connection:
            return int(connection.exec_driver_sql(_SIZE).scalar() or 0)

    def copy(self, revision: str) -> None:
        """Copy nothing: a server has backups of its own, and a migration that fails is undone."""

    def sentence(self, error: Any) -> str:
        """Say what an error of PostgreSQL means."""
        state = getattr(error, "sqlstate", None)
        said = str(error).partition("\n")[0].strip()
        if state is None:  # the server said nothing: it was not reached, or it is gone
            return _unreached(self.name, said)
        for start, sentence in _SENTENCES.items():
            if state.startswith(start):
                return sentence.format(name=self.name, said=said)
        return f"the store {self.name} failed: {said}"


_CONNECT: Mapping[str, str | int] = {
    "application_name": "muniment",
    "connect_timeout": 10,
    # A server that is gone without a word is noticed within a minute or two.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}

_BOUND = (
    f"SET LOCAL lock_timeout = {int(LOCK_SECONDS * 1000)}; "
    f"SET LOCAL idle_in_transaction_session_timeout = {SILENT_SECONDS * 1000}; "
    "SELECT set_config('synchronous_commit', 'on', true) "
    "WHERE current_setting('synchronous_commit') = 'off'; "
)

_SIZE = """
SELECT sum(pg_total_relation_size(oid)) FROM pg_class
WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
"""


def _unreached(name: str, said: str) -> str:
    if "does not exist" in said and "database" in said:
        return f"there is no database at {name}; make it with `createdb` and try again"
    if said.startswith(("connection failed", "failed to resolve", "connection timeout")):
        return f"the server of {name} did not let us in: {said}"
    return (
        f"the connection to {name} was lost ({said}); what was just being written is there whole "
        "or not at all: look with `muniment audit list`"
    )


_SENTENCES = {
    "08": "the connection to {name} was lost ({said}); look at the server and try again",
    "25006": "the store {name} cannot be written: the server takes no writing ({said})",
    "25P03": "the store {name} was held for a minute without a word, so the server gave it to "
    "others; nothing of this was written, try again",
    "28": "the store {name} may not be opened: {said}",
    "3D000": "there is no database at {name} any more",
    "3F000": "the schema that {name} names is not there; make it with CREATE SCHEMA",
    "42501": "the store {name} may not be used so: {said}; look at the permissions of its user",
    "42P01": "{name} is no store any more: {said}",
    "53100": "the server's disk is full: nothing was written to {name}; make room and try again",
    "53300": "the server of {name} has no connection left; try again when others are done",
    "55P03": "the store {name} is being written by others and did not become free within "
    f"{LOCK_SECONDS:g} seconds; try again",
    "57P": "the server of {name} ended the connection ({said}); what was just being written is "
    "there whole or not at all: look with `muniment audit list`",
    "58": "the disk failed under the store {name}; nothing of this was written",
    "XX001": "the store {name} is damaged; restore it from a backup",
    "XX002": "an index of the store {name} is damaged; REINDEX it or restore it from a backup",
}
