"""Replays: recorded as entries like everything, read again, and drawn by chance when wanted."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, select

from muniment.errors import UnknownNameError
from muniment.ledger import acts
from muniment.ledger.entries import Body, moment
from muniment.ledger.payloads import Payload
from muniment.store.database.batches import chunks
from muniment.store.database.engine import Database
from muniment.store.database.tables import generation, replay
from muniment.store.errors import whole
from muniment.store.queries.loader import bodies_of, contents_of
from muniment.store.recording import references
from muniment.store.recording.ledger import append, prepare
from muniment.types import Difference, Replay, ReplayResult


def record(database: Database, found: Replay, actor: str) -> None:
    """Record what came of replaying a generation, with what it was replayed with."""
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
    """A replay on record; `detail` and `differences` are None when they are erased."""

    at: datetime
    actor: str
    result: ReplayResult
    detail: str | None
    differences: tuple[Difference, ...] | None

    def to_json(self) -> dict[str, Any]:
        """Return it as `audit show --json` prints it."""
        at = self.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {**asdict(self), "at": at}


def of_generation(database: Database, id: str) -> list[Replayed]:
    """Return the replays of the generation of that whole id, the oldest first."""
    with database.reading() as connection, whole(database.url):
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


def drawn(connection: Connection, count: int, word: str) -> list[str]:
    """Return the ids of so many completed generations, drawn by a word.

    They are those whose SHA-256 of the word and the id, with a zero byte between, is smallest: the
    same word draws the same ones, and another cannot be told from chance.
    """
    ids: Iterable[str] = connection.scalars(
        select(generation.c.id)
        .where(generation.c.status == "completed")
        .execution_options(yield_per=10_000)
    )
    return heapq.nsmallest(count, ids, key=lambda id: _lot(word, id))


def _lot(word: str, id: str) -> bytes:
    return sha256(f"{word}\0{id}".encode(errors="surrogateescape")).digest()
