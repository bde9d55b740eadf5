"""Read the head of the ledger's tree, and store signed checkpoints of the head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy import Connection, delete, select

from muniment.ledger import checkpoints
from muniment.ledger.checkpoints import Note
from muniment.ledger.tree import Frontier, MissingNodesError, Read, frontier
from muniment.store.database.engine import database_of
from muniment.store.database.nodes import node_reader
from muniment.store.database.tables import checkpoint, ledger_head
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
    with corruption_as_store_error(database_of(connection).url):
        return Head(row.log_id, row.size, Frontier.from_bytes(row.size, row.frontier).root())


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
