"""Replays: recorded as entries like everything that happens, and drawn by chance when wanted."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from hashlib import sha256

from sqlalchemy import Connection, select

from muniment.errors import UnknownNameError
from muniment.ledger import acts
from muniment.ledger.payloads import Payload
from muniment.store import identities
from muniment.store.database import Database
from muniment.store.ledger import append, prepare
from muniment.store.tables import generation, replay
from muniment.types import Replay


def record(database: Database, found: Replay, actor: str) -> None:
    """Record what came of replaying a generation, with what it was replayed with."""
    facts = tuple(sorted(found.environment.items()))
    numbers = identities.numbers(
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
