"""Recording generations: prepared outside the lock, numbered and written under it.

Each function is one short transaction (after those that `identities` needs for names never seen
before), so that what it wrote is there whole or not at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, Table, bindparam, delete, select, update

from muniment.errors import PromptError, UnknownNameError
from muniment.ledger import entries
from muniment.ledger.payloads import Kind, Payload
from muniment.ledger.texts import detail_of, request_of, trace_of
from muniment.store import identities, leases, tables
from muniment.store.database import Database
from muniment.store.errors import AlreadyRecordedError
from muniment.store.leases import Lease
from muniment.store.ledger import Prepared, append, prepare
from muniment.store.projections import (
    OUTCOME_COLUMNS,
    Children,
    Row,
    outcome_rows,
    started_rows,
)
from muniment.store.tables import generation, pending, run
from muniment.types import Generation

Declared = Mapping[str, frozenset[str]]


def record_started(
    database: Database, lease: Lease, generations: Sequence[Generation], policy_document: str
) -> None:
    """Record that generations were asked for, under this process's lease."""
    actors = identities.actors(database, (g.actor for g in generations))
    policies = identities.policies(
        database,
        ((g.policy, policy_document) for g in generations if g.policy or policy_document),
    )
    prepared = [
        _started(g, actors[g.actor], policies.get((g.policy, policy_document))) for g in generations
    ]
    with database.writing() as connection:
        lease.take(connection)
        _refuse_started(database, connection, [g.id for g in generations])
        _refuse_settled_lines(database, connection, generations)
        first = append(connection, prepared)
        rows: list[Row] = []
        children: Children = {}
        for seq, item in enumerate(prepared, first):
            row, of_row = started_rows(seq, item.body, item.content("request"))
            rows.append(row)
            _collect(children, of_row)
        _insert_runs(connection, rows)
        connection.execute(generation.insert(), rows)
        _insert_children(connection, children)
        connection.execute(
            pending.insert(), [{"generation": row["seq"], "lease": lease.id} for row in rows]
        )
    lease.keep()


def record_outcomes(
    database: Database, generations: Sequence[Generation], declared: Declared
) -> None:
    """Record how generations ended; each must have been started and have no outcome yet."""
    environments = identities.environments(database, (g.environment for g in generations))
    prepared = [
        _outcome(g, declared, environment)
        for g, environment in zip(generations, environments, strict=True)
    ]
    with database.writing() as connection:
        started = _started_numbers(connection, [g.id for g in generations])
        given: set[str] = set()
        for g in generations:
            if g.id not in started:
                raise UnknownNameError("generation", g.id, hint="it was never started")
            if started[g.id] is None or g.id in given:
                raise AlreadyRecordedError(
                    database.url, g.id, f"generation {g.id} has an outcome already"
                )
            given.add(g.id)
        _insert_outcomes(connection, prepared, started)


def record_interruptions(database: Database) -> int:
    """Record that generations were interrupted whose process is gone; return how many."""
    with database.reading() as connection:
        found = leases.interrupted(connection)
        dead = leases.dead(connection)
    if not found and not dead:
        return 0
    now = datetime.now(UTC)
    prepared = {id: _outcome(_interrupted(id, now), {}, None) for _, id in found}
    with database.writing() as connection:
        # Another writer may have recorded some of them by now.
        still = [id for _, id in leases.interrupted(connection) if id in prepared]
        if still:
            started = _started_numbers(connection, still)
            _insert_outcomes(connection, [prepared[id] for id in still], started)
        leases.forget_dead(connection)
    return len(still)


def _interrupted(id: str, at: datetime) -> Generation:
    """Return what an outcome needs to know of a generation that nobody will finish."""
    return Generation(id, "", "", "interrupted", "", "", 0, at, at)


def _started(g: Generation, actor: str, policy: str | None) -> Prepared:
    if g.status != "started":
        raise ValueError(f"generation {g.id} is {g.status}, not started")
    try:
        prompt = Payload.new(g.id, "prompt", g.prompt.encode())
        request = _payload(g.id, "request", request_of(g))
    except UnicodeEncodeError:
        raise PromptError(f"generation {g.id} has text that is not valid Unicode") from None
    body = entries.started(
        g,
        actor=actor,
        policy=policy,
        prompt=prompt.ref,
        request=request.ref if request else None,
    )
    return prepare(body, [prompt, *([request] if request else [])])


