"""Erase payloads, salts, search terms and all copies of their texts, and record it as an entry.

Each page of generations is erased in one transaction. After its commit no reader finds the texts.
Their bytes may still be in the write-ahead log and their terms in the search index, until
`Erasures.finish` rewrites both. While a long-running reader prevents that, the erasure is
`pending`, and the next process that writes to the store tries again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from muniment.errors import UsageError
from muniment.ledger.entries import OutcomeEntry, StartedEntry
from muniment.ledger.events import ErasureEntry, Event, GenerationEvent
from muniment.ledger.facts import ErasedFact
from muniment.ledger.fields import Cause, milliseconds
from muniment.ledger.payloads import Kind, Payloads
from muniment.representation import showing
from muniment.store.database import bulk
from muniment.store.database.engine import Database, chunks
from muniment.store.database.projections import Rows, add_outcome, add_started
from muniment.store.database.tables import (
    actor,
    erasing,
    event,
    fingerprint,
    generation,
    generation_input,
    generation_tag,
    payload,
    verdict_category,
)
from muniment.store.queries.erasures import erased_generations, erased_payloads, erasures
from muniment.store.queries.loader import entries_of, load_numbers
from muniment.store.queries.planner import QueryPlanner
from muniment.store.queries.query import Query
from muniment.store.recording.backup_register import Backup, registered, remove_unfinished
from muniment.store.recording.events import add_text, read_events
from muniment.store.recording.generations import record_interruptions
from muniment.store.recording.ledger import append_with_rows, prepare
from muniment.store.recording.references import actor_number
from muniment.store.retention import purge
from muniment.store.retention.inputs import generations_sharing, generations_with_outputs
from muniment.store.retention.plan import PAGE, ErasurePlan, page_to_erase, plan_erasure
from muniment.store.retention.protection import HeldGenerations
from muniment.store.search import index
from muniment.types.generations import Generation
from muniment.validation import now

_TEXT_COLUMNS = ("generator", "model_name", "model_digest")


@dataclass(slots=True)
class ErasureResult:
    """The numbers of generations that an erasure erased or skipped.

    Attributes:
        erased: The number of erased generations.
        held: Skipped because of a legal hold.
        kept: Skipped because retention rules require that they are kept longer.
        running: Skipped because they have no outcome yet.
        altered: How many of the erased generations had texts that were altered after they were
            recorded.
        shared: The number of inputs that were skipped, because another generation uses them that is
            on hold, under retention or in progress.
        pending: Whether the bytes of erased texts may still be in the database's files.
    """

    erased: int = 0
    held: int = 0
    kept: int = 0
    running: int = 0
    altered: int = 0
    shared: int = 0
    pending: bool = False

    __repr__ = showing()


@dataclass(frozen=True, slots=True)
class ErasureRecord:
    """A recorded erasure. `backups` are older than it and may contain the erased texts.

    `entry` is the number of its entry, and `generations` is the number of erased generations.
    `kinds` are those of the erased payloads, sorted. Only the name of an actor has the kind
    `actor`, and an entry of its own. `pending` is true if the bytes of the texts may still be in
    the database's files.
    """

    entry: int
    at: datetime
    actor: str
    cause: Cause
    reason: str | None
    generations: int
    kinds: tuple[Kind, ...]
    pending: bool
    backups: tuple[Backup, ...]

    __repr__ = showing()

    def to_json(self) -> dict[str, object]:
        """Return the record as the shape `past_erasure`."""
        return {**asdict(self), "backups": [backup.file for backup in self.backups]}


class Erasures:
    """The erasures of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._holds = HeldGenerations()

    def has(self, id: str, kind: str) -> bool:
        """Return whether an erasure of payloads of a kind is recorded for a generation.

        `id` is the complete id. All erasures are read.
        """
        with self._database.reading() as connection:
            own = select(generation.c.seq, generation.c.outcome).where(generation.c.id == id)
            seq, outcome = connection.execute(own).one()
            inputs = select(generation_input.c.input).where(generation_input.c.generation == seq)
            erased = erased_payloads(connection)
            numbers = [seq, outcome or seq, *connection.scalars(inputs)]
            return any((number, kind) in erased for number in numbers)

    def erase(
        self,
        query: Query,
        actor: str,
        *,
        reason: str | None = None,
        cause: Cause = "request",
        kinds: Sequence[Kind] | None = None,
        progress: Callable[[int], None] = lambda number: None,
        result: ErasureResult | None = None,
    ) -> ErasureResult:
        """Erase the payloads of the generations that match a query. Their entries remain.

        `actor` is the name of the actor who erases. Without `kinds` the payloads of all kinds are
        erased, and the inputs of the generations, which others may share (see `sharing`).
        `progress` receives the number of generations of each page. Generations on hold, under
        retention or still running are skipped. A query by actor without `kinds` also erases the
        actor's name, unless one of the generations was skipped. The numbers are added to those of
        `result`, if it is given.
        """
        record_interruptions(self._database)
        result = result or ErasureResult()
        by = actor_number(self._database, actor)
        with self._database.reading() as connection:
            self._holds.read(connection)
        before: int | None = None
        shared: set[int] = set()  # an input can be used in several pages
        while True:
            with self._database.reading() as connection:
                numbers = QueryPlanner(connection, query).page(before, PAGE)
            if numbers:
                before = numbers[-1]
                shared |= _erase_page(
                    self._database, self._holds, numbers, by, result, reason, cause, kinds
                )
                progress(len(numbers))
            if len(numbers) < PAGE:
                break
        result.shared += len(shared)
        skipped = result.held + result.kept + result.running
        if query.actor is not None and kinds is None and not skipped:
            _erase_actor(self._database, query.actor, by, reason, cause)
        result.pending = not self.finish()
        return result

    def erase_event(self, number: int, actor: str, *, reason: str | None = None) -> ErasureResult:
        """Erase the texts of one event, such as the reason of a hold or the name of a model.

        `number` is that of its entry, `seq` of the view `v_event`. Raises UsageError if it is not
        the entry of an event, has no texts, or is about a generation on hold.
        """
        self.event_kinds(number)  # before the actor is recorded
        by = actor_number(self._database, actor)
        with self._database.writing() as connection:
            kinds = self._event_kinds(connection, number)
            connection.execute(delete(payload).where(payload.c.entry == number))
            _record_erasure(connection, by, reason, "request", {number: kinds})
        return ErasureResult(pending=not self.finish())

    def event_kinds(self, number: int) -> list[Kind]:
        """Return the kinds of the texts of an event, sorted. Raise UsageError as `erase_event`."""
        with self._database.reading() as connection:
            return sorted(self._event_kinds(connection, number))

    def _event_kinds(self, connection: Connection, number: int) -> set[Kind]:
        self._holds.read(connection)
        entry = entries_of(connection, [number]).get(number)
        if not isinstance(entry, Event):
            raise UsageError(f"entry {number} is not that of an event; use a seq of v_event")
        if isinstance(entry, GenerationEvent) and self._holds.among([entry.generation]):
            raise UsageError(f"entry {number} is about a generation on hold; release the hold")
        kinds = set(connection.scalars(select(payload.c.kind).where(payload.c.entry == number)))
        if not kinds:
            raise UsageError(f"entry {number} has no texts, or they were erased already")
        return kinds

    def plan(
        self,
        query: Query,
        kinds: Sequence[Kind] | None = None,
        plan: ErasurePlan | None = None,
    ) -> ErasurePlan:
        """Return the numbers of generations that `erase` would erase and skip now.

        The numbers are added to those of `plan`, if it is given. Nothing is written.
        """
        plan = plan or ErasurePlan()
        with self._database.reading() as connection:
            self._holds.read(connection)
            plan_erasure(connection, self._holds, query, kinds, plan)
        return plan

    def sharing(self, query: Query) -> list[str]:
        """Return the ids of other generations that use an input of the matching ones.

        Erasing the matching ones erases these inputs.
        """
        with self._database.reading() as connection:
            return generations_sharing(connection, query)

    def with_outputs(self, query: Query) -> list[str]:
        """Return the ids of other generations that have an output of the matching ones as an input.

        Erasing the matching ones does not erase these inputs.
        """
        with self._database.reading() as connection:
            return generations_with_outputs(connection, query)

    def finish(self) -> bool:
        """Remove the bytes of pending erasures from the files. Return whether none is pending.

        The files of backups whose process was killed are removed too.
        """
        remove_unfinished(self._database)
        return purge.purge(self._database)

    def records(self) -> Iterator[ErasureRecord]:
        """Yield the recorded erasures, the oldest first."""
        with self._database.reading() as connection:
            yield from _records(connection, erasures(connection))

    def of(self, id: str) -> list[ErasureRecord]:
        """Return the erasures of texts of the generation with a complete id, oldest first.

        All erasures are read.
        """
        with self._database.reading() as connection:
            own = select(generation.c.seq, generation.c.outcome).where(generation.c.id == id)
            seq, outcome = connection.execute(own).one()
            inputs = select(generation_input.c.input).where(generation_input.c.generation == seq)
            events = select(event.c.seq).where(event.c.subject == seq)
            numbers = {seq, outcome, *connection.scalars(inputs), *connection.scalars(events)}
            own_erasures = (
                (number, erasure)
                for number, erasure in erasures(connection, seq)
                if any(item.entry in numbers for item in erasure.payloads)
            )
            return list(_records(connection, own_erasures))


