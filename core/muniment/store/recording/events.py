"""What people do, each an entry with its actor; nothing recorded is edited."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, func, select

from muniment.ids import new_id
from muniment.ledger import acts
from muniment.ledger.acts import Judgement, ModelAct, PluginAct, Rating
from muniment.ledger.entries import Body, moment
from muniment.ledger.payloads import Payload
from muniment.store.database.batches import chunks
from muniment.store.database.engine import Database
from muniment.store.database.projections import ROWS
from muniment.store.database.tables import (
    feedback,
    generation,
    held,
    hold,
    installation,
    metadata,
    release,
    review,
)
from muniment.store.errors import whole
from muniment.store.queries.loader import bodies_of, contents_of
from muniment.store.recording import references
from muniment.store.recording.ledger import Prepared, append, prepare
from muniment.types import PluginRef
from muniment.validation import check_text, now

HOLD_BATCH = 1000  # generations that one entry of a hold names
QUEUE_PAGE = 100


@dataclass(frozen=True, slots=True)
class Feedback:
    """What someone thinks of a generation; `comment` is None when there is none or it is erased."""

    at: datetime
    actor: str
    rating: Rating | None
    comment: str | None


@dataclass(frozen=True, slots=True)
class Review:
    """What a person decided about what filters found; `reason` is None when none is kept."""

    at: datetime
    actor: str
    decision: Judgement
    reason: str | None


@dataclass(frozen=True, slots=True)
class Hold:
    """Generations that may not be erased; `generations` counts them."""

    id: str
    at: datetime
    actor: str
    reason: str
    generations: int


@dataclass(frozen=True, slots=True)
class Installation:
    """What was done to a plugin, and by whom; `signer` is the fingerprint of its bundle's key."""

    at: datetime
    actor: str
    act: PluginAct
    plugin: PluginRef
    signer: str | None


def actor_number(database: Database, name: str) -> int:
    """Return the number of an actor's entry, made when there is none."""
    check_text("actor's name", name)
    return references.numbers(database, {"actor": [name]})["actor", name]


def add(connection: Connection, prepared: Prepared) -> int:
    """Append an entry with the rows that it makes; return its number."""
    number = append(connection, [prepared])
    rows = ROWS[prepared.body["kind"]](number, prepared.body, prepared.content)
    for table, made in rows.items():
        if made:
            connection.execute(metadata.tables[table].insert(), made)
    return number


def text(kind: Any, said: str | None) -> list[Payload]:
    """Return the payload of what someone wrote, in a list; an empty list when it is nothing."""
    if not said:
        return []
    check_text(kind, said)
    return [Payload.new(kind, said.encode())]


def give_feedback(
    database: Database, number: int, who: str, rating: Rating | None, comment: str | None
) -> None:
    """Record feedback on the generation of that number."""
    payloads = text("comment", comment)
    body = acts.feedback(
        number,
        at=now(),
        actor=actor_number(database, who),
        rating=rating,
        comment=_commitment(payloads),
    )
    _record(database, body, payloads)


def give_review(
    database: Database, number: int, who: str, decision: Judgement, reason: str | None
) -> None:
    """Record a review of the generation of that number."""
    payloads = text("reason", reason)
    body = acts.review(
        number,
        at=now(),
        actor=actor_number(database, who),
        decision=decision,
        reason=_commitment(payloads),
    )
    _record(database, body, payloads)


def of_generation(connection: Connection, number: int) -> tuple[list[Feedback], list[Review]]:
    """Return the feedback on and the reviews of a generation, the oldest first."""

    def text_of(body: Body, said: Mapping[tuple[int, str], bytes], seq: int, kind: str) -> Any:
        content = said.get((seq, kind))
        return None if content is None else content.decode()

    with whole(str(connection.engine.url)):
        return (
            [
                Feedback(
                    moment(body["at"]), who, body["rating"], text_of(body, said, seq, "comment")
                )
                for seq, body, who, said in _acts(connection, feedback, number)
            ],
            [
                Review(
                    moment(body["at"]), who, body["decision"], text_of(body, said, seq, "reason")
                )
                for seq, body, who, said in _acts(connection, review, number)
            ],
        )


def _acts(
    connection: Connection, table: Table, number: int
) -> Iterator[tuple[int, Body, str, Mapping[tuple[int, str], bytes]]]:
    numbers = connection.scalars(
        select(table.c.seq).where(table.c.generation == number).order_by(table.c.seq)
    ).all()
    yield from _read(connection, numbers)


