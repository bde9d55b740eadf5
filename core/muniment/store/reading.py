"""Reading generations: found by projections, shown from entries and payloads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, select

from muniment.errors import AmbiguousNameError, StoreError, UnknownNameError
from muniment.ledger.entries import Body
from muniment.ledger.texts import restore
from muniment.store import leases
from muniment.store.database import Database
from muniment.store.queries import COLUMNS, Found, Query, page
from muniment.store.tables import (
    TAIL,
    actor,
    entry,
    environment,
    generation,
    payload,
    policy,
)
from muniment.types import Generation

PAGE = 100  # generations that are in memory at once


def generations(database: Database, query: Query) -> Iterator[Generation]:
    """Yield the wanted generations, the newest first, without their traces."""
    before: int | None = None
    left = query.limit
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        with database.reading() as connection:
            rows = page(connection, query, before, size)
            found = load(connection, rows, trace=False)
        yield from found
        if len(rows) < size:
            return
        before = rows[-1].seq
        left = None if left is None else left - size


def generation_of(database: Database, id: str) -> Generation:
    """Return one generation with everything that is kept of it."""
    with database.reading() as connection:
        rows = connection.execute(select(*COLUMNS).where(generation.c.id == id)).all()
        if not rows:
            raise UnknownNameError("generation", id)
        return load(connection, rows, trace=True)[0]


def find(database: Database, ref: str) -> str:
    """Return the id of the generation that a prefix or suffix of it, or `last`, means."""
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
    """Return the one id that begins or ends with `ref`; `tail` narrows by its last characters."""
    part = ref.removeprefix("…").upper()  # as ends are printed
    if len(part) < TAIL:
        raise UnknownNameError(
            kind, ref, hint=f"give at least {TAIL} characters of the id's beginning or end"
        )
    column = ids.selected_columns[0]
    begins = ids.where(column >= part, column < part + "~")
    ends = ids.where(column.like("%" + _escaped(part), escape="\\"))
    if tail is not None:
        ends = ends.where(tail(part[-TAIL:]))
    found: list[str] = []
    for statement in (begins, ends):
        found += connection.scalars(statement.order_by(column).limit(3)).all()
    found = sorted(set(found))
    if not found:
        raise UnknownNameError(kind, ref)
    if len(found) > 1:
        raise AmbiguousNameError(kind, ref, found, hint="give more of it")
    return found[0]


def _escaped(part: str) -> str:
    return part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def load(connection: Connection, rows: Sequence[Found], *, trace: bool) -> list[Generation]:
    """Return whole generations in the order of their rows, with a few queries for all of them."""
    if not rows:
        return []
    try:
        return _load(connection, rows, trace=trace)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(
            str(connection.engine.url),
            "the store does not hold together: run `muniment audit verify --all` to see where",
        ) from error


def _load(connection: Connection, rows: Sequence[Found], *, trace: bool) -> list[Generation]:
    bodies = _bodies(
        connection, [n for row in rows for n in (row.seq, row.outcome) if n is not None]
    )
    contents = _contents(connection, [row.id for row in rows], trace=trace)
    actors = _texts(connection, actor, {row.actor for row in rows})
    policies = _texts(connection, policy, {row.policy for row in rows if row.policy})
    facts = _facts(connection, {row.environment for row in rows if row.environment})
    open_ = any(row.outcome is None for row in rows)
    running = leases.running(connection) if open_ else set()
    return [
        restore(
            bodies[row.seq],
            bodies[row.outcome] if row.outcome is not None else None,
            lambda kind, position, id=row.id: contents.get((id, kind, position)),  # type: ignore[misc]
            actor=actors.get(row.actor, ""),
            policy=policies.get(row.policy or "", ""),
            environment=facts.get(row.environment or "", {}),
            status="started" if row.seq in running else "interrupted",
        )
        for row in rows
    ]


def _bodies(connection: Connection, numbers: Iterable[int]) -> dict[int, Body]:
    rows = connection.execute(
        select(entry.c.seq, entry.c.canonical_bytes).where(entry.c.seq.in_(list(numbers)))
    )
    return {row.seq: json.loads(row.canonical_bytes) for row in rows}


def _contents(
    connection: Connection, owners: Sequence[str], *, trace: bool
) -> dict[tuple[str, str, int], bytes]:
    statement = select(
        payload.c.owner, payload.c.kind, payload.c.position, payload.c.content
    ).where(payload.c.owner.in_(owners))
    if not trace:
        statement = statement.where(payload.c.kind != "trace")
    return {
        (row.owner, row.kind, row.position): row.content for row in connection.execute(statement)
    }


def _texts(connection: Connection, table: Any, ids: Iterable[str]) -> dict[str, str]:
    rows = connection.execute(select(table.c.id, table.c.name).where(table.c.id.in_(list(ids))))
    return {row.id: row.name for row in rows}


def _facts(connection: Connection, ids: Iterable[str]) -> dict[str, Mapping[str, str | int]]:
    rows = connection.execute(
        select(environment.c.id, entry.c.canonical_bytes)
        .join(entry, entry.c.seq == environment.c.seq)
        .where(environment.c.id.in_(list(ids)))
    )
    return {row.id: json.loads(row.canonical_bytes)["facts"] for row in rows}
