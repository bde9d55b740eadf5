"""Runs, which group generations, and the lines of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, distinct, func, select

from muniment.errors import UnknownNameError
from muniment.ledger.entries import moment
from muniment.store.database import leases
from muniment.store.database.engine import Database
from muniment.store.database.tables import actor, generation, run
from muniment.store.queries.loader import PAGE, in_pages, load_numbers, match
from muniment.types import Generation, Status


@dataclass(frozen=True, slots=True)
class Run:
    """A group of generations, such as those of one command, or of a batch and its resumptions.

    Attributes:
        id: The id of the run.
        started_at: The start of its first generation.
        finished_at: The end of its last generation, or None if one is still running.
        counts: The number of generations by status, without zeros.
        actor: The name of the actor of the first generation.
        generators: The names of the generators, sorted.
        lines: The number of lines of a batch, or 0.
    """

    id: str
    started_at: datetime
    finished_at: datetime | None
    counts: Mapping[Status, int]
    actor: str
    generators: tuple[str, ...]
    lines: int


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a batch.

    Attributes:
        number: The number of the line in the batch's input.
        generation: The completed attempt, or else the latest attempt.
        attempts: The number of attempts.
    """

    number: int
    generation: Generation
    attempts: int


def runs(database: Database, limit: int | None) -> Iterator[Run]:
    """Yield runs, the newest first."""

    def page(connection: Connection, before: int | None, size: int) -> list[tuple[int, Run]]:
        statement = select(run.c.id, run.c.seq).order_by(run.c.seq.desc()).limit(size)
        if before is not None:
            statement = statement.where(run.c.seq < before)
        rows = connection.execute(statement).all()
        running = leases.running(connection)
        return [(row.seq, _load_run(connection, row.id, row.seq, running)) for row in rows]

    return in_pages(database, limit, page)


def find_run(database: Database, ref: str) -> str:
    """Return the id of a run, given a unique prefix or suffix of it, or `last`.

    Raise UnknownNameError or AmbiguousNameError if not exactly one run matches.
    """
    with database.reading() as connection:
        return match(connection, run, ref)


def run_of(database: Database, id: str) -> Run:
    """Return the run with this whole id.

    Raise UnknownNameError if no run has it.
    """
    with database.reading() as connection:
        number = connection.scalar(select(run.c.seq).where(run.c.id == id))
        if number is None:
            raise UnknownNameError("run", id)
        return _load_run(connection, id, number, leases.running(connection))


def lines(database: Database, run_id: str) -> Iterator[Line]:
    """Yield the lines of a batch in order, each with its completed or else latest attempt."""
    g = generation.c
    chosen: dict[int, tuple[int, bool]] = {}
    attempts: dict[int, int] = {}
    with database.reading() as connection:
        rows = connection.execute(
            select(g.line, g.seq, g.status)
            .join(run, run.c.seq == g.run)
            .where(run.c.id == run_id, g.line.is_not(None))
            .order_by(g.line, g.seq)
        )
        for row in rows:
            attempts[row.line] = attempts.get(row.line, 0) + 1
            if not chosen.get(row.line, (0, False))[1]:
                chosen[row.line] = (row.seq, row.status == "completed")
    numbers = list(chosen)
    for start in range(0, len(numbers), PAGE):
        part = numbers[start : start + PAGE]
        with database.reading() as connection:
            page = load_numbers(connection, [chosen[number][0] for number in part])
            loaded = {item.line: item for _, item in page}
        for number in part:
            yield Line(number, loaded[number], attempts[number])


def _load_run(connection: Connection, id: str, number: int, running: set[int]) -> Run:
    g = generation.c
    totals = connection.execute(
        select(
            func.min(g.started_at).label("started_at"),
            func.max(g.finished_at).label("finished_at"),
            func.count(distinct(g.line)).label("lines"),
        ).where(g.run == number)
    ).one()
    stored: dict[str, int] = {
        row.status: row.number
        for row in connection.execute(
            select(g.status, func.count().label("number")).where(g.run == number).group_by(g.status)
        )
    }
    started = stored.pop("started", 0)
    active = 0
    if started:
        active = len(
            running.intersection(
                connection.scalars(select(g.seq).where(g.run == number, g.status == "started"))
            )
        )
    counts: dict[Status, int] = {}
    for status in _ORDER:
        count = stored.get(status, 0)
        count += active if status == "started" else 0
        count += started - active if status == "interrupted" else 0
        if count:
            counts[status] = count
    generators = connection.scalars(
        select(g.generator).where(g.run == number).distinct().order_by(g.generator)
    ).all()
    name = connection.scalar(
        select(actor.c.name).join(generation, g.actor == actor.c.seq).where(g.seq == number)
    )
    ended = totals.finished_at is not None and not active
    return Run(
        id=id,
        started_at=moment(totals.started_at),
        finished_at=moment(totals.finished_at) if ended else None,
        counts=counts,
        actor=name or "",
        generators=tuple(generators),
        lines=totals.lines,
    )


_ORDER: tuple[Status, ...] = ("completed", "blocked", "failed", "interrupted", "started")
