"""Read the stored nodes of the ledger's tree."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from muniment.ledger.tree import Read
from muniment.store.database import bulk


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
    if level == 0:
        rows = bulk.execute(connection, _LEAVES, (start, stop))
    else:
        rows = bulk.execute(connection, _NODES, (level, start, stop))
    hashes: list[bytes] = []
    for expected, (index, hash) in enumerate(rows, start):
        if index != expected or not isinstance(hash, bytes):
            break
        hashes.append(hash)
    return hashes


_LEAVES = "SELECT seq, leaf_hash FROM entry WHERE seq BETWEEN ? AND ? ORDER BY seq"
_NODES = (
    'SELECT "index", hash FROM node WHERE level = ? AND "index" BETWEEN ? AND ? ORDER BY "index"'
)
