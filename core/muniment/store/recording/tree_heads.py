"""Read the head and the nodes of the ledger's tree, and store signed checkpoints of the head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy import Connection, bindparam, delete, select

from muniment.ledger import checkpoints
from muniment.ledger.checkpoints import Note
from muniment.ledger.tree import Frontier, MissingNodesError, Read, frontier
from muniment.store.database.raw import raw
from muniment.store.database.tables import checkpoint, entry, ledger_head, node
from muniment.store.errors import corruption_as_store_error


@dataclass(frozen=True, slots=True)
class Head:
    """The identity of a ledger, the number of its entries, and the root of their tree."""

    log: str
    size: int
    root: bytes


Sign: TypeAlias = Callable[[Head, Read], Note]
"""A function that signs a checkpoint of a head, or raises to refuse.

It can read the nodes of the tree with its second argument.
"""


def log_of(connection: Connection) -> str:
    """Return the identity of the ledger."""
    return str(connection.scalars(select(ledger_head.c.log_id)).one())


def head(connection: Connection) -> Head:
    """Return the head of the ledger's tree."""
    row = connection.execute(
        select(ledger_head.c.log_id, ledger_head.c.size, ledger_head.c.frontier)
    ).one()
    with corruption_as_store_error(connection.engine.url.render_as_string()):
        return Head(row.log_id, row.size, Frontier.from_bytes(row.size, row.frontier).root())


def node_reader(connection: Connection) -> Read:
    """Return a function that reads nodes of the tree. Level 0 are the leaf hashes of entries.

    The function returns fewer nodes than requested if one is missing.
    """
    # Nodes are read and cached in tiles of 256, because an entry's path needs its neighbours.
    tiles: dict[tuple[int, int], Sequence[bytes]] = {}

    def read(level: int, start: int, stop: int) -> Sequence[bytes]:
        hashes: list[bytes] = []
        while start < stop:
            tile, first = divmod(start, 256)
            if (level, tile) not in tiles:
                tiles[level, tile] = _tile(connection, level, tile)
            part = tiles[level, tile][first : first + stop - start]
            hashes += part
            if first + len(part) < 256:
                break
            start += len(part)
        return hashes

    return read


def _tile(connection: Connection, level: int, tile: int) -> Sequence[bytes]:
    """Return the nodes of a tile that come before the first missing one."""
    start, stop = tile * 256, tile * 256 + 255
    limits = {"start": start, "stop": stop}
    if level == 0:
        result = connection.execute(_LEAVES, limits)
    else:
        result = connection.execute(_NODES, {"level": level, **limits})
    hashes: list[bytes] = []
    for expected, (index, hash) in enumerate(result.tuples().all(), start):
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
    """Return the root of the first `size` entries, or None if stored nodes are missing."""
    try:
        return frontier(size, node_reader(connection)).root()
    except MissingNodesError:
        return None


def sign(connection: Connection, signer: Sign) -> Note:
    """Sign the head, and store the checkpoint as the last one of its key."""
    current = head(connection)
    note = signer(current, node_reader(connection))
    row = {"key": key_of(note), "size": current.size, "note": str(note)}
    same_key = checkpoint.c.key == row["key"]
    if connection.scalar(select(checkpoint.c.note).where(same_key)) != row["note"]:
        connection.execute(delete(checkpoint).where(same_key))
        connection.execute(checkpoint.insert(), row)
    return note


def key_of(note: Note) -> str:
    """Return name and id of the key that signed a checkpoint, as `name+id`."""
    signature = note.signatures[0]  # the log's own signature comes first
    return f"{signature.name}+{signature.key_id.hex()}"


def signed(connection: Connection) -> list[Note]:
    """Return the stored checkpoints, the largest first."""
    rows = connection.scalars(select(checkpoint.c.note).order_by(checkpoint.c.size.desc()))
    return [checkpoints.parse_note(note) for note in rows]
