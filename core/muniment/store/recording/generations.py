"""Record the start and the outcome of generations.

Entries are prepared before the write lock is taken, and numbered and written while holding it.
Each public function writes in one short transaction, so that it records all or nothing.
`references` may write before, in transactions of its own.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, cast

from msgspec.structs import replace
from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from muniment.errors import PromptError, StoreError, UnknownNameError
from muniment.ledger.division import finish, start
from muniment.ledger.entries import Entry, OutcomeEntry, StartedEntry
from muniment.ledger.payloads import Payload
from muniment.store.database import bulk, leases, projections
from muniment.store.database.engine import Database, chunks
from muniment.store.database.leases import Lease
from muniment.store.database.projections import OUTCOMES, Rows
from muniment.store.database.tables import cell, generation, pending
from muniment.store.errors import AlreadyRecordedError
from muniment.store.queries import loader, time_index
from muniment.store.recording import references
from muniment.store.recording.inputs import InputNumbers, PreparedInputs
from muniment.store.recording.ledger import PreparedEntry, append, prepare
from muniment.store.search import index
from muniment.types.experiments import Cell
from muniment.types.generations import Generation
from muniment.validation import check_name, check_text

Declared = Mapping[str, frozenset[str]]


def record_started(
    database: Database,
    lease: Lease,
    input_numbers: InputNumbers,
    generations: Sequence[Generation],
    policy_document: str,
) -> dict[str, int]:
    """Record that generations started, with the lease of this process.

    `input_numbers` has the numbers of the inputs that are recorded.
    Return the number of each generation's entry by its id. Raises AlreadyRecordedError for an
    id that is recorded, and for a line or cell of a run that is completed or in progress.
    """
    ids = [g.id for g in generations]
    if repeated := [id for id, count in Counter(ids).items() if count > 1]:
        raise _recorded_error(database, repeated[0], "is already recorded")
    for g in generations:
        if g.status != "started":
            raise ValueError(f"generation {g.id} is {g.status}, not started")
        _check_texts(g)
    groups = _groups(generations, "policy", "plugins")
    numbers = references.numbers(
        database,
        {
            "actor": {g.actor for g in generations},
            "policy": [key for (name, _), _ in groups if any(key := (name, policy_document))],
            "plugin": [plugin for (_, plugins), _ in groups for plugin in plugins],
        },
    )
    inputs = input_numbers.prepare(generations)
    prepared: list[PreparedEntry] = []
    for (name, plugins), group in groups:
        policy = numbers.get(("policy", (name, policy_document)))
        plugin_numbers = [numbers["plugin", plugin] for plugin in plugins]
        prepared += [
            _prepare(
                start,
                g,
                actor=numbers["actor", g.actor],
                policy=policy,
                plugins=plugin_numbers,
                inputs={},  # their numbers are known while the write lock is held
            )
            for g in group
        ]
    try:
        first = _insert_started(database, lease, generations, prepared, input_numbers, inputs)
    except StoreError as error:
        input_numbers.forget({g.run_id for g in generations if g.inputs})
        if not isinstance(error.__cause__, IntegrityError):
            raise
        with database.reading() as connection:
            recorded = started_numbers(connection, ids)
        if not recorded:
            raise
        raise _recorded_error(database, next(iter(recorded)), "is already recorded") from None
    lease.keep()
    return dict(zip(ids, range(first, first + len(ids)), strict=True))


def _insert_started(
    database: Database,
    lease: Lease,
    generations: Sequence[Generation],
    prepared: Sequence[PreparedEntry],
    input_numbers: InputNumbers,
    inputs: PreparedInputs | None,
) -> int:
    """Append `started` entries and insert their rows. Return the number of the first."""
    numbers = {}
    with database.writing() as connection:
        lease.take(connection)
        sql = "SELECT id, seq FROM run WHERE id = ?"
        runs: dict[str, int] = dict(
            row
            for id in {g.run_id for g in generations}
            for row in bulk.execute(connection, sql, (id,))
        )
        _raise_if_lines_settled(database, connection, generations, runs)
        _raise_if_cells_settled(database, connection, generations, runs)
        if inputs is not None:
            numbers = inputs.append(connection)
            prepared = [
                _with_inputs(item, {name: numbers[content] for name, content in contents.items()})
                for item, contents in zip(prepared, inputs.contents, strict=True)
            ]
        first = append(connection, prepared)
        starts: list[tuple[int, int]] = []
        rows: Rows = defaultdict(list)
        for seq, item in enumerate(prepared, first):
            entry = cast(StartedEntry, item.entry)
            if entry.run not in runs:
                runs[entry.run] = seq
                rows["run"].append((seq, entry.run))
            projections.add_started(rows, seq, entry, runs[entry.run], item.content("request"))
            rows["pending"].append((seq, lease.id))
            starts.append((seq, entry.at))
        projections.insert(connection, rows)
        time_index.add(connection, starts)
    input_numbers.add(numbers)
    return first


def _with_inputs(prepared: PreparedEntry, inputs: dict[str, int]) -> PreparedEntry:
    """Return the prepared `started` entry with the numbers of its inputs by name."""
    if not inputs:
        return prepared
    return prepare(replace(prepared.entry, inputs=inputs), prepared.payloads)


def record_outcomes(
    database: Database,
    generations: Sequence[Generation],
    declared: Declared,
    known: Mapping[str, int],
) -> None:
    """Record the outcomes of started generations.

    `declared` has the categories that each filter declares. `known` has the numbers of the
    generations that this process started, and the numbers of others are read from the store.
    Raises UnknownNameError for a generation that was not started, and AlreadyRecordedError for
    one with an outcome.
    """
    ids = [g.id for g in generations]
    started = {id: known[id] for id in ids if id in known}
    if unknown := [id for id in ids if id not in known]:
        with database.reading() as connection:
            started |= started_numbers(connection, unknown)
    for id, count in Counter(ids).items():
        if id not in started:
            raise UnknownNameError("generation", id, hint="it was not started")
        if count > 1:
            raise _recorded_error(database, id, "already has an outcome")
    groups = _groups(generations, "environment", "plugins")
    numbers = references.numbers(
        database,
        {
            "environment": [tuple(facts.items()) for (facts, _), _ in groups if facts],
            "plugin": [plugin for (_, plugins), _ in groups for plugin in plugins],
        },
    )
    prepared: list[PreparedEntry] = []
    for (facts, plugins), group in groups:
        environment = numbers.get(("environment", tuple(facts.items())))
        plugin_numbers = [numbers["plugin", plugin] for plugin in plugins]
        prepared += [
            _prepare(
                finish,
                g,
                started=started[g.id],
                declared=declared,
                environment=environment,
                plugins=plugin_numbers,
            )
            for g in group
        ]
    terms = [(started[g.id], index.terms_of(g)) for g in generations]
    with database.writing() as connection:
        first, all_new = _insert_outcomes(connection, prepared)
        if not all_new:
            numbers_with_outcome = _numbers_with_outcome(connection, list(started.values()), first)
            id = next(id for id in ids if started[id] in numbers_with_outcome)
            raise _recorded_error(database, id, "already has an outcome")
        index.insert(connection, terms)


def record_interruptions(database: Database) -> int:
    """Record the outcome `interrupted` for generations whose process has ended.

    Return the number of those generations.
    """
    with database.reading() as connection:
        interrupted = leases.interrupted(connection)
        dead = leases.dead(connection)
        terms = {
            number: index.terms_of(item)
            for part in chunks([number for number, _ in interrupted])
            for number, item in loader.load_numbers(connection, part)
        }
    if not interrupted and not dead:
        return 0
    now = datetime.now(UTC)
    prepared = {
        number: _prepare(
            finish,
            Generation(id, "", "", "interrupted", "", "", 0, now, now),
            started=number,
            declared={},
            environment=None,
            plugins=(),
        )
        for number, id in interrupted
    }
    with database.writing() as connection:
        # Another process may have recorded some of them before this one got the lock.
        remaining = [number for number, _ in leases.interrupted(connection) if number in prepared]
        if remaining:
            _insert_outcomes(connection, [prepared[number] for number in remaining])
            index.insert(connection, [(number, terms[number]) for number in remaining])
        leases.forget_dead(connection)
    return len(remaining)


def _groups(
    generations: Sequence[Generation], *names: str
) -> list[tuple[tuple[Any, ...], list[Generation]]]:
    """Divide generations into runs with equal values of attributes, each after these values."""
    # Adjacent generations mostly have the same plugins, and looking these up takes long.
    return [(values, list(group)) for values, group in groupby(generations, attrgetter(*names))]


def _prepare(
    divide: Callable[..., tuple[Entry, Sequence[Payload]]], g: Generation, **arguments: Any
) -> PreparedEntry:
    """Prepare the entry that `start` or `finish` returns for a generation and arguments."""
    try:
        return prepare(*divide(g, **arguments))
    except UnicodeEncodeError:
        raise PromptError(f"generation {g.id} has text that is not valid Unicode") from None


def _check_texts(g: Generation) -> None:
    """Raise PromptError for a text of the caller that cannot be recorded."""
    check_text("prompt", g.prompt)
    check_text("system prompt", g.system or "")
    check_name("actor's name", g.actor)
    check_name("generator's name", g.generator)
    if g.policy:
        check_name("policy's name", g.policy)
    if g.model is not None:
        check_name("model's name", g.model.name)
    for model in g.models.values():
        check_name("model's name", model.name)
    for tag in g.tags:
        check_name("tag", tag)


def _recorded_error(database: Database, id: str, why: str) -> AlreadyRecordedError:
    return AlreadyRecordedError(database.url, id, f"generation {id} {why}")


def _raise_if_lines_settled(
    database: Database,
    connection: Connection,
    generations: Sequence[Generation],
    runs: Mapping[str, int],
) -> None:
    """Raise AlreadyRecordedError for another attempt at a line that needs none.

    That is a line that is completed, in progress, or twice among these generations.
    """
    lines = Counter((g.run_id, g.line) for g in generations if g.line is not None)
    settled = [key for key, count in lines.items() if count > 1]
    for run_id in {run_id for run_id, _ in lines if run_id in runs}:
        wanted = [line for r, line in lines if r == run_id]
        number = generation.c.line
        # One range condition is faster than many values, as long as few lines are in between.
        dense = max(wanted) - min(wanted) < 4 * len(wanted)
        rows = connection.execute(
            select(generation.c.seq, number, generation.c.status).where(
                generation.c.run == runs[run_id],
                number.between(min(wanted), max(wanted)) if dense else number.in_(wanted),
                generation.c.status.in_(("started", "completed")),
            )
        ).all()
        settled += [
            (run_id, row.line) for row in _settled(connection, rows) if (run_id, row.line) in lines
        ]
    if settled:
        run_id, line = min(settled)
        id = next(g.id for g in generations if (g.run_id, g.line) == (run_id, line))
        raise AlreadyRecordedError(
            database.url, id, f"line {line} of run {run_id} is completed or in progress"
        )


def _raise_if_cells_settled(
    database: Database,
    connection: Connection,
    generations: Sequence[Generation],
    runs: Mapping[str, int],
) -> None:
    """Raise AlreadyRecordedError for another attempt at a cell that needs none, as for a line."""
    cells = Counter((g.run_id, g.cell) for g in generations if g.cell is not None)
    settled = [key for key, count in cells.items() if count > 1]
    for run_id in {run_id for run_id, _ in cells if run_id in runs}:
        items = {place.item for r, place in cells if r == run_id}
        rows = connection.execute(
            select(
                *(cell.c.item, cell.c.paraphrase, cell.c.setting, cell.c.replicate),
                *(generation.c.seq, generation.c.status),
            )
            .join(generation, generation.c.seq == cell.c.generation)
            .where(
                cell.c.run == runs[run_id],
                cell.c.item.in_(items),
                generation.c.status.in_(("started", "completed")),
            )
        ).all()
        places = (Cell._make(row[:4]) for row in _settled(connection, rows))
        settled += [(run_id, place) for place in places if (run_id, place) in cells]
    if settled:
        run_id, place = min(settled)
        id = next(g.id for g in generations if (g.run_id, g.cell) == (run_id, place))
        where = ", ".join(f"{name} {number}" for name, number in place._asdict().items())
        raise AlreadyRecordedError(
            database.url, id, f"the cell {where} of run {run_id} is completed or in progress"
        )


def _settled(connection: Connection, rows: Sequence[Any]) -> list[Any]:
    """Return the rows of generations that are completed, or that a live process works on."""
    running = leases.running(connection) if rows else ()
    return [row for row in rows if row.status == "completed" or row.seq in running]


def started_numbers(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    """Return the number of each recorded generation by its id."""
    statement = select(generation.c.id, generation.c.seq)
    return {
        row.id: row.seq
        for part in chunks(ids)
        for row in connection.execute(statement.where(generation.c.id.in_(part)))
    }


def _numbers_with_outcome(connection: Connection, numbers: Sequence[int], first: int) -> set[int]:
    """Return the generations with an outcome before entry number `first`."""
    statement = select(generation.c.seq).where(generation.c.outcome < first)
    return {
        number
        for part in chunks(numbers)
        for number in connection.scalars(statement.where(generation.c.seq.in_(part)))
    }


def _insert_outcomes(connection: Connection, prepared: Sequence[PreparedEntry]) -> tuple[int, bool]:
    """Append outcomes and update their rows.

    Return the number of the first outcome, and whether no generation had an outcome before.
    """
    first = append(connection, prepared)
    rows: Rows = defaultdict(list)
    for seq, item in enumerate(prepared, first):
        projections.add_outcome(rows, seq, cast(OutcomeEntry, item.entry), item.content)
    bulk.delete(connection, pending, [row[-1] for row in rows[OUTCOMES]])
    return first, projections.insert(connection, rows)
