"""Legal holds, which protect generations from erasure, with their actors and reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from muniment.errors import UnknownNameError
from muniment.ids import new_id
from muniment.ledger.entries import HoldEntry, ReleaseEntry, milliseconds
from muniment.ledger.payloads import Payloads
from muniment.ledger.schema import kind_of
from muniment.store.database.batches import chunks
from muniment.store.database.engine import Database
from muniment.store.database.tables import event
from muniment.store.queries.planner import QueryPlanner
from muniment.store.queries.query import Query
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


class Holds:
    """The legal holds of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, query: Query, actor: str, reason: str) -> tuple[str, int]:
        """Place the generations that match a query now under a new hold.

        Return the hold's id and the number of generations.
        """
        number, id, at, count = actor_number(self._database, actor), new_id(), now(), 0
        with self._database.writing() as connection:
            for numbers in QueryPlanner(connection, query).pages(HOLD_BATCH):
                payloads = Payloads()
                entry = HoldEntry(
                    at=milliseconds(at),
                    actor=number,
                    hold=id,
                    reason=add_text(payloads, "reason", reason) or "",
                    generations=sorted(numbers),
                )
                append_with_rows(connection, prepare(entry, payloads))
                count += len(numbers)
        return id, count

    def release(self, reference: str, actor: str, reason: str | None = None) -> str:
        """End a hold, and return its id. `reference` is a unique beginning or end of the id."""
        part = reference.upper()
        ids = [hold.id for hold in self.in_force()]
        matches = [id for id in ids if id.startswith(part) or id.endswith(part)]
        if len(matches) != 1 or not part:
            raise UnknownNameError(
                "hold", reference, hint="`muniment hold list` prints the holds in force"
            )
        payloads, events = Payloads(), Events(self._database)
        commitment = add_text(payloads, "reason", reason)
        events.add(ReleaseEntry(**events.by(actor), hold=matches[0], reason=commitment), payloads)
        return matches[0]

    def in_force(self) -> list[Hold]:
        """Return the holds in force, the oldest first."""
        statement = (
            select(event.c.key, func.min(event.c.seq).label("seq"), func.count().label("number"))
            .where(_in_force)
            .group_by(event.c.key)
            .order_by(func.min(event.c.seq))
        )
        with self._database.reading() as connection:
            rows = connection.execute(statement).all()
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
