"""The lineage of a generation: its ancestors, its descendants and other attempts at its line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from muniment.errors import UnknownNameError
from muniment.store.database.batches import chunks
from muniment.store.database.engine import Database
from muniment.store.database.tables import generation, generation_parent
from muniment.store.queries.loader import load_numbers
from muniment.types import Generation

MAX_GENERATIONS = 1000  # generations of one lineage that are returned


@dataclass(frozen=True, slots=True)
class Lineage:
    """The generations that are connected with one.

    Attributes:
        generations: The generations, in the order in which they were started.
        attempts: By id, the number of the attempt at its line of a batch, counted from 1.
        whole: Whether these are all. False if there are more than `MAX_GENERATIONS`.
    """

    generations: tuple[Generation, ...]
    attempts: dict[str, int]
    whole: bool


def lineage(database: Database, id: str) -> Lineage:
    """Return the lineage of the generation with this whole id.

    Raise UnknownNameError if no generation has it.
    """
    g = generation.c
    with database.reading() as connection:
        first = connection.scalar(select(g.seq).where(g.id == id))
        if first is None:
            raise UnknownNameError("generation", id)
        visited: set[int] = set()
        frontier = {first}
        while frontier and len(visited) < MAX_GENERATIONS:
            visited |= frontier
            frontier = _neighbours(connection, sorted(frontier)) - visited
        numbers = sorted(visited)[:MAX_GENERATIONS]
        loaded = [item for _, item in reversed(load_numbers(connection, numbers))]
        attempts = _attempts(connection, numbers)
    return Lineage(
        tuple(loaded),
        {
            item.id: attempts[number]
            for number, item in zip(numbers, loaded, strict=True)
            if number in attempts
        },
        not frontier and len(visited) <= MAX_GENERATIONS,
    )


def _neighbours(connection: Connection, numbers: Sequence[int]) -> set[int]:
    """Return parents, children and other attempts of some generations, by number."""
    g, link = generation.c, generation_parent.c
    neighbours: set[int] = set()
    for part in chunks(numbers):
        ids = select(g.id).where(g.seq.in_(part))
        parents = select(link.parent).where(link.generation.in_(part))
        neighbours.update(connection.scalars(select(g.seq).where(g.id.in_(parents))))
        neighbours.update(connection.scalars(select(link.generation).where(link.parent.in_(ids))))
        lines = connection.execute(
            select(g.run, g.line).where(g.seq.in_(part), g.line.is_not(None)).distinct()
        )
        for run, line in lines:
            neighbours.update(connection.scalars(select(g.seq).where(g.run == run, g.line == line)))
    return neighbours


def _attempts(connection: Connection, numbers: Sequence[int]) -> dict[int, int]:
    """Return the numbers of the attempts at lines of batches, by number of the generation."""
    g = generation.c
    counted: dict[tuple[int, int], int] = {}
    attempts: dict[int, int] = {}
    for part in chunks(numbers):
        of_lines = connection.execute(
            select(g.seq, g.run, g.line).where(g.seq.in_(part), g.line.is_not(None)).order_by(g.seq)
        )
        for seq, run, line in of_lines:
            counted[run, line] = attempts[seq] = counted.get((run, line), 0) + 1
    return attempts
