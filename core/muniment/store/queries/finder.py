"""Find generations, runs, the lines of a batch and lineages."""

from __future__ import annotations

import heapq
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from sqlalchemy import Connection, Subquery, Table, distinct, func, select

from muniment.errors import AmbiguousNameError, UnknownNameError
from muniment.ledger.entries import StartedEntry
from muniment.ledger.fields import moment
from muniment.representation import showing
from muniment.store.database import leases
from muniment.store.database.engine import Database, chunks, database_of
from muniment.store.database.raw import count_rows
from muniment.store.database.tables import (
    SUFFIX,
    actor,
    entry,
    generation,
    generation_parent,
    ledger_head,
    policy,
    run,
)
from muniment.store.errors import corruption_as_store_error
from muniment.store.queries import contents
from muniment.store.queries.loader import PAGE, entries_of, in_pages, load, load_numbers, number_of
from muniment.store.queries.origins import policy_document
from muniment.store.queries.planner import Position, QueryPlanner
from muniment.store.queries.query import COLUMNS, GenerationRow, Query
from muniment.store.queries.recorded_names import obstacles
from muniment.types.generations import Generation, Status
from muniment.validation import check_reference

MAX_GENERATIONS = 1000  # generations of one lineage that are returned
POLL_SECONDS = 1.0  # between two reads of the size of the ledger, to follow it
_STATUSES: tuple[Status, ...] = ("completed", "blocked", "failed", "interrupted", "started")


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

    __repr__ = showing()


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

    __repr__ = showing()


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

    __repr__ = showing()


