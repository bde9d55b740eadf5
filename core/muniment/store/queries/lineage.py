"""Lineage: what a generation was made from, what was made from it, and its other attempts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from muniment.errors import UnknownNameError
from muniment.store.database.batches import chunks
from muniment.store.database.engine import Database
from muniment.store.database.tables import generation, generation_parent
from muniment.store.queries.loader import load
from muniment.store.queries.planner import rows
from muniment.types import Generation

MOST = 1000  # generations of one lineage that are told


@dataclass(frozen=True, slots=True)
class Lineage:
    """The generations that hang together with one, in the order they were started.

    `attempts` has, by id, which attempt at its line of a batch a generation was, from 1. `whole`
    is false where there are more generations than were looked at.
    """

    generations: tuple[Generation, ...]
    attempts: dict[str, int]
    whole: bool


def lineage(database: Database, id: str) -> Lineage:
    """Return the lineage of the generation of that whole id."""
    g = generation.c
    with database.reading() as connection:
        first = connection.scalar(select(g.seq).where(g.id == id))
        if first is None:
            raise UnknownNameError("generation", id)
        found: set[int] = set()
        edge = {first}
        while edge and len(found) < MOST:
            found |= edge
            edge = _neighbours(connection, sorted(edge)) - found
        numbers = sorted(found)[:MOST] if len(found) > MOST else sorted(found)
        loaded = load(connection, rows(connection, numbers), trace=False)[::-1]
        attempts = _attempts(connection, numbers)
    return Lineage(
        tuple(loaded),
        {
            item.id: attempts[number]
            for number, item in zip(numbers, loaded, strict=True)
            if number in attempts
        },
        not edge and len(found) <= MOST,
    )


def _neighbours(connection: Connection, numbers: Sequence[int]) -> set[int]:
    g, link = generation.c, generation_parent.c
    found: set[int] = set()
    for part in chunks(numbers):
        ids = select(g.id).where(g.seq.in_(part))
        parents = select(link.parent).where(link.generation.in_(part))
        found.update(connection.scalars(select(g.seq).where(g.id.in_(parents))))
        found.update(connection.scalars(select(link.generation).where(link.parent.in_(ids))))
        lines = connection.execute(
            select(g.run, g.line).where(g.seq.in_(part), g.line.is_not(None)).distinct()
        )
        for run, line in lines:
            found.update(connection.scalars(select(g.seq).where(g.run == run, g.line == line)))
    return found


def _attempts(connection: Connection, numbers: Sequence[int]) -> dict[int, int]:
    """Return which attempt at its line each generation was, where it is the line of a batch."""
    g = generation.c
    counted: dict[tuple[int, int], int] = {}
    found: dict[int, int] = {}
    for part in chunks(numbers):
        of_lines = connection.execute(
            select(g.seq, g.run, g.line).where(g.seq.in_(part), g.line.is_not(None)).order_by(g.seq)
        )
        for seq, run, line in of_lines:
            counted[run, line] = found[seq] = counted.get((run, line), 0) + 1
    return found
