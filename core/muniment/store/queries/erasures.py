"""Read from the ledger which payloads were erased."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, select

from muniment.ledger.entries import InputEntry, OutcomeEntry
from muniment.ledger.events import ErasureEntry, GenerationEvent
from muniment.ledger.payloads import KINDS
from muniment.ledger.schema import decode, kind_of
from muniment.store.database.engine import chunks
from muniment.store.database.tables import entry, event, generation, generation_input
from muniment.store.errors import UNREADABLE
from muniment.store.queries.loader import entries_of

_BITS: dict[str, int] = {kind: 1 << number for number, kind in enumerate(KINDS)}


class ErasedPayloads:
    """The set of (entry number, payload kind) that were erased, with two bytes for each entry."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, number: int, kind: str) -> None:
        """Add the payloads of a kind of entry `number`."""
        end = 2 * number + 2
        if len(self._bits) < end:
            self._bits.extend(bytes(end - len(self._bits)))
        bit = _BITS.get(kind, 0)
        self._bits[end - 2] |= bit & 0xFF
        self._bits[end - 1] |= bit >> 8

    def __bool__(self) -> bool:
        return bool(self._bits)

    def __contains__(self, key: tuple[int, str]) -> bool:
        start = 2 * key[0]
        if not 0 <= start < len(self._bits):
            return False
        bit = _BITS.get(key[1], 0)
        return bool(self._bits[start] & bit & 0xFF or self._bits[start + 1] & bit >> 8)


def erased_payloads(connection: Connection) -> ErasedPayloads:
    """Return the payloads that the `erasure` entries name."""
    erased = ErasedPayloads()
    for _, erasure in erasures(connection):
        for item in erasure.payloads:
            for kind in item.kinds:
                erased.add(item.entry, kind)
    return erased


def erasures(connection: Connection, since: int = 0) -> Iterator[tuple[int, ErasureEntry]]:
    """Yield each `erasure` entry from number `since` on with its number, in order.

    Unreadable entries are skipped, because verification reports them.
    """
    rows = connection.execute(
        select(entry.c.seq, entry.c.canonical_bytes)
        .join(event, event.c.seq == entry.c.seq)
        .where(event.c.kind == kind_of(ErasureEntry), entry.c.seq >= since)
        .order_by(entry.c.seq)
        .execution_options(yield_per=100)
    )
    for row in rows:
        try:
            erasure = decode(row.canonical_bytes)
        except UNREADABLE:
            continue
        if isinstance(erasure, ErasureEntry):
            yield row.seq, erasure


def erased_generations(connection: Connection, erasure: ErasureEntry) -> list[str]:
    """Return the ids of the generations whose payloads or inputs an `erasure` entry names."""
    numbers = [item.entry for item in erasure.payloads]
    ids: dict[str, None] = {}
    for part in chunks(numbers):
        entries = entries_of(connection, part, altered=set())
        seqs = {
            other.generation if isinstance(other, OutcomeEntry | GenerationEvent) else seq
            for seq, other in entries.items()
        }
        if inputs := [seq for seq, other in entries.items() if isinstance(other, InputEntry)]:
            users = select(generation_input.c.generation)
            seqs.update(connection.scalars(users.where(generation_input.c.input.in_(inputs))))
        ids |= dict.fromkeys(
            connection.scalars(select(generation.c.id).where(generation.c.seq.in_(seqs)))
        )
    return list(ids)
