"""Legal holds, which protect generations from erasure, with their actors and reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from muniment.ids import new_id
from muniment.ledger.entries import HoldEntry, ReleaseEntry, milliseconds
from muniment.ledger.payloads import Payloads
from muniment.ledger.schema import kind_of
from muniment.store.database.batches import chunks
from muniment.store.database.engine import Database
from muniment.store.database.tables import event
from muniment.store.recording.events import Events, add_text, read_events
from muniment.store.recording.ledger import append_with_rows, prepare
from muniment.store.recording.references import actor_number
from muniment.times import iso
from muniment.validation import now

HOLD_BATCH = 1000  # generations in one entry of a hold


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold.

    Attributes:
        actor: The name of the actor who placed it.
        reason: The reason of the hold.
        generations: The number of generations under it.
    """

    id: str
    at: datetime
    actor: str
    reason: str
    generations: int

    def to_json(self) -> dict[str, Any]:
        """Return the hold as `--json` prints it."""
        at = iso(self.at)
        return {**asdict(self), "at": at}


def add_hold(
    database: Database, who: str, reason: str, pages: Callable[[Connection], Iterator[list[int]]]
) -> tuple[str, int]:
    """Place generations under a new hold. Return the hold's id and the number of generations.

    `pages` yields the numbers of the generations. It is called in the writing transaction.
    """
    actor, id, at, count = actor_number(database, who), new_id(), now(), 0
    with database.writing() as connection:
        for numbers in pages(connection):
            for start in range(0, len(numbers), HOLD_BATCH):
                part = numbers[start : start + HOLD_BATCH]
                payloads = Payloads()
                entry = HoldEntry(
                    at=milliseconds(at),
                    actor=actor,
                    hold=id,
                    reason=add_text(payloads, "reason", reason) or "",
                    generations=sorted(part),
                )
                append_with_rows(connection, prepare(entry, payloads))
                count += len(part)
    return id, count


def release_hold(database: Database, id: str, who: str, reason: str | None) -> None:
    """Record the end of a hold."""
    payloads, events = Payloads(), Events(database)
    entry = ReleaseEntry(**events.by(who), hold=id, reason=add_text(payloads, "reason", reason))
    events.add(entry, payloads)


def holds(connection: Connection) -> list[Hold]:
    """Return the holds in force, the oldest first."""
    rows = connection.execute(
        select(event.c.key, func.min(event.c.seq).label("seq"), func.count().label("number"))
        .where(_in_force)
        .group_by(event.c.key)
        .order_by(func.min(event.c.seq))
    ).all()
    recorded = read_events(connection, HoldEntry, [row.seq for row in rows])
    return [
        Hold(hold.entry.hold, hold.at, hold.actor, hold.text("reason") or "", row.number)
        for hold, row in zip(recorded, rows, strict=True)
    ]


def held_among(connection: Connection, numbers: Sequence[int]) -> set[int]:
    """Return those of the generations that are under a hold in force."""
    under_hold: set[int] = set()
    for part in chunks(numbers):
        under_hold.update(
            connection.scalars(select(event.c.subject).where(event.c.subject.in_(part), _in_force))
        )
    return under_hold


_released = select(event.c.key).where(event.c.kind == kind_of(ReleaseEntry))
_in_force = (event.c.kind == kind_of(HoldEntry)) & event.c.key.not_in(_released)
