"""The PostgreSQL backend, with which processes on several hosts write one ledger.

The write lock is the single row of `ledger_head`, locked with SELECT FOR UPDATE from the beginning
of a write transaction to its end. Entries are therefore numbered in the order of their commits, and
the rows that a writer has read cannot change before it commits. Readers neither wait for writers
nor delay them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Engine, create_engine

from muniment.errors import StoreError
from muniment.store.database.engine import LOCK_SECONDS, Database

DRIVER = "postgresql+psycopg"
SCHEMA_LOCK = 0x6D756E696D656E74  # "muniment", as an advisory lock of the database
IDLE_SECONDS = 60  # the server ends a transaction that is idle for longer, and frees its locks


class PostgresqlDatabase(Database):
    """A database on a PostgreSQL server, reached through psycopg 3."""

    dialect = "postgresql"

    def _create_engine(self) -> Engine:
        """Create the engine, without connecting.

        Raise StoreError if the URL names a driver other than psycopg, or psycopg cannot be
        imported.
        """
        if self._url.drivername not in ("postgresql", "postgres", DRIVER):
            raise StoreError(
                self.name,
                f"{self.name} names another driver than psycopg; use a URL with {DRIVER}://",
            )
        url = self._url.set(drivername=DRIVER)
        defaults = {name: value for name, value in _CONNECT.items() if name not in url.query}
        try:
            # pool_pre_ping replaces a pooled connection that the server closed while it was idle.
            return create_engine(url, connect_args=defaults, pool_pre_ping=True)
        except ImportError as error:
            raise StoreError(
                self.name,
                f"PostgreSQL needs psycopg, which cannot be imported ({error}); install it with "
                "`pip install 'muniment[postgresql]'`",
            ) from error

    def _options(self, *, writes: bool) -> Mapping[str, Any]:
        """Return REPEATABLE READ and read-only for readers, READ COMMITTED for writers."""
        # A reader needs one snapshot. A writer must see the rows that other writers committed while
        # it waited for the lock, and a snapshot taken before the lock would not have them.
        return {
            "isolation_level": "READ COMMITTED" if writes else "REPEATABLE READ",
            "postgresql_readonly": not writes,
        }

    def _begin(self, connection: Connection) -> None:
        """Do nothing, because the first statement begins the transaction."""

    def _lock(self, connection: Connection) -> None:
        """Lock the row of `ledger_head`, which every transaction that numbers entries must do."""
        connection.exec_driver_sql(_SET_TIMEOUTS + "SELECT 1 FROM ledger_head FOR UPDATE")

    def _set_timeouts(self, connection: Connection) -> None:
        """Set the lock and idle timeouts of the transaction, and make its commit synchronous."""
        connection.exec_driver_sql(_SET_TIMEOUTS)

    def _lock_schema(self, connection: Connection) -> None:
        """Take the advisory lock of upgrades, then the write lock, without an idle timeout."""
        # A migration may compute for a long time between two statements.
        connection.exec_driver_sql(
            f"{_SET_TIMEOUTS}SET LOCAL idle_in_transaction_session_timeout = 0; "
            f"SELECT pg_advisory_xact_lock({SCHEMA_LOCK})"
        )
        if connection.exec_driver_sql("SELECT to_regclass('ledger_head')").scalar() is not None:
            connection.exec_driver_sql("LOCK TABLE ledger_head IN ACCESS EXCLUSIVE MODE")

    def _share_snapshot(self, connection: Connection, publish: Callable[[str], None]) -> None:
        """Export the snapshot, which others can import until this transaction ends."""
        # This transaction is idle while the others read.
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        publish(str(connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar()))

    def _join_snapshot(self, connection: Connection, snapshot: str) -> None:
        """Import a snapshot that another process exported."""
        connection.exec_driver_sql(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")

    def exists(self) -> bool:
        """Return True, because the first connection reports a missing database."""
        return True

    def prepare(self) -> None:
        """Raise StoreError if the encoding of the database is not UTF8."""
        with self._connected() as connection:
            encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
        if encoding != "UTF8":
            raise StoreError(
                self.name,
                f"the database {self.name} has the encoding {encoding}, which cannot store every "
                "text; create a database with ENCODING 'UTF8'",
            )

    def size(self) -> int:
        """Return the size in bytes of all tables and indexes of the schema."""
        with self.reading() as connection:
            return int(connection.exec_driver_sql(_SIZE).scalar() or 0)

    def copy_before_upgrade(self, revision: str) -> None:
        """Return None: PostgreSQL rolls back a failed migration, and servers have their backups."""

    def _schema_version(self, connection: Connection) -> int:
        """Return 0, because PostgreSQL has no version of a schema."""
        return 0

    def _is_damage(self, error: Any) -> bool:
        """Return whether the server found damaged data or a damaged index."""
        return getattr(error, "sqlstate", None) in ("XX001", "XX002")

    def _error_message(self, error: Any) -> str:
        """Return the message for an error of psycopg, by its SQLSTATE or the prefix of one."""
        state = getattr(error, "sqlstate", None)
        reason = str(error).partition("\n")[0].strip()
        if "NUL (0x00)" in reason:
            return "a text contains a NUL character, which no recorded text has; remove it"
        if state is None:  # no SQLSTATE: the connection failed or was lost
            return _connection_error(self.name, reason)
        for prefix, message in _MESSAGES.items():
            if state.startswith(prefix):
                return message.format(name=self.name, reason=reason)
        return f"the store {self.name} failed: {reason}"


_CONNECT: Mapping[str, str | int] = {
    "application_name": "muniment",
    "connect_timeout": 10,
    # Detects within one or two minutes a server that disappeared without closing the connection.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}

_SET_TIMEOUTS = (
    f"SET LOCAL lock_timeout = {int(LOCK_SECONDS * 1000)}; "
    f"SET LOCAL idle_in_transaction_session_timeout = {IDLE_SECONDS * 1000}; "
    "SELECT set_config('synchronous_commit', 'on', true) "
    "WHERE current_setting('synchronous_commit') = 'off'; "
)

_SIZE = """
SELECT sum(pg_total_relation_size(oid)) FROM pg_class
WHERE relkind = 'r' AND relnamespace = quote_ident(current_schema())::regnamespace
"""


def _connection_error(name: str, reason: str) -> str:
    if "does not exist" in reason and "database" in reason:
        return f"there is no database at {name}; create it with `createdb` and try again"
    if reason.startswith(("connection failed", "failed to resolve", "connection timeout")):
        return f"cannot connect to {name}: {reason}"
    return (
        f"the connection to {name} was lost ({reason}); the last transaction was written "
        "completely or not at all, check with `muniment audit list`"
    )


_MESSAGES = {
    "08": "the connection to {name} was lost ({reason}); check the server and try again",
    "25006": "the store {name} is read-only ({reason}); use a server that accepts writes",
    "25P03": f"the transaction on {{name}} was idle for more than {IDLE_SECONDS} seconds, so the "
    "server ended it; nothing of it was written, try again",
    "28": "cannot log in to {name}: {reason}; check the user and the password",
    "3D000": "there is no database at {name}; check the name, or create it with `createdb`",
    "3F000": "the schema of {name} does not exist; create it with CREATE SCHEMA",
    "42501": "the user of {name} lacks a permission ({reason}); grant it and try again",
    "42P01": "{name} is not a Muniment store ({reason}); check the name, or restore a backup",
    "53100": "the disk of the server is full: nothing was written to {name}; free disk space and "
    "try again",
    "53300": "the server of {name} has no free connection; try again later",
    "55P03": "the store {name} is locked: other processes wrote to it for more than "
    f"{LOCK_SECONDS:g} seconds; try again",
    "57P": "the server of {name} ended the connection ({reason}); the last transaction was written "
    "completely or not at all, check with `muniment audit list`",
    "58": "the server of {name} reported a system error ({reason}): nothing was written; check "
    "its disk",
    "XX001": "the store {name} is damaged; restore it from a backup",
    "XX002": "an index of the store {name} is damaged; run REINDEX, or restore it from a backup",
}