def _records(
    connection: Connection, found: Iterable[tuple[int, ErasureEntry]]
) -> Iterator[ErasureRecord]:
    backups = registered(connection)
    pending = set(connection.scalars(select(erasing.c.erasure)))
    for number, erasure in found:
        [recorded] = read_events(connection, ErasureEntry, [number])
        yield ErasureRecord(
            number,
            recorded.at,
            recorded.actor,
            erasure.cause,
            recorded.text("reason"),
            len(erased_generations(connection, erasure)),
            tuple(sorted({kind for item in erasure.payloads for kind in item.kinds})),
            number in pending,
            tuple(backup for backup in backups if backup.entries <= number),
        )


def _erase_page(
    database: Database,
    holds: HeldGenerations,
    numbers: Sequence[int],
    by: int,
    result: ErasureResult,
    reason: str | None,
    cause: Cause,
    kinds: Sequence[Kind] | None,
) -> frozenset[int]:
    """Erase the payloads of a page of generations, and add their numbers to `result`.

    Return the inputs that were skipped because other generations protect them.
    """
    with database.writing() as connection:
        holds.read(connection)  # those that were placed since the command began
        page = page_to_erase(connection, holds, numbers, kinds)
        rows, inputs, erased = page.rows, page.inputs, page.erased
        kinds_by_entry = page.kinds_by_entry
        result.running += len(page.running)
        result.held += len(page.held)
        result.kept += len(page.kept)
        if not kinds_by_entry:
            return inputs.protected
        result.erased += len(erased)
        # The index needs the terms to delete, which are computed from the texts.
        affected = sorted(erased | inputs.users)
        for part in chunks(affected, PAGE):
            loaded = load_numbers(connection, part)
            altered = [number for number, item in loaded if item.altered]
            result.altered += len(erased.intersection(altered))
            index.delete_altered(connection, altered)
            index.delete(connection, _search_rows([row for row in loaded if not row[1].altered]))
        for number, erased_kinds in kinds_by_entry.items():
            connection.execute(
                delete(payload).where(payload.c.entry == number, payload.c.kind.in_(erased_kinds))
            )
        _clear_texts(connection, _entries_with(kinds_by_entry, "request"))
        _clear_categories(connection, _entries_with(kinds_by_entry, "detail"))
        without = [r.seq for r in rows if "fingerprint" in kinds_by_entry.get(r.outcome or 0, ())]
        connection.execute(delete(fingerprint).where(fingerprint.c.generation.in_(without)))
        # Generations of which only some kinds were erased can still be found by the others.
        for part in chunks(affected, PAGE):
            index.insert(connection, _search_rows(load_numbers(connection, part)))
        _record_erasure(connection, by, reason, cause, kinds_by_entry)
        return inputs.protected