def _read(
    connection: Connection, numbers: Sequence[int]
) -> Iterator[tuple[int, Body, str, Mapping[tuple[int, str], bytes]]]:
    """Yield number, body, actor's name and texts of acts."""
    for part in chunks(numbers):
        bodies = bodies_of(connection, part)
        actors = {body["actor"] for body in bodies.values()}
        said = {
            (entry, kind): content
            for (entry, kind, _), content in contents_of(connection, [*part, *actors]).items()
            if entry is not None
        }
        for seq in part:
            body = bodies[seq]
            yield seq, body, said.get((body["actor"], "actor"), b"").decode(), said


# ---- holds -------------------------------------------------------------------------------------


def add_hold(
    database: Database, who: str, reason: str, pages: Callable[[Connection], Iterator[list[int]]]
) -> tuple[str, int]:
    """Hold the generations that `pages` yields by number; return the hold's id and how many."""
    actor, id, at, counted = actor_number(database, who), new_id(), now(), 0
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
                counted += len(part)
    return id, counted


def release_hold(database: Database, id: str, who: str, reason: str | None) -> None:
    """Record that a hold ended."""
    payloads = text("reason", reason)
    body = acts.release(
        at=now(),
        actor=actor_number(database, who),
        hold=id,
        reason=_commitment(payloads),
    )
    _record(database, body, payloads)


def holds(connection: Connection) -> list[Hold]:
    """Return the holds that are in force, the oldest first."""
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
    found = _read(connection, [row.seq for row in rows])
    return [
        Hold(
            body["hold"],
            moment(body["at"]),
            who,
            said.get((seq, "reason"), b"").decode(),
            counts.get(body["hold"], 0),
        )
        for seq, body, who, said in found
    ]


def held_among(connection: Connection, numbers: Sequence[int]) -> set[int]:
    """Return which of the generations are under a hold that is in force."""
    found: set[int] = set()
    for part in chunks(numbers):
        found.update(
            connection.scalars(
                select(held.c.generation)
                .join(hold, hold.c.seq == held.c.seq)
                .where(held.c.generation.in_(part), hold.c.hold.not_in(select(release.c.hold)))
            )
        )
    return found


# ---- the house ---------------------------------------------------------------------------------


def record_installation(database: Database, who: str, done: Installation) -> None:
    """Record what was done to a plugin, unless just this is on record already.

    `done.actor` is not looked at: `who` asked.
    """
    body = acts.installation(
        done.plugin,
        at=done.at,
        actor=actor_number(database, who),
        act=done.act,
        signer=done.signer,
    )
    prepared = prepare(body)
    with database.writing() as connection:
        newest = connection.scalar(
            select(func.max(installation.c.seq)).where(
                installation.c.distribution == done.plugin.distribution
            )
        )
        if newest is None or bodies_of(connection, [newest])[newest] != body:
            add(connection, prepared)


def installations(connection: Connection, distribution: str) -> list[Installation]:
    """Return what was done to a plugin, the oldest first."""
    numbers = connection.scalars(
        select(installation.c.seq)
        .where(installation.c.distribution == distribution)
        .order_by(installation.c.seq)
    ).all()
    return [
        Installation(
            moment(body["at"]), who, body["act"], PluginRef(**body["plugin"]), body["signer"]
        )
        for _, body, who, _ in _read(connection, numbers)
    ]


def record_model(
    database: Database, who: str, act: ModelAct, digest: str, detail: Mapping[str, str]
) -> None:
    """Record that a model was added or removed; `detail` has its name and where it came from."""
    payloads = [Payload.new("model", json.dumps(detail, ensure_ascii=False).encode())]
    actor = actor_number(database, who)
    body = acts.model(at=now(), actor=actor, act=act, digest=digest, detail=payloads[0].commitment)
    _record(database, body, payloads)


# ---- the queue of reviews ----------------------------------------------------------------------


def queue(connection: Connection, before: int | None, size: int) -> Sequence[int]:
    """Return generations that filters flagged or blocked and nobody reviewed, newest first."""
    statement = (
        select(generation.c.seq)
        .where(
            generation.c.decision.in_(("flag", "redact", "block")),
            ~select(review.c.seq).where(review.c.generation == generation.c.seq).exists(),
        )
        .order_by(generation.c.seq.desc())
        .limit(size)
    )
    if before is not None:
        statement = statement.where(generation.c.seq < before)
    return connection.scalars(statement).all()


def to_json(item: Feedback | Review | Hold | Installation) -> dict[str, Any]:
    """Return an act as `--json` prints it."""
    held = asdict(item)
    return {
        name: value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if isinstance(value, datetime)
        else value
        for name, value in held.items()
    }


def _record(database: Database, body: Body, payloads: Sequence[Payload]) -> None:
    prepared = prepare(body, payloads)
    with database.writing() as connection:
        add(connection, prepared)


def _commitment(payloads: Sequence[Payload]) -> str | None:
    return payloads[0].commitment if payloads else None
