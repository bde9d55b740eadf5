"""Leases mark the processes that are writing, so that interrupted and running generations differ.

Every process that writes has one lease. On the same machine, `/proc` shows whether the process of a
lease still exists. From another machine, or without `/proc`, a lease is dead when its heartbeat is
older than `DEAD_AFTER_SECONDS`. On PostgreSQL the server's clock measures that age, so that the
clocks of the machines may differ.

Leases are no evidence. Readers derive from them which generations are interrupted, and the next
writer records the interruptions in the ledger.
"""

from __future__ import annotations

import functools
import hashlib
import os
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnClause, Connection, delete, literal_column, select

from muniment.errors import StoreError
from muniment.ids import new_id
from muniment.store.database import bulk
from muniment.store.database.engine import Database
from muniment.store.database.tables import generation, lease, pending

HEARTBEAT_SECONDS = 15  # between two renewals of a lease
DEAD_AFTER_SECONDS = 60  # age of a heartbeat at which its lease is dead
JOIN_SECONDS = 10  # how long closing waits for a renewal that has begun


class Lease:
    """The lease of this process, taken in its first write transaction and renewed by a thread."""

    def __init__(self, database: Database) -> None:
        self.id = new_id()
        self._database = database
        self._process = os.getpid()
        start = _process_start(self._process) or ""
        self._row = self.id, _host(), _boot_id(), self._process, start
        self._renewal: threading.Thread | None = None
        self._stop = threading.Event()

    @property
    def inherited(self) -> bool:
        """Whether a parent process created this lease, so that this process needs its own."""
        return self._process != os.getpid()

    def take(self, connection: Connection) -> None:
        """Insert or renew the lease in the caller's transaction."""
        # A renewal may have to insert: while this machine was suspended, another writer may have
        # found the lease dead and deleted it.
        sql = _TAKE.format(now=_NOW[connection.dialect.name])
        bulk.execute(connection, sql, self._row)

    def keep(self) -> None:
        """Start the thread that renews the lease, after the transaction that took it committed."""
        if self._renewal is None:
            self._renewal = threading.Thread(target=self._renew, name="muniment-lease", daemon=True)
            self._renewal.start()

    def give_back(self) -> None:
        """Stop renewing the lease and delete it.

        Generations that were started under it and have no outcome are then interrupted. The row
        stays if the store cannot be written, or if a renewal does not end within `JOIN_SECONDS`.
        The lease is then dead once this process has ended.
        """
        self._stop.set()
        if self._renewal is not None and not self.inherited:
            # A connection that is in use when the database is closed would stay open.
            self._renewal.join(JOIN_SECONDS)
            if not self._renewal.is_alive():
                with suppress(StoreError), self._database.maintaining() as connection:
                    connection.execute(delete(lease).where(lease.c.id == self.id))
        self._renewal = None

    def _renew(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            # A renewal may fail: others follow before the lease is dead.
            with suppress(StoreError), self._database.maintaining() as connection:
                if not self._stop.is_set():  # deleted while this thread waited to write
                    self.take(connection)


def running(connection: Connection) -> set[int]:
    """Return the numbers of the generations that a live process is working on."""
    rows = connection.execute(select(pending.c.generation, pending.c.lease)).all()
    live = _live(connection) if rows else ()
    return {row.generation for row in rows if row.lease in live}


def interrupted(connection: Connection) -> list[tuple[int, str]]:
    """Return number and id of the generations without an outcome whose process has ended."""
    rows = connection.execute(
        select(generation.c.seq, generation.c.id, pending.c.lease)
        .outerjoin(pending, pending.c.generation == generation.c.seq)
        .where(generation.c.status == "started")
        .order_by(generation.c.seq)
    ).all()
    live = _live(connection) if rows else ()
    return [(row.seq, row.id) for row in rows if row.lease not in live]


def _live(connection: Connection) -> set[str]:
    """Return the ids of the leases whose process is alive."""
    return {row.id for row in _leases(connection) if alive(row)}


def dead(connection: Connection) -> list[str]:
    """Return the ids of the leases whose process has ended."""
    return [row.id for row in _leases(connection) if not alive(row)]


def forget_dead(connection: Connection) -> None:
    """Delete dead leases, after the interruptions of their generations have been recorded."""
    connection.execute(delete(lease).where(lease.c.id.in_(dead(connection))))


def _leases(connection: Connection) -> Sequence[Any]:
    now: ColumnClause[int] = literal_column(_NOW[connection.dialect.name])
    return connection.execute(select(lease, now.label("now"))).all()


def alive(row: Any) -> bool:
    """Return whether the process of a lease is alive.

    `row` has the columns of the table `lease`, and the time in milliseconds as `now`.
    """
    if row.host == _host() and row.boot_id and _boot_id():
        boot, namespace = row.boot_id.split("/")
        own_boot, own_namespace = _boot_id().split("/")
        if boot != own_boot:
            return False
        if namespace == own_namespace and row.process_start:
            return bool(_process_start(row.pid) == row.process_start)
    return bool(row.now - row.heartbeat_at < DEAD_AFTER_SECONDS * 1000)


@functools.cache
def _host() -> str:
    """Return the host name and a digest of the machine id, as host names need not be unique."""
    try:
        machine = Path("/etc/machine-id").read_bytes()
    except OSError:
        machine = b""
    return f"{socket.gethostname()}/{hashlib.sha256(machine).hexdigest()[:12]}"


@functools.cache
def _boot_id() -> str:
    """Return the kernel's boot id and the namespace of process ids, or "" if they are unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    return f"{boot}/{namespace}"


def _process_start(pid: int) -> str | None:
    """Return the start of a process in clock ticks since boot, or None if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()


# The time in Unix milliseconds, by the clock of the server or of this machine.
_NOW = {
    "postgresql": "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
    "sqlite": "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
}
_TAKE = (
    "INSERT INTO lease (id, host, boot_id, pid, process_start, heartbeat_at) "
    "VALUES (?, ?, ?, ?, ?, {now}) "
    "ON CONFLICT (id) DO UPDATE SET heartbeat_at = excluded.heartbeat_at"
)