def _entries_with(kinds_by_entry: Mapping[int, set[Kind]], kind: Kind) -> list[int]:
    return [number for number, kinds in kinds_by_entry.items() if kind in kinds]


def _search_rows(loaded: Sequence[tuple[int, Generation]]) -> list[index.Row]:
    """Return the rows of the search index for generations with these numbers."""
    return [(number, index.terms_of(item)) for number, item in loaded]


def _clear_texts(connection: Connection, numbers: Sequence[int]) -> None:
    """Set the rows of generations to the values that they have without the request payload."""
    connection.execute(delete(generation_tag).where(generation_tag.c.generation.in_(numbers)))
    for number, started in entries_of(connection, numbers, altered=set()).items():
        assert isinstance(started, StartedEntry)
        rows: Rows = defaultdict(list)
        add_started(rows, number, started, 0, None)
        row = dict(zip(generation.c.keys(), rows["generation"][0], strict=True))
        connection.execute(
            update(generation)
            .where(generation.c.seq == number)
            .values({name: row[name] for name in _TEXT_COLUMNS})
        )


def _clear_categories(connection: Connection, numbers: Sequence[int]) -> None:
    """Delete the categories that the payload `detail` of outcomes contained."""
    rows: Rows = defaultdict(list)
    erased: list[int] = []
    for number, outcome in entries_of(connection, numbers, altered=set()).items():
        if isinstance(outcome, OutcomeEntry):  # added scores have a payload of this kind too
            add_outcome(rows, number, outcome, lambda kind, position=0: None)
            erased.append(outcome.generation)
    of_erased = verdict_category.c.generation.in_(erased)
    connection.execute(delete(verdict_category).where(of_erased))
    bulk.insert(connection, verdict_category, rows["verdict_category"])


def _erase_actor(database: Database, name: str, by: int, reason: str | None, cause: Cause) -> None:
    """Erase the name of an actor from the payload and the query table."""
    with database.writing() as connection:
        numbers = connection.scalars(select(actor.c.seq).where(actor.c.name == name)).all()
        if not numbers:
            return
        connection.execute(
            delete(payload).where(payload.c.entry.in_(numbers), payload.c.kind == "actor")
        )
        connection.execute(update(actor).where(actor.c.seq.in_(numbers)).values(name=""))
        _record_erasure(connection, by, reason, cause, {n: {"actor"} for n in numbers})


def _record_erasure(
    connection: Connection,
    by: int,
    reason: str | None,
    cause: Cause,
    kinds_by_entry: dict[int, set[Kind]],
) -> None:
    """Append an `erasure` entry, and mark the erasure as pending until its bytes are purged."""
    payloads = Payloads()
    erasure = ErasureEntry(
        at=milliseconds(now()),
        actor=by,
        cause=cause,
        reason=add_text(payloads, "reason", reason),
        payloads=[
            ErasedFact(entry=number, kinds=sorted(kinds))
            for number, kinds in sorted(kinds_by_entry.items())
        ],
    )
    number = append_with_rows(connection, prepare(erasure, payloads))
    connection.execute(
        erasing.insert(), {"erasure": number, "snapshot_xid": purge.current_xid(connection)}
    )
