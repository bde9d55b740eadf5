"""Record and read events: feedback, reviews, installations, models and replays.

Each event is an entry with an actor. Recorded events are never changed.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, func, select

from muniment.errors import UnknownNameError
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
    installation,
    metadata,
    replay,
    review,
)
from muniment.store.errors import corruption_as_store_error
from muniment.store.queries.loader import bodies_of, contents_of
from muniment.store.recording import references
from muniment.store.recording.ledger import PreparedEntry, append, prepare
from muniment.types import Difference, PluginRef, Replay, ReplayResult
from muniment.validation import check_text, now

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

QUEUE_PAGE = 100


@dataclass(frozen=True, slots=True)
class Feedback:
    """Feedback on a generation. `comment` is None if there is none or it was erased."""

    at: datetime
    actor: str
    rating: Rating | None
    comment: str | None


@dataclass(frozen=True, slots=True)
class Review:
    """A person's decision on the filters' verdict. `reason` is None if absent or erased."""

    at: datetime
    actor: str
    decision: Judgement
    reason: str | None


@dataclass(frozen=True, slots=True)
class Installation:
    """A change of an installed plugin. `signer` is the fingerprint of its bundle's key."""

    at: datetime
    actor: str
    act: PluginAct
    plugin: PluginRef
    signer: str | None


def actor_number(database: Database, name: str) -> int:
    """Return the number of an actor's entry. Append the entry if it is missing."""
    check_text("actor's name", name)
    return references.numbers(database, {"actor": [name]})["actor", name]


def add(connection: Connection, prepared: PreparedEntry) -> int:
    """Append an entry, insert its rows, and return its number."""
    number = append(connection, [prepared])
    rows = ROWS[prepared.body["kind"]](number, prepared.body, prepared.content)
    for table, made in rows.items():
        if made:
            connection.execute(metadata.tables[table].insert(), made)
    return number


def text(kind: Any, said: str | None) -> list[Payload]:
    """Return a list with the payload of a text, or an empty list without a text."""
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
        comment=commitment_of(payloads),
    )
    record_event(database, body, payloads)


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
        reason=commitment_of(payloads),
    )
    record_event(database, body, payloads)


def of_generation(connection: Connection, number: int) -> tuple[list[Feedback], list[Review]]:
    """Return the feedback on a generation and its reviews, the oldest first."""

    def text_of(body: Body, said: Mapping[tuple[int, str], bytes], seq: int, kind: str) -> Any:
        content = said.get((seq, kind))
        return None if content is None else content.decode()

    with corruption_as_store_error(str(connection.engine.url)):
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
    yield from read_events(connection, numbers)


def read_events(
    connection: Connection, numbers: Sequence[int]
) -> Iterator[tuple[int, Body, str, Mapping[tuple[int, str], bytes]]]:
    """Yield number, body, actor's name and texts of each event."""
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


# ---- installations and models ------------------------------------------------------------------


