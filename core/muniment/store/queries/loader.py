"""Load generations from entries and payloads, after finding them in the projections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from msgspec.json import decode
from sqlalchemy import Connection, Select, select

from muniment.errors import AmbiguousNameError, UnknownNameError
from muniment.ledger.entries import Body
from muniment.ledger.schema import named, references
from muniment.ledger.texts import facts_of, plugin_of, policy_name, restore
from muniment.store.database import leases
from muniment.store.database.engine import Database
from muniment.store.database.tables import TAIL, entry, generation, payload
from muniment.store.errors import corruption_as_store_error
from muniment.store.queries.planner import page
from muniment.store.queries.query import COLUMNS, GenerationRow, Query
from muniment.types import Generation

PAGE = 100  # generations in memory at once


def generations(database: Database, query: Query) -> Iterator[Generation]:
    """Yield the matching generations without their traces, the newest first."""
    before: int | None = None
    remaining = query.limit
    while remaining is None or remaining > 0:
        size = PAGE if remaining is None else min(PAGE, remaining)
        with database.reading() as connection:
            rows = page(connection, query, before, size)
            loaded = load(connection, rows, trace=False)
        yield from loaded
        if len(rows) < size:
            return
        before = rows[-1].seq
        remaining = None if remaining is None else remaining - size


def generation_of(database: Database, id: str) -> Generation:
    """Return one generation, with its trace, by its whole id.

    Raise UnknownNameError if no generation has this id.
    """
    with database.reading() as connection:
        rows = connection.execute(select(*COLUMNS).where(generation.c.id == id)).all()
        if not rows:
            raise UnknownNameError("generation", id)
        return load(connection, rows, trace=True)[0]


def find(database: Database, ref: str) -> str:
    """Return the id of a generation, given a unique prefix or suffix of it, or `last`.

    Raise UnknownNameError or AmbiguousNameError if not exactly one generation matches.
    """
    with database.reading() as connection:
        if ref.lower() == "last":
            newest: str | None = connection.scalar(
                select(generation.c.id).order_by(generation.c.seq.desc()).limit(1)
            )
            if newest is None:
                raise UnknownNameError("generation", ref, hint="nothing is recorded yet")
            return newest
        return match(
            connection,
            "generation",
            ref,
            select(generation.c.id),
            lambda part: generation.c.tail == part,
        )


def match(
    connection: Connection,
    kind: str,
    ref: str,
    ids: Select[str],
    tail: Callable[[str], Any] | None = None,
) -> str:
    """Return the one id that begins or ends with `ref`.

    Args:
        connection: The transaction to read in.
        kind: The kind of thing to name in errors.
        ref: A prefix or suffix of at least `TAIL` characters, in upper or lower case.
        ids: A SELECT of all ids.
        tail: Returns a condition on an indexed column with the last `TAIL` characters of the ids.

    Raise UnknownNameError or AmbiguousNameError if not exactly one id matches.
    """
    part = ref.removeprefix("…").upper()  # commands print suffixes of ids with "…"
    if len(part) < TAIL:
        raise UnknownNameError(
            kind, ref, hint=f"use at least {TAIL} characters of the beginning or end of the id"
        )
    column = ids.selected_columns[0]
    begins = ids.where(column >= part, column < part + "~")
    ends = ids.where(column.like("%" + _escaped(part), escape="\\"))
    if tail is not None:
        ends = ends.where(tail(part[-TAIL:]))
    matches: list[str] = []
    for statement in (begins, ends):
        matches += connection.scalars(statement.order_by(column).limit(3)).all()
    matches = sorted(set(matches))
    if not matches:
        raise UnknownNameError(kind, ref)
    if len(matches) > 1:
        raise AmbiguousNameError(kind, ref, matches, hint="use more characters of it")
    return matches[0]


def _escaped(part: str) -> str:
    return part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def load(connection: Connection, rows: Sequence[GenerationRow], *, trace: bool) -> list[Generation]:
    """Return generations in the order of their rows, with a constant number of SQL queries.

    Raise StoreError if entries or payloads cannot be decoded. `trace` loads the traces too.
    """
    if not rows:
        return []
    with corruption_as_store_error(str(connection.engine.url)):
        return _load(connection, rows, trace=trace)


def _load(
    connection: Connection, rows: Sequence[GenerationRow], *, trace: bool
) -> list[Generation]:
    bodies = bodies_of(
        connection, {n for row in rows for n in (row.seq, row.outcome) if n is not None}
    )
    bodies |= bodies_of(
        connection, {n for body in bodies.values() for _, n in named(body)} - bodies.keys()
    )
    contents = contents_of(connection, list(bodies), trace=trace)
    plugins = {n: plugin_of(body) for n, body in bodies.items() if body["kind"] == "plugin"}
    open_ = any(row.outcome is None for row in rows)
    running = leases.running(connection) if open_ else set()
    generations = []
    for row in rows:
        started = bodies[row.seq]
        outcome = None if row.outcome is None else bodies[row.outcome]
        environment = None if outcome is None else outcome["environment"]

        def content(kind: str, position: int, row: GenerationRow = row) -> bytes | None:
            entry = row.seq if kind in ("prompt", "request") else row.outcome
            return contents.get((entry, kind, position))

        restored = restore(
            started,
            outcome,
            content,
            actor=(contents.get((started["actor"], "actor", 0)) or b"").decode(),
            policy=policy_name(contents.get((started["policy"], "policy", 0))),
            environment={} if environment is None else facts_of(bodies[environment]),
            plugins=plugins,
            status="started" if row.seq in running else "interrupted",
        )
        erased = {
            reference.kind
            for body in (started, outcome or {})
            for reference in (references(body) if body else ())
            if reference.kind != "trace" and content(reference.kind, reference.position) is None
        }
        generations.append(replace(restored, erased=tuple(sorted(erased))) if erased else restored)
    return generations


def bodies_of(connection: Connection, numbers: Iterable[int]) -> dict[int, Body]:
    """Return the decoded bodies of entries by number."""
    rows = connection.execute(
        select(entry.c.seq, entry.c.canonical_bytes).where(entry.c.seq.in_(list(numbers)))
    )
    return {row.seq: decode(row.canonical_bytes) for row in rows}


def contents_of(
    connection: Connection, entries: Sequence[int], *, trace: bool = True
) -> dict[tuple[int | None, str, int], bytes]:
    """Return the payloads of entries by number, kind and position.

    `trace=False` leaves out the payloads of kind `trace`.
    """
    statement = select(
        payload.c.entry, payload.c.kind, payload.c.position, payload.c.content
    ).where(payload.c.entry.in_(entries))
    if not trace:
        statement = statement.where(payload.c.kind != "trace")
    return {
        (row.entry, row.kind, row.position): row.content for row in connection.execute(statement)
    }
