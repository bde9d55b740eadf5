"""Find the payloads that an erasure of generations erases, and the generations that it skips."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, exists, select

from muniment.ledger.events import GenerationEvent
from muniment.ledger.payloads import Kind
from muniment.ledger.schema import kinds_of
from muniment.representation import showing
from muniment.store.database import leases
from muniment.store.database.engine import chunks
from muniment.store.database.tables import actor, event, payload
from muniment.store.queries import loader
from muniment.store.queries.loader import entries_of
from muniment.store.queries.planner import QueryPlanner
from muniment.store.queries.query import GenerationRow, Query
from muniment.store.retention.inputs import InputsToErase, inputs_to_erase
from muniment.store.retention.protection import HeldGenerations, erasable_kinds

PAGE = 100  # generations of one transaction
LISTED = 10  # generations that a plan names


@dataclass(slots=True)
class ErasurePlan:
    """The generations that an erasure would erase or skip now.

    Attributes:
        matching: The number of generations that match.
        erased: The number of them with texts to erase.
        first: The ids of the first of these, the newest first, at most `LISTED`.
        held: The number that is on hold.
        kept: The number that is under retention.
        running: The number without an outcome whose process is running.
        shared: The number of inputs that other generations protect.
        actor: Whether the name of the query's actor would be erased, too.
    """

    matching: int = 0
    erased: int = 0
    first: list[str] = field(default_factory=list)
    held: int = 0
    kept: int = 0
    running: int = 0
    shared: int = 0
    actor: bool = False

    __repr__ = showing()

    @property
    def skipped(self) -> int:
        """The number of generations that an erasure would skip."""
        return self.held + self.kept + self.running


@dataclass(frozen=True, slots=True)
class PageToErase:
    """The generations of a page to erase or to skip, by number.

    Attributes:
        rows: The generations that are neither on hold nor running.
        kinds_by_entry: The kinds of the stored payloads to erase, by the number of their entry.
        inputs: The inputs to erase.
        erased: The generations with payloads or inputs to erase.
        held: Those on hold.
        kept: Those with payloads that must be kept longer.
        running: Those that are skipped because they have no outcome.
    """

    rows: Sequence[GenerationRow]
    kinds_by_entry: dict[int, set[Kind]]
    inputs: InputsToErase
    erased: set[int]
    held: set[int]
    kept: set[int]
    running: set[int]


def plan_erasure(
    connection: Connection,
    holds: HeldGenerations,
    query: Query,
    kinds: Sequence[Kind] | None,
    plan: ErasurePlan,
) -> None:
    """Add the generations that match a query to a plan. `kinds` are those of `Erasures.erase`."""
    running = leases.running(connection)
    shared: set[int] = set()
    for numbers in QueryPlanner(connection, query).pages(PAGE):
        page = page_to_erase(connection, holds, numbers, kinds, running)
        plan.matching += len(numbers)
        plan.erased += len(page.erased)
        plan.held += len(page.held)
        plan.kept += len(page.kept)
        plan.running += len(page.running)
        shared |= page.inputs.protected
        first = [row.id for row in page.rows if row.seq in page.erased]
        plan.first += first[: LISTED - len(plan.first)]
    plan.shared += len(shared)
    if query.actor is not None and kinds is None and not plan.skipped:
        is_named = exists().where(actor.c.name == query.actor)
        plan.actor = bool(connection.scalar(select(is_named)))


def page_to_erase(
    connection: Connection,
    holds: HeldGenerations,
    numbers: Sequence[int],
    kinds: Sequence[Kind] | None,
    running: Collection[int] | None = None,
) -> PageToErase:
    """Return what an erasure of a page of generations erases and skips.

    `running` are the generations in progress, by default all without an outcome. The others are
    interrupted, which an erasure records first.
    """
    rows = loader.rows(connection, numbers)
    unfinished = {row.seq for row in rows if row.outcome is None}
    if running is not None:
        unfinished.intersection_update(running)
    held = holds.among(row.seq for row in rows if row.seq not in unfinished)
    rows = [row for row in rows if row.seq not in held | unfinished]
    own = [row.seq for row in rows]
    erasable = erasable_kinds(connection, own, kinds)
    kinds_by_entry, kept = _erasable_payloads(connection, rows, erasable, kinds)
    inputs = inputs_to_erase(connection, holds, own, erasable, kinds)
    kinds_by_entry |= {number: {"input"} for number in inputs.erased}
    erased = {row.seq for row in rows if {row.seq, row.outcome} & kinds_by_entry.keys()}
    erased |= inputs.users & set(own)
    return PageToErase(rows, kinds_by_entry, inputs, erased, held, kept | inputs.kept, unfinished)


def _erasable_payloads(
    connection: Connection,
    rows: Sequence[GenerationRow],
    erasable: dict[int, set[Kind] | None],
    requested: Sequence[Kind] | None,
) -> tuple[dict[int, set[Kind]], set[int]]:
    """Return the kinds of the stored payloads to erase, by the number of their entry.

    These are the payloads of the generations, and of events about one of them. The second result
    are the generations of which a stored payload was requested and must be kept.
    """
    kept: set[int] = set()
    generations = {number: row.seq for row in rows for number in (row.seq, row.outcome) if number}
    own = [row.seq for row in rows]
    about = connection.scalars(
        select(event.c.seq).where(
            event.c.kind.in_(kinds_of(GenerationEvent)), event.c.subject.in_(own)
        )
    ).all()
    # The row of an event could name an entry of another generation, which may be on hold.
    for number, item in entries_of(connection, about).items():
        if isinstance(item, GenerationEvent) and item.generation in own:
            generations[number] = item.generation
    kinds_by_entry: dict[int, set[Kind]] = {}
    for part in chunks(list(generations)):
        for row in connection.execute(
            select(payload.c.entry, payload.c.kind).where(payload.c.entry.in_(part)).distinct()
        ):
            number = generations[row.entry]
            kinds = erasable.get(number, set())
            erased_as = "output" if row.kind == "fingerprint" else row.kind
            if kinds is None or erased_as in kinds:
                kinds_by_entry.setdefault(row.entry, set()).add(row.kind)
            elif requested is None or erased_as in requested:
                kept.add(number)
    return kinds_by_entry, kept
