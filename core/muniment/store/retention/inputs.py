"""Find the inputs to erase with generations, and other generations with their inputs or outputs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select

from muniment.ledger.entries import StartedEntry
from muniment.ledger.payloads import Kind, selection_commitment
from muniment.store.database.engine import chunks
from muniment.store.database.tables import generation, generation_input, generation_parent, payload
from muniment.store.queries.loader import PAGE, entries_of, load_numbers
from muniment.store.queries.planner import QueryPlanner
from muniment.store.queries.query import Query
from muniment.store.retention.protection import HeldGenerations, erasable_kinds
from muniment.types.generations import Generation


class InputsToErase(NamedTuple):
    """The inputs of generations to erase.

    Attributes:
        erased: The numbers of the inputs to erase.
        users: The numbers of all generations that use one of them.
        protected: The numbers of the inputs that another generation protects.
        kept: The numbers of the generations whose own inputs must be kept longer.
    """

    erased: frozenset[int] = frozenset()
    users: frozenset[int] = frozenset()
    protected: frozenset[int] = frozenset()
    kept: frozenset[int] = frozenset()


def inputs_to_erase(
    connection: Connection,
    holds: HeldGenerations,
    numbers: Sequence[int],
    erasable: Mapping[int, set[Kind] | None],
    requested: Sequence[Kind] | None,
) -> InputsToErase:
    """Return the stored inputs to erase with the generations of a page.

    `erasable` are the kinds of payload that may be erased, by generation. An input stays if a
    generation on hold, under retention or without an outcome uses it.
    """
    if requested is not None and "input" not in requested:
        return InputsToErase()
    inputs = _stored_inputs(connection, numbers)
    if not inputs:
        return InputsToErase()

    def may_erase(number: int) -> bool:
        kinds = erasable.get(number, set())
        return kinds is None or "input" in kinds

    kept = frozenset(number for number in inputs if not may_erase(number))
    wanted = {item for number in inputs.keys() - kept for item in inputs[number]}
    users = _users(connection, wanted)
    protecting = _protecting(connection, {number for item in users.values() for number in item})
    held = _inputs_in_entries(connection, holds.numbers)
    erased = frozenset(item for item in wanted - held if protecting.isdisjoint(users[item]))
    return InputsToErase(
        erased,
        frozenset(number for item in erased for number in users[item]),
        frozenset(wanted - erased),
        kept,
    )


def generations_sharing(connection: Connection, query: Query) -> list[str]:
    """Return the ids of other generations that use an input of the matching ones, sorted."""
    if not _has_inputs(connection):
        return []
    selected: set[int] = set()
    inputs: set[int] = set()
    for numbers in QueryPlanner(connection, query).pages(1000):
        of_page = _stored_inputs(connection, numbers)
        selected |= of_page.keys()
        inputs.update(*of_page.values())
    users = {number for item in _users(connection, inputs).values() for number in item}
    return _ids(connection, users - selected)


def generations_with_outputs(connection: Connection, query: Query) -> list[str]:
    """Return the ids of others that have an output of the matching ones as an input, sorted.

    These are children of the matching ones, and children of such children that repeat the input.
    """
    if not _has_inputs(connection):
        return []
    selected: set[int] = set()
    uses: set[tuple[int, int]] = set()  # the number of an output's generation, and of its user
    for numbers in QueryPlanner(connection, query).pages(1000):
        selected.update(numbers)
        latest = {(number, number) for number in numbers}
        while latest:
            latest = set(_uses_by_children(connection, latest)) - uses
            uses |= latest
    return _ids(connection, {user for _, user in uses} - selected)


def _uses_by_children(
    connection: Connection, uses: Collection[tuple[int, int]]
) -> Iterator[tuple[int, int]]:
    """Yield the uses of the same outputs by children of the users."""
    children = _children_with_inputs(connection, {user for _, user in uses})
    pairs = [(source, child) for source, user in uses for child in children.get(user, ())]
    for part in chunks(pairs, PAGE):
        numbers = sorted({number for pair in part for number in pair})
        loaded = dict(load_numbers(connection, numbers))
        for source, child in part:
            if _has_output(loaded[child], loaded[source]):
                yield source, child


def _children_with_inputs(connection: Connection, numbers: Collection[int]) -> dict[int, set[int]]:
    """Return the children that have inputs, by the number of their parent."""
    children: dict[int, set[int]] = {}
    statement = (
        select(generation.c.seq, generation_parent.c.generation)
        .join(generation_parent, generation_parent.c.parent == generation.c.id)
        .join(generation_input, generation_input.c.generation == generation_parent.c.generation)
    )
    for part in chunks(list(numbers)):
        for parent, child in connection.execute(statement.where(generation.c.seq.in_(part))):
            children.setdefault(parent, set()).add(child)
    return children


def _has_output(user: Generation, source: Generation) -> bool:
    """Return whether an input that is not erased is an output of a generation, or its selection."""
    contents = {output.data for output in source.outputs}
    selections = [output.selection for output in source.outputs if output.selection is not None]
    return any(
        item.data in contents
        or any(selection_commitment(one.salt, item.data) == one.digest for one in selections)
        for item in user.inputs
        if item.data
    )


def _has_inputs(connection: Connection) -> bool:
    return connection.scalar(select(generation_input.c.input).limit(1)) is not None


def _ids(connection: Connection, numbers: Collection[int]) -> list[str]:
    """Return the ids of generations, sorted."""
    statement = select(generation.c.id)
    return sorted(
        id
        for part in chunks(list(numbers))
        for id in connection.scalars(statement.where(generation.c.seq.in_(part)))
    )


def _stored_inputs(connection: Connection, numbers: Sequence[int]) -> dict[int, set[int]]:
    """Return the inputs that are not erased, by the number of their generation."""
    inputs: dict[int, set[int]] = {}
    statement = select(generation_input.c.generation, generation_input.c.input).join(
        payload, payload.c.entry == generation_input.c.input
    )
    for part in chunks(numbers):
        rows = connection.execute(statement.where(generation_input.c.generation.in_(part)))
        for number, item in rows:
            inputs.setdefault(number, set()).add(item)
    return inputs


def _inputs_in_entries(connection: Connection, numbers: Collection[int]) -> set[int]:
    """Return the inputs in the `started` entries of generations.

    They are not read from the query tables, in which someone could hide that a held generation
    uses an input.
    """
    return {
        item
        for entry in entries_of(connection, list(numbers)).values()
        if isinstance(entry, StartedEntry)
        for item in entry.inputs.values()
    }


def _users(connection: Connection, inputs: Collection[int]) -> dict[int, set[int]]:
    """Return the generations that use each input."""
    users: dict[int, set[int]] = {}
    statement = select(generation_input.c.input, generation_input.c.generation)
    for part in chunks(list(inputs)):
        for item, number in connection.execute(statement.where(generation_input.c.input.in_(part))):
            users.setdefault(item, set()).add(number)
    return users


def _protecting(connection: Connection, numbers: Collection[int]) -> set[int]:
    """Return those of the generations whose inputs must not be erased."""
    protecting: set[int] = set()
    for part in chunks(list(numbers)):
        statement = select(generation.c.seq).where(
            generation.c.seq.in_(part), generation.c.outcome.is_(None)
        )
        erasable = erasable_kinds(connection, part, ("input",))
        protecting |= set(connection.scalars(statement))
        protecting |= set(part) - erasable.keys()
    return protecting
