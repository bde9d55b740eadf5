"""Append entries to the ledger.

Hashing happens before the write lock is taken. Numbers are assigned while holding it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

from msgspec import Struct
from sqlalchemy import Connection

from muniment.errors import DamagedStoreError
from muniment.ledger import schema
from muniment.ledger.entries import Entry
from muniment.ledger.payloads import Payload
from muniment.ledger.tree import Frontier, MissingNodesError, frontier as stored_frontier, leaf_hash
from muniment.representation import showing
from muniment.store.database import bulk, projections, tables
from muniment.store.database.engine import database_of
from muniment.store.database.nodes import node_reader
from muniment.store.database.projections import Rows
from muniment.store.database.tables import node, payload
from muniment.store.errors import corruption_as_store_error


class PreparedEntry(Struct, frozen=True, gc=False):
    """An entry without its number, with its canonical bytes, leaf hash and payloads."""

    entry: Entry
    data: bytes
    leaf: bytes
    payloads: Sequence[Payload] = ()

    __repr__ = showing()

    def content(self, kind: str, position: int = 0) -> bytes | None:
        """Return the content of the entry's payload of a kind and position, or None."""
        return next(
            (p.content for p in self.payloads if p.kind == kind and p.position == position), None
        )


def prepare(entry: Entry, payloads: Sequence[Payload] = ()) -> PreparedEntry:
    """Encode an entry as canonical bytes and hash it. Raise EntryError if a field is invalid."""
    data = schema.encode(entry)
    return PreparedEntry(entry, data, leaf_hash(data), payloads)


def append(connection: Connection, prepared: Sequence[PreparedEntry]) -> int:
    """Write entries with their payloads and tree nodes. Return the number of the first entry.

    The entries get consecutive numbers. The connection must hold the write lock.
    """
    first: int
    with corruption_as_store_error(database_of(connection).url):
        [(first, peaks)] = bulk.execute(connection, "SELECT size, frontier FROM ledger_head")
        frontier = Frontier.from_bytes(first, peaks)
        if _CHECKED not in connection.info:
            _raise_if_head_differs(connection, frontier)
            connection.info[_CHECKED] = True
    completed = frontier.extend(item.leaf for item in prepared)
    bulk.insert(
        connection,
        tables.entry,
        [
            (seq, item.entry.kind, item.entry.version, item.data, item.leaf)
            for seq, item in enumerate(prepared, first)
        ],
    )
    bulk.insert(
        connection,
        payload,
        [(seq, *content) for seq, item in enumerate(prepared, first) for content in item.payloads],
    )
    bulk.insert(connection, node, [(new.level, new.index, new.hash) for new in completed])
    head = frontier.size, bytes(frontier)
    bulk.execute(connection, "UPDATE ledger_head SET size = ?, frontier = ?", head)
    return first


def _raise_if_head_differs(connection: Connection, head: Frontier) -> None:
    """Raise DamagedStoreError unless the stored leaves and nodes, and the last entry, have a head.

    Only the nodes that make up the head are read. Verification compares the others.
    """
    rows = bulk.execute(
        connection, "SELECT seq, canonical_bytes, leaf_hash FROM entry ORDER BY seq DESC LIMIT 1"
    )
    last = [(head.size - 1, True)] if head.size else []
    with suppress(MissingNodesError):
        if [(seq, leaf_hash(data) == leaf) for seq, data, leaf in rows] == last and bytes(
            stored_frontier(head.size, node_reader(connection))
        ) == bytes(head):
            return
    database = database_of(connection)
    raise DamagedStoreError(
        database.url,
        f"nothing was written to the store {database.name}, because its ledger was altered: the "
        "last entries or the stored nodes differ from the head; run `muniment audit verify` to "
        "find the differences, and restore a backup",
    )


_CHECKED = "ledger head checked"  # of a connection, because an append is too frequent for it


def append_with_rows(connection: Connection, prepared: PreparedEntry) -> int:
    """Write one entry that is not of a generation, with its rows. Return its number."""
    return append_all_with_rows(connection, [prepared])


def append_all_with_rows(connection: Connection, prepared: Sequence[PreparedEntry]) -> int:
    """Write entries that are not of generations, with their rows. Return the first number."""
    first = append(connection, prepared)
    rows: Rows = defaultdict(list)
    for number, item in enumerate(prepared, first):
        projections.add_entry(rows, number, item.entry, item.content)
    projections.insert(connection, rows)
    return first
