"""Find generations by the content of an output or an input.

An output is found by its fingerprint, if its media type computed one. Anything else is found by
its bytes. Contents are those of the payloads, because rows of projections could have been altered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, func, select

from muniment.ledger.entries import OutcomeEntry
from muniment.ledger.payloads import selection_commitment
from muniment.store.database.engine import chunks
from muniment.store.database.projections import fingerprint_digest
from muniment.store.database.tables import (
    fingerprint as fingerprint_table,
    generation,
    generation_input,
    payload,
)
from muniment.store.queries.loader import PAGE, entries_of, load_numbers
from muniment.types.generations import Generation

MAX_SELECTIONS = 10_000  # generations; every one has its own salt, so each takes a computation


def with_fingerprint(connection: Connection, fingerprint: bytes) -> list[str]:
    """Return the ids of the generations with an output of this fingerprint, newest first."""
    rows = connection.scalars(
        select(fingerprint_table.c.generation).where(
            fingerprint_table.c.digest == fingerprint_digest(fingerprint)
        )
    )
    return _ids(
        connection,
        set(rows),
        lambda item: any(output.fingerprint == fingerprint for output in item.outputs),
    )


def with_output(connection: Connection, data: bytes) -> list[str]:
    """Return the ids of the generations with an output of these bytes, newest first."""
    numbers = _entries_with_payload(connection, "output", data)
    outcomes = entries_of(connection, numbers, set()).values()
    generations = {item.generation for item in outcomes if isinstance(item, OutcomeEntry)}
    return _ids(
        connection,
        generations,
        lambda item: any(output.data == data for output in item.outputs),
    )


def with_selection(connection: Connection, data: bytes) -> list[str]:
    """Return the ids of the generations whose selection of a list has these bytes, newest first.

    Only the newest `MAX_SELECTIONS` completed generations are compared.
    """
    # A selection is not recorded. Its commitment in the entry has the salt of the output's payload.
    # It contains items of the output, so a much longer content is not hashed with every salt.
    statement = select(generation.c.outcome).where(generation.c.status == "completed")
    newest = statement.order_by(generation.c.seq.desc()).limit(MAX_SELECTIONS)
    generations: set[int] = set()
    for part in chunks(connection.scalars(newest).all(), PAGE):
        committed = {
            (number, position): (outcome.generation, output.selection)
            for number, outcome in entries_of(connection, part, set()).items()
            if isinstance(outcome, OutcomeEntry)
            for position, output in enumerate(outcome.outputs)
            if output.selection is not None and len(data) <= 2 * output.bytes
        }
        salts = select(payload.c.entry, payload.c.position, payload.c.salt).where(
            payload.c.kind == "output", payload.c.entry.in_({number for number, _ in committed})
        )
        for number, position, salt in connection.execute(salts):
            owner, digest = committed.get((number, position), (None, None))
            if owner is not None and selection_commitment(salt, data) == digest:
                generations.add(owner)
    return _ids(connection, generations, lambda item: "output" not in item.altered)


def with_input(connection: Connection, data: bytes) -> list[str]:
    """Return the ids of the generations with an input of these bytes, newest first."""
    generations: set[int] = set()
    for part in chunks(_entries_with_payload(connection, "input", data)):
        statement = select(generation_input.c.generation)
        generations.update(connection.scalars(statement.where(generation_input.c.input.in_(part))))
    return _ids(
        connection,
        generations,
        lambda item: any(recorded.data == data for recorded in item.inputs),
    )


def _entries_with_payload(connection: Connection, kind: str, data: bytes) -> Sequence[int]:
    """Return the numbers of the entries with a payload of a kind and of these bytes."""
    # Entries contain no plain digest that an index could have. The rows of the kind are read in
    # sequence, and a content only if its length, which the database reads without it, is the
    # same. Among 100,000 outputs this takes 0.2 to 0.4 s in SQLite. The bytes are sent to the
    # database only then, because it refuses values that are larger than any of its own.
    lengths = payload.c.kind == kind, func.length(payload.c.content) == len(data)
    candidates = connection.scalars(select(payload.c.entry).where(*lengths).distinct()).all()
    equal = select(payload.c.entry).where(*lengths, payload.c.content == data).distinct()
    return [
        number
        for part in chunks(candidates)
        for number in connection.scalars(equal.where(payload.c.entry.in_(part)))
    ]


def _ids(
    connection: Connection, numbers: set[int], has_content: Callable[[Generation], bool]
) -> list[str]:
    """Return the ids of those generations that have the content, newest first."""
    return [
        item.id
        for part in chunks(sorted(numbers, reverse=True), PAGE)
        for _, item in load_numbers(connection, part)
        if has_content(item)
    ]