def _outcome(g: Generation, declared: Declared, environment: str | None) -> Prepared:
    if g.status == "started":
        raise ValueError(f"generation {g.id} has no outcome")
    outputs = [
        Payload.new(g.id, "output", output.data, position)
        for position, output in enumerate(g.outputs)
    ]
    trace = _payload(g.id, "trace", trace_of(g))
    try:
        detail = _payload(g.id, "detail", detail_of(g, declared, g.policy))
    except UnicodeEncodeError:
        raise PromptError(f"generation {g.id} has text that is not valid Unicode") from None
    body = entries.outcome(
        g,
        declared=declared,
        outputs=[held.ref for held in outputs],
        trace=trace.ref if trace else None,
        detail=detail.ref if detail else None,
        environment=environment,
    )
    return prepare(body, [*outputs, *(held for held in (trace, detail) if held)])


def _payload(owner: str, kind: Kind, content: bytes | None) -> Payload | None:
    return None if content is None else Payload.new(owner, kind, content)


def _refuse_started(database: Database, connection: Connection, ids: Sequence[str]) -> None:
    """Refuse ids that are recorded already, or given twice."""
    twice = [id for id, count in Counter(ids).items() if count > 1]
    if taken := [*_started_numbers(connection, ids), *twice]:
        raise AlreadyRecordedError(
            database.url, taken[0], f"generation {taken[0]} is recorded already"
        )


def _refuse_settled_lines(
    database: Database, connection: Connection, generations: Sequence[Generation]
) -> None:
    """Refuse another attempt at a line that is completed or being worked on."""
    lines = Counter((g.run_id, g.line) for g in generations if g.line is not None)
    twice = [key for key, count in lines.items() if count > 1]
    for run_id in {run_id for run_id, _ in lines}:
        rows = connection.execute(
            select(generation.c.seq, generation.c.line, generation.c.status).where(
                generation.c.run == run_id,
                generation.c.line.in_([line for r, line in lines if r == run_id]),
                generation.c.status.in_(("started", "completed")),
            )
        ).all()
        if rows:
            running = leases.running(connection)
            twice += [
                (run_id, row.line)
                for row in rows
                if row.status == "completed" or row.seq in running
            ]
    if twice:
        run_id, line = min(twice)
        id = next(g.id for g in generations if (g.run_id, g.line) == (run_id, line))
        raise AlreadyRecordedError(
            database.url, id, f"line {line} of run {run_id} is completed or being worked on already"
        )


def _insert_runs(connection: Connection, rows: Sequence[Row]) -> None:
    first = {row["run"]: row["seq"] for row in reversed(rows)}
    known = connection.scalars(select(run.c.id).where(run.c.id.in_(first))).all()
    new = [{"seq": seq, "id": id} for id, seq in first.items() if id not in known]
    if new:
        connection.execute(run.insert(), new)


def _started_numbers(connection: Connection, ids: Sequence[str]) -> dict[str, int | None]:
    """Return the number of each generation that was started; None once it has an outcome."""
    numbers: dict[str, int | None] = {}
    for start in range(0, len(ids), 1000):
        rows = connection.execute(
            select(generation.c.id, generation.c.seq, generation.c.outcome).where(
                generation.c.id.in_(ids[start : start + 1000])
            )
        )
        numbers |= {row.id: row.seq if row.outcome is None else None for row in rows}
    return numbers


_UPDATE = (
    update(generation)
    .where(generation.c.seq == bindparam("number"))
    .values({name: bindparam(name) for name in OUTCOME_COLUMNS})
)
_DELETE_PENDING = delete(pending).where(pending.c.generation == bindparam("number"))


def _insert_outcomes(
    connection: Connection, prepared: Sequence[Prepared], started: Mapping[str, int | None]
) -> None:
    first = append(connection, prepared)
    updates: list[Row] = []
    children: Children = {}
    for seq, item in enumerate(prepared, first):
        number = started[item.body["generation"]]
        assert number is not None
        row, of_row = outcome_rows(seq, number, item.body)
        updates.append({"number": number, **row})
        _collect(children, of_row)
    connection.execute(_UPDATE, updates)
    connection.execute(_DELETE_PENDING, [{"number": row["number"]} for row in updates])
    _insert_children(connection, children)


def _collect(children: Children, more: Children) -> None:
    for name, rows in more.items():
        children.setdefault(name, []).extend(rows)


def _insert_children(connection: Connection, children: Children) -> None:
    for name, rows in children.items():
        if rows:
            table: Table = tables.metadata.tables[name]
            connection.execute(table.insert(), rows)
