"""Recording generations: prepared outside the lock, numbered and written under it.

Each function is one short transaction (after those that `identities` needs for names never seen
before), so that what it wrote is there whole or not at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from muniment.errors import PromptError, StoreError, UnknownNameError
from muniment.ledger import entries
from muniment.ledger.payloads import Kind, Payload
from muniment.ledger.texts import detail_of, request_of, trace_of
from muniment.store.database import bulk, leases, tables
from muniment.store.database.batches import chunks
from muniment.store.database.engine import Database
from muniment.store.database.leases import Lease
from muniment.store.database.projections import (
    OUTCOME_COLUMNS,
    Row,
    Rows,
    outcome_rows,
    started_rows,
)
from muniment.store.database.tables import generation, pending, run
from muniment.store.errors import AlreadyRecordedError
from muniment.store.queries import loader, planner, time_index
from muniment.store.recording import references
from muniment.store.recording.ledger import PreparedEntry, append, prepare
from muniment.store.recording.references import Numbers
from muniment.store.search import index
from muniment.types import Generation

Declared = Mapping[str, frozenset[str]]


def record_started(
    database: Database, lease: Lease, generations: Sequence[Generation], policy_document: str
) -> dict[str, int]:
    """Record that generations were asked for, under this process's lease.

    Return the number of each generation's entry.
    """
    ids = [g.id for g in generations]
    if twice := [id for id, count in Counter(ids).items() if count > 1]:
        raise _recorded(database, twice[0])
    policies = {g.policy: (g.policy, policy_document) for g in generations}
    numbers = references.numbers(
        database,
        {
            "actor": {g.actor for g in generations},
            "policy": [key for key in policies.values() if any(key)],
            "plugin": [plugin for g in generations for plugin in g.plugins],
        },
    )
    prepared = [_started(g, policies[g.policy], numbers) for g in generations]
    try:
        first = _insert_started(database, lease, generations, prepared)
    except StoreError as error:
        if not isinstance(error.__cause__, IntegrityError):
            raise
        with database.reading() as connection:
            taken = _started_numbers(connection, ids)
        if not taken:
            raise
        raise _recorded(database, next(iter(taken))) from None
    lease.keep()
    return dict(zip(ids, range(first, first + len(ids)), strict=True))


def _insert_started(
    database: Database,
    lease: Lease,
    generations: Sequence[Generation],
    prepared: Sequence[PreparedEntry],
) -> int:
    with database.writing() as connection:
        lease.take(connection)
        runs = _runs(connection, {g.run_id for g in generations})
        _refuse_settled_lines(database, connection, generations, runs)
        first = append(connection, prepared)
        rows: list[Row] = []
        others: Rows = {"run": []}
        for seq, item in enumerate(prepared, first):
            id = item.body["run"]
            if id not in runs:
                runs[id] = seq
                others["run"].append({"seq": seq, "id": id})
            row, of_row = started_rows(seq, item.body, runs[id], item.content("request"))
            rows.append(row)
            for name, held in of_row.items():
                others.setdefault(name, []).extend(held)
        bulk.insert_named(connection, generation, rows)
        time_index.add(connection, ((row["seq"], row["started_at"]) for row in rows))
        for name, held in others.items():
            bulk.insert_named(connection, tables.metadata.tables[name], held)
        bulk.insert(connection, pending, [(row["seq"], lease.id) for row in rows])
    return first


def record_outcomes(
    database: Database,
    generations: Sequence[Generation],
    declared: Declared,
    known: Mapping[str, int],
) -> None:
    """Record how generations ended; each must have been started and have no outcome yet.

    `known` are the numbers of generations that this process started; others are looked for.
    """
    ids = [g.id for g in generations]
    started = {id: known[id] for id in ids if id in known}
    if unknown := [id for id in ids if id not in known]:
        with database.reading() as connection:
            started |= _started_numbers(connection, unknown)
    for id, count in Counter(ids).items():
        if id not in started:
            raise UnknownNameError("generation", id, hint="it was never started")
        if count > 1:
            raise _has_outcome(database, id)
    numbers = references.numbers(
        database,
        {
            "environment": [tuple(g.environment.items()) for g in generations if g.environment],
            "plugin": [plugin for g in generations for plugin in g.plugins],
        },
    )
    prepared = [_outcome(g, started[g.id], declared, numbers) for g in generations]
    terms = [(started[g.id], index.terms_of(g)) for g in generations]
    with database.writing() as connection:
        first, all_new = _insert_outcomes(connection, prepared)
        if not all_new:
            taken = _had_outcomes(connection, list(started.values()), first)
            raise _has_outcome(database, next(id for id in ids if started[id] in taken))
        index.insert(connection, terms)


def record_interruptions(database: Database) -> int:
    """Record that generations were interrupted whose process is gone; return how many."""
    with database.reading() as connection:
        found = leases.interrupted(connection)
        dead = leases.dead(connection)
        terms = _terms(connection, [number for number, _ in found])
    if not found and not dead:
        return 0
    now = datetime.now(UTC)
    prepared = {number: _outcome(_interrupted(id, now), number, {}, {}) for number, id in found}
    with database.writing() as connection:
        # Another writer may have recorded some of them by now.
        still = [number for number, _ in leases.interrupted(connection) if number in prepared]
        if still:
            _insert_outcomes(connection, [prepared[number] for number in still])
            index.insert(connection, [(number, terms[number]) for number in still])
        leases.forget_dead(connection)
    return len(still)


def _terms(connection: Connection, numbers: Sequence[int]) -> dict[int, str]:
    """Return by what generations that were only started can be searched for."""
    terms: dict[int, str] = {}
    for part in chunks(numbers):
        rows = planner.rows(connection, part)
        loaded = loader.load(connection, rows, trace=False)
        terms |= {row.seq: index.terms_of(g) for row, g in zip(rows, loaded, strict=True)}
    return terms


def _interrupted(id: str, at: datetime) -> Generation:
    """Return what an outcome needs to know of a generation that nobody will finish."""
    return Generation(id, "", "", "interrupted", "", "", 0, at, at)


def _started(g: Generation, policy: tuple[str, str], numbers: Numbers) -> PreparedEntry:
    if g.status != "started":
        raise ValueError(f"generation {g.id} is {g.status}, not started")
    try:
        prompt = Payload.new("prompt", g.prompt.encode())
        request = _payload("request", request_of(g))
    except UnicodeEncodeError:
        raise PromptError(f"generation {g.id} has text that is not valid Unicode") from None
    body = entries.started(
        g,
        actor=numbers["actor", g.actor],
        policy=numbers.get(("policy", policy)),
        plugins=[numbers["plugin", plugin] for plugin in g.plugins],
        prompt=prompt.commitment,
        request=request.commitment if request else None,
    )
    return prepare(body, [prompt, *([request] if request else [])])


def _outcome(g: Generation, started: int, declared: Declared, numbers: Numbers) -> PreparedEntry:
    if g.status == "started":
        raise ValueError(f"generation {g.id} has no outcome")
    outputs = [
        Payload.new("output", output.data, position) for position, output in enumerate(g.outputs)
    ]
    trace = _payload("trace", trace_of(g))
    try:
        detail = _payload("detail", detail_of(g, declared, g.policy))
    except UnicodeEncodeError:
        raise PromptError(f"generation {g.id} has text that is not valid Unicode") from None
    body = entries.outcome(
        g,
        started=started,
        declared=declared,
        outputs=[held.commitment for held in outputs],
        trace=trace.commitment if trace else None,
        detail=detail.commitment if detail else None,
        environment=numbers.get(("environment", tuple(g.environment.items()))),
        plugins=[numbers["plugin", plugin] for plugin in g.plugins],
    )
    return prepare(body, [*outputs, *(held for held in (trace, detail) if held)])


def _payload(kind: Kind, content: bytes | None) -> Payload | None:
    return None if content is None else Payload.new(kind, content)


def _has_outcome(database: Database, id: str) -> AlreadyRecordedError:
    return AlreadyRecordedError(database.url, id, f"generation {id} has an outcome already")


def _recorded(database: Database, id: str) -> AlreadyRecordedError:
    return AlreadyRecordedError(database.url, id, f"generation {id} is recorded already")


def _refuse_settled_lines(
    database: Database,
    connection: Connection,
    generations: Sequence[Generation],
    runs: Mapping[str, int],
) -> None:
    """Refuse another attempt at a line that is completed or being worked on."""
    lines = Counter((g.run_id, g.line) for g in generations if g.line is not None)
    twice = [key for key, count in lines.items() if count > 1]
    for run_id in {run_id for run_id, _ in lines if run_id in runs}:
        wanted = [line for r, line in lines if r == run_id]
        number = generation.c.line
        near = max(wanted) - min(wanted) < 4 * len(wanted)  # a range is found at once
        rows = connection.execute(
            select(generation.c.seq, number, generation.c.status).where(
                generation.c.run == runs[run_id],
                number.between(min(wanted), max(wanted)) if near else number.in_(wanted),
                generation.c.status.in_(("started", "completed")),
            )
        ).all()
        rows = [row for row in rows if (run_id, row.line) in lines]
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


def _runs(connection: Connection, ids: Iterable[str]) -> dict[str, int]:
    """Return the number of each run that has begun."""
    rows = connection.execute(select(run.c.id, run.c.seq).where(run.c.id.in_(list(ids))))
    return {row.id: row.seq for row in rows}


def _started_numbers(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    """Return the number of each generation that was started."""
    numbers: dict[str, int] = {}
    for part in chunks(ids):
        rows = connection.execute(
            select(generation.c.id, generation.c.seq).where(generation.c.id.in_(part))
        )
        numbers |= {row.id: row.seq for row in rows}
    return numbers


def _had_outcomes(connection: Connection, numbers: Sequence[int], first: int) -> set[int]:
    """Return those of the generations that had an outcome before `_insert_outcomes`."""
    found: set[int] = set()
    for part in chunks(numbers):
        rows = connection.execute(
            select(generation.c.seq, generation.c.outcome).where(generation.c.seq.in_(part))
        )
        found |= {row.seq for row in rows if row.outcome < first}
    return found


def _insert_outcomes(connection: Connection, prepared: Sequence[PreparedEntry]) -> tuple[int, bool]:
    """Write outcomes; return the first's number, and whether no generation had one before."""
    first = append(connection, prepared)
    made = [
        (item.body["generation"], *outcome_rows(seq, item.body))
        for seq, item in enumerate(prepared, first)
    ]
    all_new = update_outcomes(connection, [(number, row) for number, row, _ in made])
    if all_new:
        bulk.delete(connection, pending, [number for number, *_ in made])
        verdicts = [row for *_, of_row in made for row in of_row]
        bulk.insert_named(connection, tables.verdict, verdicts)
    return first, all_new


def update_outcomes(connection: Connection, rows: Sequence[tuple[int, Row]]) -> bool:
    """Set what outcomes say in generations, by number; return whether none had one before."""
    values = bulk.ordered((row for _, row in rows), OUTCOME_COLUMNS)
    numbered = [(*held, number) for held, (number, _) in zip(values, rows, strict=True)]
    changed = bulk.update(connection, generation, OUTCOME_COLUMNS, numbered, "outcome IS NULL")
    return changed == len(rows)
