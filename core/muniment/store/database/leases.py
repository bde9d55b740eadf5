"""Leases: who is at work right now, so that interrupted can be told from running.

A process that writes holds one lease. On one machine the lease is dead when its process is gone,
which `/proc` tells exactly. From another machine, or without `/proc`, it is dead when its
heartbeat has stopped: by the server's clock on PostgreSQL, so that those of the machines need not
agree. Leases are no evidence: readers only derive from them, and the next writer records what they
tell.
"""

from __future__ import annotations

import functools
import hashlib
import os
import socket
import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, cast, delete, func, literal, select

from muniment.errors import StoreError
from muniment.ids import new_id
from muniment.store.database.engine import Database
from muniment.store.database.tables import generation, lease, pending

HEARTBEAT_SECONDS = 15
DEAD_AFTER_SECONDS = 60


class Lease:
    """This process's lease; taken with the first writing transaction, renewed by a thread."""

    def __init__(self, database: Database) -> None:
        self.id = new_id()
        self._database = database
        self._process = os.getpid()
        self._held = False
        self._stop = threading.Event()

    @property
    def inherited(self) -> bool:
        """Whether a parent process took this lease; a child needs its own."""
        return self._process != os.getpid()

    def take(self, connection: Connection) -> None:
        """Write the lease in the caller's transaction, or renew it.

        Another writer may have taken it for dead and removed it, after a long sleep, say.
        """
        now = _now(connection)
        database = import_module(f"sqlalchemy.dialects.{connection.dialect.name}")
        connection.execute(
            database.insert(lease)
            .values(
                id=self.id,
                host=_host(),
                boot_id=_boot_id(),
                pid=os.getpid(),
                process_start=_process_start(os.getpid()) or "",
                heartbeat_at=now,
            )
            .on_conflict_do_update(index_elements=[lease.c.id], set_={"heartbeat_at": now})
        )

    def keep(self) -> None:
        """Renew the lease from now on; called once the transaction that took it is committed."""
        if not self._held:
            self._held = True
            threading.Thread(target=self._renew, name="muniment-lease", daemon=True).start()

    def give_back(self) -> None:
        """Drop the lease; what was started under it and has no outcome counts as interrupted.

        Where the store cannot be written any more, the lease ends with the process.
        """
        self._stop.set()
        if self._held and not self.inherited:
            with suppress(StoreError), self._database.writing() as connection:
                connection.execute(delete(lease).where(lease.c.id == self.id))
        self._held = False

    def _renew(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            # A beat may fail: the next comes before anyone gives this process up.
            with suppress(StoreError), self._database.writing(lock=False) as connection:
                if not self._stop.is_set():  # given back while this waited for the lock
                    self.take(connection)


def running(connection: Connection) -> set[int]:
    """Return the generations, by number, that a live process is working on."""
    held = connection.execute(select(pending.c.generation, pending.c.lease)).all()
    live = live_leases(connection, {row.lease for row in held})
    return {row.generation for row in held if row.lease in live}


def interrupted(connection: Connection) -> list[tuple[int, str]]:
    """Return number and id of generations that were started, have no outcome and will get none."""
    rows = connection.execute(
        select(generation.c.seq, generation.c.id, pending.c.lease)
        .outerjoin(pending, pending.c.generation == generation.c.seq)
        .where(generation.c.status == "started")
        .order_by(generation.c.seq)
    ).all()
    live = live_leases(connection, {row.lease for row in rows})
    return [(row.seq, row.id) for row in rows if row.lease not in live]


def live_leases(connection: Connection, wanted: Collection[str | None]) -> set[str]:
    """Return those of the wanted leases whose process is at work."""
    if not wanted:
        return set()
    return {row.id for row in _leases(connection) if row.id in wanted and alive(row)}


def dead(connection: Connection) -> list[str]:
    """Return the leases whose process is gone."""
    return [row.id for row in _leases(connection) if not alive(row)]


def forget_dead(connection: Connection) -> None:
    """Remove the leases of dead processes; called when what they left is recorded."""
    if gone := dead(connection):
        connection.execute(delete(lease).where(lease.c.id.in_(gone)))


def _leases(connection: Connection) -> Sequence[Any]:
    return connection.execute(select(lease, _now(connection).label("now"))).all()


def alive(row: Any) -> bool:
    """Whether the process of a lease, a row of the table and the time `now`, is at work."""
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
    """The machine's name, told apart from others of that name by a digest of its identity."""
    try:
        machine = Path("/etc/machine-id").read_bytes()
    except OSError:
        machine = b""
    return f"{socket.gethostname()}/{hashlib.sha256(machine).hexdigest()[:12]}"


@functools.cache
def _boot_id() -> str:
    """Which start of the kernel this is, and which process ids mean the same; empty if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    return f"{boot}/{namespace}"


def _process_start(pid: int) -> str | None:
    """Return when a process started, in the kernel's ticks; None when it is gone or unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()


def _now(connection: Connection) -> ColumnElement[int]:
    """The time in milliseconds, by the one clock that all who use the database share."""
    if connection.dialect.name == "postgresql":
        return cast(func.extract("epoch", func.clock_timestamp()) * 1000, BigInteger)
    return literal(_clock())


def _clock() -> int:
    return time.time_ns() // 1_000_000
