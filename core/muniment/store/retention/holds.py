"""Legal holds, which protect generations from erasure, with their actors and reasons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from muniment.ids import new_id
from muniment.ledger import acts
from muniment.ledger.entries import moment
from muniment.store.database.batches import chunks
from muniment.store.database.engine import Database
from muniment.store.database.tables import held, hold, release
from muniment.store.recording.events import (
    actor_number,
    add,
    commitment_of,
    read_events,
    record_event,
    text,
)
from muniment.store.recording.ledger import prepare
from muniment.validation import now

HOLD_BATCH = 1000  # generations in one entry of a hold


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold. `generations` is the number of generations under it."""

    id: str
    at: datetime
    actor: str
    reason: str
    generations: int


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
                payloads = text("reason", reason)
                body = acts.hold(
                    at=at,
                    actor=actor,
                    hold=id,
                    reason=payloads[0].commitment,
                    generations=part,
                )
                add(connection, prepare(body, payloads))
                count += len(part)
    return id, count


def release_hold(database: Database, id: str, who: str, reason: str | None) -> None:
    """Record the end of a hold."""
    payloads = text("reason", reason)
    body = acts.release(
        at=now(),
        actor=actor_number(database, who),
        hold=id,
        reason=commitment_of(payloads),
    )
    record_event(database, body, payloads)


def holds(connection: Connection) -> list[Hold]:
    """Return the holds in force, the oldest first."""
    rows = connection.execute(
        select(hold.c.hold, func.min(hold.c.seq).label("seq"))
        .where(hold.c.hold.not_in(select(release.c.hold)))
        .group_by(hold.c.hold)
        .order_by(func.min(hold.c.seq))
    ).all()
    counts = {
        row.hold: row.number
        for row in connection.execute(
            select(hold.c.hold, func.count().label("number"))
            .join(held, held.c.seq == hold.c.seq)
            .group_by(hold.c.hold)
        )
    }
    events = read_events(connection, [row.seq for row in rows])
    return [
        Hold(
            body["hold"],
            moment(body["at"]),
            who,
            texts.get((seq, "reason"), b"").decode(),
            counts.get(body["hold"], 0),
        )
        for seq, body, who, texts in events
    ]


def held_among(connection: Connection, numbers: Sequence[int]) -> set[int]:
    """Return those of the generations that are under a hold in force."""
    under_hold: set[int] = set()
    for part in chunks(numbers):
        under_hold.update(
            connection.scalars(
                select(held.c.generation)
                .join(hold, hold.c.seq == held.c.seq)
                .where(held.c.generation.in_(part), hold.c.hold.not_in(select(release.c.hold)))
            )
        )
    return under_hold
