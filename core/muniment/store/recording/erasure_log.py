"""Which payloads were erased, by what the ledger says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select

from muniment.ledger.payloads import KINDS
from muniment.store.database.batches import chunks
from muniment.store.database.tables import entry, erasure, generation
from muniment.store.queries.loader import bodies_of

_BITS: dict[str, int] = {kind: 1 << number for number, kind in enumerate(KINDS)}


class Erased:
    """Entry and kind of every payload that was erased: two bytes an entry of the ledger."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, number: int, kind: str) -> None:
        """Note that payloads of that kind of entry `number` were erased."""
        end = 2 * number + 2
        if len(self._bits) < end:
            self._bits.extend(bytes(end - len(self._bits)))
        bit = _BITS.get(kind, 0)
        self._bits[end - 2] |= bit & 0xFF
        self._bits[end - 1] |= bit >> 8

    def __contains__(self, key: tuple[int, str]) -> bool:
        start = 2 * key[0]
        if not 0 <= start < len(self._bits):
            return False
        bit = _BITS.get(key[1], 0)
        return bool(self._bits[start] & bit & 0xFF or self._bits[start + 1] & bit >> 8)


def erased(connection: Connection) -> Erased:
    """Return which payloads the ledger's erasures name."""
    found = Erased()
    for _, body in bodies(connection):
        for held in body.get("payloads", ()):
            for kind in held["kinds"]:
                found.add(held["entry"], kind)
    return found


def bodies(connection: Connection, since: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield number and body of every erasure from entry number `since` on, in order.

    One that cannot be read is left out: `verify` says of it what is wrong.
    """
    rows = connection.execute(
        select(entry.c.seq, entry.c.canonical_bytes)
        .join(erasure, erasure.c.seq == entry.c.seq)
        .where(entry.c.seq >= since)
        .order_by(entry.c.seq)
        .execution_options(yield_per=100)
    )
    for row in rows:
        try:
            body = json.loads(row.canonical_bytes)
            if body["kind"] == "erasure":
                yield row.seq, body
        except (ValueError, TypeError, KeyError):
            continue


def generations_of(connection: Connection, body: dict[str, Any]) -> list[str]:
    """Return the ids of the generations whose payloads an erasure destroyed."""
    numbers = [held["entry"] for held in body["payloads"]]
    found: dict[str, None] = {}
    for part in chunks(numbers):
        told = bodies_of(connection, part)
        of = {seq if b["kind"] == "started" else b.get("generation") for seq, b in told.items()}
        found |= dict.fromkeys(
            connection.scalars(select(generation.c.id).where(generation.c.seq.in_(of)))
        )
    return list(found)