class Finder:
    """The generations, runs and lineages of a store."""

    def __init__(self, database: Database) -> None:
        """Read from an opened database."""
        self._database = database

    def generation(self, id: str) -> Generation:
        """Return the generation with a complete id. Raise UnknownNameError if there is none."""
        return self.with_ids([id])[0]

    def with_ids(self, ids: Sequence[str]) -> list[Generation]:
        """Return the generations with complete ids, in their order, with their traces.

        Raises UnknownNameError.
        """
        loaded: dict[str, Generation] = {}
        for part in chunks(ids, PAGE):
            statement = select(*COLUMNS).where(generation.c.id.in_(part))
            with self._database.reading() as connection:
                fetched = [GenerationRow._make(row) for row in connection.execute(statement)]
                loaded |= {item.id: item for item in load(connection, fetched, trace=True)}
        if missing := [id for id in ids if id not in loaded]:
            raise UnknownNameError("generation", missing[0])
        return [loaded[id] for id in ids]

    def policy_document(self, id: str) -> str:
        """Return the recorded policy of a generation.

        It is "" if there is none, or if it was erased or altered. Raises UnknownNameError.
        """
        with self._database.reading() as connection:
            return _policy_document(connection, number_of(connection, generation, id))

    def policy_of_run(self, run_id: str) -> str | None:
        """Return the recorded policy of the first generation of a run, or None without one.

        It is "" if it was erased or altered. `run_id` is the complete id.
        """
        with self._database.reading() as connection:
            number = connection.scalar(select(run.c.seq).where(run.c.id == run_id))
            # The number of a run is that of its first generation.
            return None if number is None else _policy_document(connection, number)

    def policy_documents(self, *, name: str | None = None, limit: int | None = None) -> list[str]:
        """Return the newest recorded policies, without erased and altered ones.

        With `name`, such as `team@3`, only those that were recorded under it.
        """
        newest = select(policy.c.seq).order_by(policy.c.seq.desc()).limit(limit)
        if name is not None:
            newest = newest.where(policy.c.name == name)
        with self._database.reading() as connection:
            numbers = connection.scalars(newest).all()
            return [text for number in numbers if (text := policy_document(connection, number))]

    def find(self, ref: str) -> str:
        """Return the complete id of a generation.

        `ref` is a unique beginning or end of the id with at least four characters, or `last`.
        Raises UnknownNameError and AmbiguousNameError.
        """
        with self._database.reading() as connection:
            return match_id(connection, generation, ref)

    def with_fingerprint(self, fingerprint: bytes) -> list[str]:
        """Return the ids of the generations with an output of this fingerprint, newest first."""
        with self._database.reading() as connection:
            return contents.with_fingerprint(connection, fingerprint)

    def with_output(self, data: bytes) -> list[str]:
        """Return the ids of the generations with an output of these bytes, newest first.

        All recorded outputs are read, because entries contain no plain digest of their contents.
        """
        with self._database.reading() as connection:
            return contents.with_output(connection, data)

    def with_selection(self, data: bytes) -> list[str]:
        """Return the ids of the generations whose selection of a list has these bytes.

        The newest are first. Only the newest `contents.MAX_SELECTIONS` are compared.
        """
        with self._database.reading() as connection:
            return contents.with_selection(connection, data)

    def with_input(self, data: bytes) -> list[str]:
        """Return the ids of the generations with an input of these bytes, newest first.

        All recorded inputs are read, as `with_output` reads outputs.
        """
        with self._database.reading() as connection:
            return contents.with_input(connection, data)

    def generations(self, query: Query | None = None) -> Iterator[Generation]:
        """Yield the generations that match a query, in its order, without their traces."""
        wanted = query or Query()

        def page(
            connection: Connection, after: Position | None, size: int
        ) -> list[tuple[Position, Generation]]:
            positions = QueryPlanner(connection, wanted).ordered_page(after, size)
            numbers = sorted((number for _, number in positions), reverse=True)
            loaded = dict(load_numbers(connection, numbers))
            return [(position, loaded[position[1]]) for position in positions]

        return in_pages(self._database, wanted.limit, page)

    def count(self, query: Query) -> int:
        """Return the number of generations that match a query."""
        with self._database.reading() as connection:
            return QueryPlanner(connection, query).count()

    def obstacles(self, query: Query) -> list[str]:
        """Return a clause for each reason why no generation can match a query.

        These are an empty period, and each name that nothing recorded has. A clause names similar
        ones, as in "no tag 'nwes' is recorded (did you mean news?)".
        """
        with self._database.reading() as connection:
            return obstacles(connection, query)

    def sample(self, count: int, key: str, query: Query | None = None) -> list[str]:
        """Return the ids of `count` completed generations that match a query, chosen with a key.

        These are the ids with the smallest SHA-256 of key, zero byte and id. The same key gives the
        same sample. Without the key, the sample cannot be predicted. Only ids are read.
        """
        query = query or Query()
        if query.status not in (None, "completed"):
            return []
        with self._database.reading() as connection:
            planner = QueryPlanner(connection, replace(query, status="completed"))
            ids: Iterator[str] = (row[0] for row in planner.select_all("g.id", yield_per=10_000))
            return heapq.nsmallest(
                count,
                ids,
                key=lambda id: sha256(f"{key}\0{id}".encode(errors="surrogateescape")).digest(),
            )

    def tail(self, query: Query | None = None, *, follow: bool) -> Iterator[Generation]:
        """Yield the last generations that match a query, the oldest first.

        With `follow`, go on without end and yield each matching generation when it ends. Every
        `POLL_SECONDS` one row is read to detect new entries.
        """
        wanted = query or Query(limit=10)
        with self._database.reading() as connection:
            size = _ledger_size(connection)
            numbers = QueryPlanner(connection, wanted).page(None, wanted.limit or 0)
            loaded = load_numbers(connection, numbers)
        yield from (item for _, item in reversed(loaded))
        while follow:
            time.sleep(POLL_SECONDS)
            while True:
                with self._database.reading() as connection:
                    end = min(_ledger_size(connection), size + PAGE)
                    numbers = sorted(_ended(connection, size, end))
                    matching = QueryPlanner(connection, wanted).among(numbers) if numbers else []
                    loaded = load_numbers(connection, matching)
                yield from (item for _, item in reversed(loaded))
                if end == size:
                    break
                size = end

    def lineage(self, id: str) -> Lineage:
        """Return the lineage of the generation with a complete id. Raise UnknownNameError."""
        with self._database.reading() as connection:
            visited: set[int] = set()
            frontier = {number_of(connection, generation, id)}
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

    def runs(self, limit: int | None = None) -> Iterator[Run]:
        """Yield runs, the newest first."""

        def page(connection: Connection, before: int | None, size: int) -> list[tuple[int, Run]]:
            statement = select(run.c.id, run.c.seq).order_by(run.c.seq.desc()).limit(size)
            if before is not None:
                statement = statement.where(run.c.seq < before)
            page_rows = connection.execute(statement).all()
            running = leases.running(connection)
            with corruption_as_store_error(self._database.url):
                return [
                    (row.seq, _load_run(connection, row.id, row.seq, running)) for row in page_rows
                ]

        return in_pages(self._database, limit, page)

    def run_count(self) -> int:
        """Return the number of runs."""
        with self._database.reading() as connection:
            return count_rows(connection, run)

    def find_run(self, ref: str) -> str:
        """Return the complete id of a run. `ref` is a unique beginning or end of it, or `last`."""
        with self._database.reading() as connection:
            return match_id(connection, run, ref)

    def run(self, id: str) -> Run:
        """Return the run with a complete id. Raise UnknownNameError if there is none."""
        with self._database.reading() as connection:
            number = number_of(connection, run, id)
            with corruption_as_store_error(self._database.url):
                return _load_run(connection, id, number, leases.running(connection))

    def lines(self, run_id: str) -> Iterator[Line]:
        """Yield the lines of a batch in order, each with its completed or else latest attempt."""
        g = generation.c
        chosen: dict[int, tuple[int, bool]] = {}
        attempts: dict[int, int] = {}
        with self._database.reading() as connection:
            attempted = connection.execute(
                select(g.line, g.seq, g.status)
                .join(run, run.c.seq == g.run)
                .where(run.c.id == run_id, g.line.is_not(None))
                .order_by(g.line, g.seq)
            )
            for row in attempted:
                attempts[row.line] = attempts.get(row.line, 0) + 1
                if not chosen.get(row.line, (0, False))[1]:
                    chosen[row.line] = (row.seq, row.status == "completed")
        for part in chunks(list(chosen), PAGE):
            with self._database.reading() as connection:
                page = load_numbers(connection, [chosen[number][0] for number in part])
                loaded = {item.line: item for _, item in page}
            for number in part:
                yield Line(number, loaded[number], attempts[number])


