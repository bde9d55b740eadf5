"""Append entries to the ledger.

Hashing happens before the write lock is taken. Numbers are assigned while holding it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from muniment.ledger import schema
from muniment.ledger.entries import Body
from muniment.ledger.payloads import Payload
from muniment.ledger.tree import Frontier, leaf_hash
from muniment.store.database import bulk
from muniment.store.database.tables import entry, ledger_head, node, payload


@dataclass(frozen=True, slots=True)
class PreparedEntry:
    """An entry without its number: body, canonical bytes, leaf hash and payloads."""

    body: Body
    data: bytes
    leaf: bytes
    payloads: Sequence[Payload] = ()

    def content(self, kind: str) -> bytes | None:
        """Return the content of the entry's only payload of that kind, or None."""
        return next((p.content for p in self.payloads if p.kind == kind), None)


def prepare(body: Body, payloads: Sequence[Payload] = ()) -> PreparedEntry:
    """Encode an entry as canonical bytes and hash it.

    Raises EntryError if the body does not match the schema of its kind.
    """
    data = schema.write(body)
    return PreparedEntry(body, data, leaf_hash(data), payloads)


def append(connection: Connection, prepared: Sequence[PreparedEntry]) -> int:
    """Write entries with their payloads and tree nodes. Return the number of the first entry.

    The entries get consecutive numbers. The connection must hold the write lock.
    """
    head = connection.execute(select(ledger_head.c.size, ledger_head.c.frontier)).one()
    frontier = Frontier.from_bytes(head.size, head.frontier)
    completed = frontier.extend(item.leaf for item in prepared)
    bulk.insert(
        connection,
        entry,
        [
            (seq, item.body["kind"], item.body["version"], item.data, item.leaf)
            for seq, item in enumerate(prepared, head.size)
        ],
    )
    bulk.insert(
        connection,
        payload,
        [
            (seq, *content)
            for seq, item in enumerate(prepared, head.size)
            for content in item.payloads
        ],
    )
    bulk.insert(connection, node, [(new.level, new.index, new.hash) for new in completed])
    connection.execute(update(ledger_head).values(size=frontier.size, frontier=bytes(frontier)))
    first: int = head.size
    return first
