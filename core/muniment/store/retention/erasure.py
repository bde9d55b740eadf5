"""Erasing: payloads, salts, search rows and every copy of a text go, and an entry says so.

Each page of generations is one transaction: what is erased is gone for every reader when it is
committed. Its bytes may still lie in the write-ahead log, and its terms in the search index, until
`finish` has rewritten both; as long as it could not (a reader holds up the log), the erasure is
`pending`, and whoever writes next tries again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select, update

from muniment.ledger import acts
from muniment.ledger.acts import Cause
from muniment.ledger.entries import moment
from muniment.store.database.backups import Backup, registered
from muniment.store.database.batches import chunks
from muniment.store.database.engine import Database
from muniment.store.database.projections import started_rows
from muniment.store.database.tables import (
    actor,
    erasing,
    feedback,
    generation,
    generation_tag,
    payload,
    replay,
    review,
)
from muniment.store.queries import planner
from muniment.store.queries.loader import bodies_of, contents_of, load
from muniment.store.queries.planner import QueryPlanner
from muniment.store.queries.query import GenerationRow, Query
from muniment.store.recording.erasure_log import bodies, generations_of
from muniment.store.recording.events import actor_number, add, text
from muniment.store.recording.ledger import prepare
from muniment.store.retention import purge, rules
from muniment.store.retention.holds import held_among
from muniment.store.search import index
from muniment.validation import now

PAGE = 100  # generations of one transaction
_TEXT_COLUMNS = ("generator", "model_name", "model_digest")


@dataclass(slots=True)
class ErasureResult:
    """What came of erasing: how many generations, and how many were left for which reason.

    `pending` says that the bytes are not gone yet; `held` are under a hold, `kept` must be kept
    longer by the retention in force, `running` are under way.
    """

    erased: int = 0
    held: int = 0
    kept: int = 0
    running: int = 0
    pending: bool = False


@dataclass(frozen=True, slots=True)
class ErasureRecord:
    """An erasure that is on record; `backups` were made before it and hold what it erased."""

    entry: int
    at: datetime
    actor: str
    cause: Cause
    reason: str | None
    generations: int
    pending: bool
    backups: tuple[Backup, ...]


def erase(
    database: Database,
    query: Query,
    who: str,
    *,
    reason: str | None,
    cause: Cause = "request",
    kinds: Sequence[str] | None = None,
    progress: Callable[[int], None] = lambda number: None,
) -> ErasureResult:
    """Erase the wanted generations' payloads, those of the kinds given or all.

    A query by actor erases the actor's name, too, unless a generation of theirs had to be left.
    """
    result = ErasureResult()
    by = actor_number(database, who)
    before: int | None = None
    while True:
        with database.reading() as connection:
            numbers = QueryPlanner(connection, query).page(before, PAGE)
        if numbers:
            before = numbers[-1]
            _erase_page(database, numbers, by, result, reason, cause, kinds)
            progress(len(numbers))
        if len(numbers) < PAGE:
            break
    left = result.held + result.kept + result.running
    if query.actor is not None and kinds is None and not left:
        _erase_actor(database, query.actor, by, reason, cause)
    result.pending = not finish(database)
    return result


def _erase_page(
    database: Database,
    numbers: Sequence[int],
    by: int,
    result: ErasureResult,
    reason: str | None,
    cause: Cause,
    kinds: Sequence[str] | None,
) -> None:
    with database.writing() as connection:
        rows = list(planner.rows(connection, numbers))
        result.running += sum(row.outcome is None for row in rows)
        rows = [row for row in rows if row.outcome is not None]
        held = held_among(connection, [row.seq for row in rows])
        result.held += len(held)
        rows = [row for row in rows if row.seq not in held]
        free = rules.erasable(connection, [row.seq for row in rows], kinds)
        wanted_kinds = None if kinds is None else set(kinds)
        result.kept += sum(free.get(row.seq, ()) != wanted_kinds for row in rows)
        wanted = _payloads(connection, [row for row in rows if row.seq in free], free)
        if not wanted:
            return
        touched = [row for row in rows if any(n in wanted for n in (row.seq, row.outcome))]
        result.erased += len(touched)
        _unindex(connection, touched)
        for number, found in wanted.items():
            connection.execute(
                delete(payload).where(payload.c.entry == number, payload.c.kind.in_(found))
            )
        _forget_texts(connection, [n for n, found in wanted.items() if "request" in found])
        _index(connection, touched)
        _note(database, connection, by, reason, cause, wanted)


def _payloads(
    connection: Connection, rows: Sequence[GenerationRow], free: dict[int, set[str] | None]
) -> dict[int, set[str]]:
    """Return which payloads there are to erase: the kinds by entry, what was said later too."""
    of = {number: row.seq for row in rows for number in (row.seq, row.outcome) if number}
    for part in chunks([row.seq for row in rows]):
        for table in (feedback, review, replay):
            for later in connection.execute(select(table).where(table.c.generation.in_(part))):
                of[later.seq] = later.generation
    found: dict[int, set[str]] = {}
    for part in chunks(list(of)):
        for row in connection.execute(
            select(payload.c.entry, payload.c.kind).where(payload.c.entry.in_(part)).distinct()
        ):
            kinds = free[of[row.entry]]
            if kinds is None or row.kind in kinds:
                found.setdefault(row.entry, set()).add(row.kind)
    return found


def _unindex(connection: Connection, rows: Sequence[GenerationRow]) -> None:
    index.delete(connection, _terms(connection, rows))


def _index(connection: Connection, rows: Sequence[GenerationRow]) -> None:
    """Make findable again what is left of generations of which only a part was erased."""
    index.insert(connection, _terms(connection, rows))


def _terms(connection: Connection, rows: Sequence[GenerationRow]) -> list[index.Row]:
    loaded = load(connection, rows, trace=False)
    return [(row.seq, index.terms_of(g)) for row, g in zip(rows, loaded, strict=True)]


def _forget_texts(connection: Connection, numbers: Sequence[int]) -> None:
    """Make the rows of generations what they are without the request payload."""
    for part in chunks(numbers):
        connection.execute(delete(generation_tag).where(generation_tag.c.generation.in_(part)))
        for number, body in bodies_of(connection, part).items():
            row, _ = started_rows(number, body, 0, None)
            connection.execute(
                update(generation)
                .where(generation.c.seq == number)
                .values({name: row[name] for name in _TEXT_COLUMNS})
            )


def _erase_actor(database: Database, name: str, by: int, reason: str | None, cause: Cause) -> None:
    with database.writing() as connection:
        numbers = connection.scalars(select(actor.c.seq).where(actor.c.name == name)).all()
        if not numbers:
            return
        connection.execute(
            delete(payload).where(payload.c.entry.in_(numbers), payload.c.kind == "actor")
        )
        connection.execute(update(actor).where(actor.c.seq.in_(numbers)).values(name=""))
        _note(database, connection, by, reason, cause, {n: {"actor"} for n in numbers})


def _note(
    database: Database,
    connection: Connection,
    by: int,
    reason: str | None,
    cause: Cause,
    payloads: dict[int, set[str]],
) -> None:
    said = text("reason", reason)
    body = acts.erasure(
        at=now(),
        actor=by,
        cause=cause,
        reason=said[0].commitment if said else None,
        payloads={number: sorted(kinds) for number, kinds in payloads.items()},
    )
    number = add(connection, prepare(body, said))
    connection.execute(erasing.insert(), {"erasure": number, "horizon": purge.horizon(connection)})


def finish(database: Database) -> bool:
    """Make the bytes of what was erased go away; whether they are gone."""
    return purge.purge(database)


def unfinished(database: Database) -> bool:
    """Whether there are erasures whose bytes may still be there."""
    with database.reading() as connection:
        return connection.scalar(select(erasing.c.erasure).limit(1)) is not None


def past(database: Database) -> Iterator[ErasureRecord]:
    """Yield the erasures that are on record, the oldest first."""
    with database.reading() as connection:
        backups = registered(connection)
        pending = set(connection.scalars(select(erasing.c.erasure)))
        for number, body in bodies(connection):
            said = contents_of(connection, [number, body["actor"]])
            who = said.get((body["actor"], "actor", 0), b"")
            reason = said.get((number, "reason", 0))
            yield ErasureRecord(
                number,
                moment(body["at"]),
                who.decode(),
                body["cause"],
                None if reason is None else reason.decode(),
                len(generations_of(connection, body)),
                number in pending,
                tuple(backup for backup in backups if backup.entries <= number),
            )