def record_installation(database: Database, who: str, done: Installation) -> None:
    """Record a change of a plugin, unless it is the plugin's last recorded change already.

    The actor is `who`. `done.actor` is ignored.
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
    """Return the recorded changes of a plugin, the oldest first."""
    numbers = connection.scalars(
        select(installation.c.seq)
        .where(installation.c.distribution == distribution)
        .order_by(installation.c.seq)
    ).all()
    return [
        Installation(
            moment(body["at"]), who, body["act"], PluginRef(**body["plugin"]), body["signer"]
        )
        for _, body, who, _ in read_events(connection, numbers)
    ]


def record_model(
    database: Database, who: str, act: ModelAct, digest: str, detail: Mapping[str, str]
) -> None:
    """Record that a model was added or removed. `detail` has its name and its source."""
    payloads = [Payload.new("model", json.dumps(detail, ensure_ascii=False).encode())]
    actor = actor_number(database, who)
    body = acts.model(at=now(), actor=actor, act=act, digest=digest, detail=payloads[0].commitment)
    record_event(database, body, payloads)


# ---- replays ---------------------------------------------------------------------------------


def record_replay(database: Database, found: Replay, actor: str) -> None:
    """Record the result of a replay, with its environment and plugins."""
    facts = tuple(sorted(found.environment.items()))
    numbers = references.numbers(
        database, {"actor": [actor], "environment": [facts], "plugin": found.plugins}
    )
    said = {"detail": found.detail, "differences": found.to_json()["differences"]}
    detail = Payload.new("replay", json.dumps(said, ensure_ascii=False).encode())
    with database.writing() as connection:
        number = connection.scalar(select(generation.c.seq).where(generation.c.id == found.id))
        if number is None:
            raise UnknownNameError("generation", found.id)
        body = acts.replay(
            number,
            at=datetime.now(UTC),
            actor=numbers["actor", actor],
            result=found.result,
            environment=numbers["environment", facts],
            plugins=[numbers["plugin", plugin] for plugin in found.plugins],
            detail=detail.commitment,
        )
        seq = append(connection, [prepare(body, [detail])])
        connection.execute(replay.insert(), {"seq": seq, "generation": number})


@dataclass(frozen=True, slots=True)
class Replayed:
    """A recorded replay. `detail` and `differences` are None if they were erased."""

    at: datetime
    actor: str
    result: ReplayResult
    detail: str | None
    differences: tuple[Difference, ...] | None

    def to_json(self) -> dict[str, Any]:
        """Return the replay as `audit show --json` prints it."""
        at = self.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {**asdict(self), "at": at}


def replays_of(database: Database, id: str) -> list[Replayed]:
    """Return the replays of the generation with the complete id `id`, the oldest first."""
    with database.reading() as connection, corruption_as_store_error(database.url):
        numbers = connection.scalars(
            select(replay.c.seq)
            .join(generation, generation.c.seq == replay.c.generation)
            .where(generation.c.id == id)
            .order_by(replay.c.seq)
        ).all()
        found = []
        for part in chunks(numbers):
            bodies = bodies_of(connection, part)
            contents = contents_of(connection, [*part, *{b["actor"] for b in bodies.values()}])
            found += [_replayed(seq, bodies[seq], contents) for seq in part]
    return found


def _replayed(seq: int, body: Body, contents: Mapping[Any, bytes]) -> Replayed:
    said = contents.get((seq, "replay", 0))
    held = json.loads(said) if said is not None else {}
    differences = held.get("differences")
    return Replayed(
        moment(body["at"]),
        (contents.get((body["actor"], "actor", 0)) or b"").decode(),
        body["result"],
        held.get("detail"),
        None if differences is None else tuple(Difference(**item) for item in differences),
    )


def sample(connection: Connection, count: int, key: str) -> list[str]:
    """Return the ids of `count` completed generations, chosen by a key.

    These are the ids with the smallest SHA-256 of key, zero byte and id. The same key gives the
    same sample; without the key, the sample cannot be predicted.
    """
    ids: Iterable[str] = connection.scalars(
        select(generation.c.id)
        .where(generation.c.status == "completed")
        .execution_options(yield_per=10_000)
    )
    return heapq.nsmallest(count, ids, key=lambda id: _sample_hash(key, id))


def _sample_hash(key: str, id: str) -> bytes:
    return sha256(f"{key}\0{id}".encode(errors="surrogateescape")).digest()


# ---- the queue of reviews ----------------------------------------------------------------------


def queue(connection: Connection, before: int | None, size: int) -> Sequence[int]:
    """Return the numbers of flagged, redacted or blocked generations without a review.

    The newest come first. `before` is an entry number, and `size` is the maximum number of results.
    """
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


def to_json(item: DataclassInstance) -> dict[str, Any]:
    """Return an event as `--json` prints it."""
    held = asdict(item)
    return {
        name: value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if isinstance(value, datetime)
        else value
        for name, value in held.items()
    }


def record_event(database: Database, body: Body, payloads: Sequence[Payload]) -> None:
    """Append one entry with its payloads and rows in a transaction."""
    prepared = prepare(body, payloads)
    with database.writing() as connection:
        add(connection, prepared)


def commitment_of(payloads: Sequence[Payload]) -> str | None:
    """Return the commitment of the first payload, or None without a payload."""
    return payloads[0].commitment if payloads else None