def _policy_document(connection: Connection, number: int) -> str:
    altered: set[int] = set()
    started = entries_of(connection, [number], altered)[number]
    if altered or not isinstance(started, StartedEntry) or started.policy is None:
        return ""
    return policy_document(connection, started.policy)


# The commands that print ids, by the name of their table.
_LISTS = {"generation": "muniment audit list", "run": "muniment audit runs"}


def match_id(connection: Connection, table: Table | Subquery, ref: str) -> str:
    """Return the one id in a table that begins or ends with `ref`, or the newest for `last`.

    `table` has the columns `id` and `seq`, and may have `id_suffix`, an indexed column with the
    last `SUFFIX` characters of the ids. Errors contain its name. `ref` has at least `SUFFIX`
    characters in upper or lower case.

    Raise UnknownNameError or AmbiguousNameError if not exactly one id matches, and UsageError if
    `ref` is not a text.
    """
    kind, column = table.name, table.c.id
    check_reference(kind, ref)
    if ref.lower() == "last":
        newest: str | None = connection.scalar(select(column).order_by(table.c.seq.desc()).limit(1))
        if newest is None:
            raise UnknownNameError(kind, ref, hint="nothing is recorded yet")
        return newest
    part = ref.removeprefix("…").upper()  # commands print suffixes of ids with "…"
    # No id has characters other than letters and digits, of which some have a meaning in LIKE.
    if len(part) < SUFFIX or not part.isalnum():
        hint = f"use at least {SUFFIX} characters of the beginning or end of the id, or last"
        raise UnknownNameError(kind, ref, hint=hint)
    begins = select(column).where(column >= part, column < part + "~")
    ends = select(column).where(column.like("%" + part))
    if "id_suffix" in table.c:
        ends = ends.where(table.c.id_suffix == part[-SUFFIX:])
    matches: set[str] = set()
    for statement in (begins, ends):
        matches.update(connection.scalars(statement.order_by(column).limit(3)))
    if not matches:
        hint = f"`{_LISTS[kind]}` prints the ids" if kind in _LISTS else ""
        raise UnknownNameError(kind, ref, hint=hint)
    if len(matches) > 1:
        raise AmbiguousNameError(kind, ref, sorted(matches), hint="use more characters of it")
    return matches.pop()


def _load_run(connection: Connection, id: str, number: int, running: set[int]) -> Run:
    g = generation.c
    totals = connection.execute(
        select(
            func.min(g.started_at).label("started_at"),
            func.max(g.finished_at).label("finished_at"),
            func.count(distinct(g.line)).label("lines"),
        ).where(g.run == number)
    ).one()
    by_status = select(g.status, func.count()).where(g.run == number).group_by(g.status)
    stored: Counter[Status] = Counter(dict(connection.execute(by_status).tuples().all()))
    is_active = (g.run == number) & g.seq.in_(running) & (g.status == "started")
    active = connection.scalar(select(func.count()).where(is_active)) or 0
    stored["interrupted"] += stored["started"] - active
    stored["started"] = active
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
        counts={status: stored[status] for status in _STATUSES if stored[status]},
        actor=name or "",
        generators=tuple(generators),
        lines=totals.lines,
    )


def _neighbours(connection: Connection, numbers: Sequence[int]) -> set[int]:
    """Return parents, children and other attempts of some generations, by number."""
    g, link, other = generation.c, generation_parent.c, generation.alias()
    neighbours: set[int] = set()
    for part in chunks(numbers):
        ids = select(g.id).where(g.seq.in_(part))
        parents = select(link.parent).where(link.generation.in_(part))
        neighbours.update(connection.scalars(select(g.seq).where(g.id.in_(parents))))
        neighbours.update(connection.scalars(select(link.generation).where(link.parent.in_(ids))))
        attempts = (
            select(other.c.seq)
            .join(generation, (other.c.run == g.run) & (other.c.line == g.line))
            .where(g.seq.in_(part), other.c.line.is_not(None))
        )
        neighbours.update(connection.scalars(attempts))
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
        for seq, in_run, line in of_lines:
            counted[in_run, line] = attempts[seq] = counted.get((in_run, line), 0) + 1
    return attempts


def _ledger_size(connection: Connection) -> int:
    with corruption_as_store_error(database_of(connection).url):
        return int(connection.scalar(select(ledger_head.c.size)) or 0)


def _ended(connection: Connection, start: int, end: int) -> Iterator[int]:
    """Yield the numbers of generations whose outcomes are entries in range(start, end)."""
    bodies = connection.scalars(
        select(entry.c.canonical_bytes).where(
            entry.c.seq >= start, entry.c.seq < end, entry.c.kind == "outcome"
        )
    )
    for body in bodies:
        yield json.loads(body)["generation"]
