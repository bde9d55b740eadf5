"""The head of the ledger's tree, the nodes that proofs are made of, and the checkpoints signed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy import Connection, bindparam, delete, select

from muniment.ledger import checkpoints, tree
from muniment.ledger.checkpoints import Note
from muniment.ledger.tree import Frontier, MissingNodesError, Read
from muniment.store.database.raw import raw
from muniment.store.database.tables import checkpoint, entry, ledger_head, node


@dataclass(frozen=True, slots=True)
class Head:
    """Which log it is, how many entries it has, and their root."""

    log: str
    size: int
    root: bytes


Sign: TypeAlias = Callable[[Head, Read], Note]
"""Makes a signed checkpoint of a head, reading the tree's nodes; or refuses, by raising."""


def log_of(connection: Connection) -> str:
    """Return the identity of the ledger."""
    return str(connection.scalars(select(ledger_head.c.log_id)).one())


def head(connection: Connection) -> Head:
    """Return the head of the ledger's tree."""
    row = connection.execute(
        select(ledger_head.c.log_id, ledger_head.c.size, ledger_head.c.frontier)
    ).one()
    return Head(row.log_id, row.size, Frontier.from_bytes(row.size, row.frontier).root())


def nodes(connection: Connection) -> Read:
    """Return what reads the tree's nodes, the leaf hashes of entries among them.

    They are read 256 at a time and remembered: the path of an entry takes its neighbours.
    """
    tiles: dict[tuple[int, int], Sequence[bytes]] = {}

    def read(level: int, start: int, stop: int) -> Sequence[bytes]:
        found: list[bytes] = []
        while start < stop:
            tile, first = divmod(start, 256)
            if (level, tile) not in tiles:
                tiles[level, tile] = _tile(connection, level, tile)
            part = tiles[level, tile][first : first + stop - start]
            found += part
            if first + len(part) < 256:
                break
            start += len(part)
        return found

    return read


def _tile(connection: Connection, level: int, tile: int) -> Sequence[bytes]:
    """Return the nodes of a tile up to the first that is missing."""
    start, stop = tile * 256, tile * 256 + 255
    between = {"start": start, "stop": stop}
    if level == 0:
        found = connection.execute(_LEAVES, between)
    else:
        found = connection.execute(_NODES, {"level": level, **between})
    hashes: list[bytes] = []
    for expected, (index, hash) in enumerate(found.tuples().all(), start):
        if index != expected or not isinstance(hash, bytes):
            break
        hashes.append(hash)
    return hashes


_LEAVES = (
    select(entry.c.seq, *raw(entry, "leaf_hash"))
    .where(entry.c.seq.between(bindparam("start"), bindparam("stop")))
    .order_by(entry.c.seq)
)
_NODES = (
    select(node.c.index, *raw(node, "hash"))
    .where(
        node.c.level == bindparam("level"),
        node.c.index.between(bindparam("start"), bindparam("stop")),
    )
    .order_by(node.c.index)
)


def root(connection: Connection, size: int) -> bytes | None:
    """Return the root of the first so many entries, by the nodes kept; None without them."""
    try:
        return tree.root(size, nodes(connection))
    except MissingNodesError:
        return None


def sign(connection: Connection, signer: Sign) -> Note:
    """Have the head signed, and keep the checkpoint as the last of its key, if it was not."""
    found = head(connection)
    note = signer(found, nodes(connection))
    kept = {"key": key_of(note), "size": found.size, "note": str(note)}
    own = checkpoint.c.key == kept["key"]
    if connection.scalar(select(checkpoint.c.note).where(own)) != kept["note"]:
        connection.execute(delete(checkpoint).where(own))
        connection.execute(checkpoint.insert(), kept)
    return note


def key_of(note: Note) -> str:
    """Return name and id of the key whose signature comes first, which is the log's own."""
    signature = note.signatures[0]
    return f"{signature.name}+{signature.key_id.hex()}"


def signed(connection: Connection) -> list[Note]:
    """Return the checkpoints that are kept, that of the most entries first."""
    rows = connection.scalars(select(checkpoint.c.note).order_by(checkpoint.c.size.desc()))
    return [checkpoints.parse(note) for note in rows]
