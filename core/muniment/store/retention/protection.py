"""Legal holds and retention rules, which protect payloads from erasure or require it.

The retention rules in force are those of the newest `retention` entry. Each has a minimum and a
maximum age of payloads, by payload kind and decision. The most specific rule with a value wins:
kind and decision, then kind, then decision, then the rule for all payloads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from msgspec import structs
from sqlalchemy import Connection, func, select

from muniment.errors import AmbiguousNameError, UnknownNameError, UsageError
from muniment.ids import new_id
from muniment.ledger.entries import InputEntry, OutcomeFields, StartedFields
from muniment.ledger.events import GenerationEvent, HoldEntry, ReleaseEntry, RetentionEntry
from muniment.ledger.fields import milliseconds, moment
from muniment.ledger.payloads import KINDS, Kind, Payloads
from muniment.ledger.schema import ENTRIES, kind_of, payload_fields
from muniment.representation import showing
from muniment.store.database.engine import Database, database_of
from muniment.store.database.tables import entry, event, generation
from muniment.store.errors import corruption_as_store_error
from muniment.store.queries.loader import entries_of
from muniment.store.queries.planner import QueryPlanner
from muniment.store.queries.query import Query
from muniment.store.queries.recorded_names import obstacles
from muniment.store.recording.events import HOLD_IN_FORCE, Events, add_text, read_events
from muniment.store.recording.ledger import append_with_rows, prepare
from muniment.store.recording.references import actor_number
from muniment.times import iso
from muniment.types.verdicts import UNDECIDED
from muniment.validation import now

HOLD_BATCH = 1000  # generations in one entry of a hold
# The kinds of payload that belong to a generation. A fingerprint is kept and erased as its output.
_OF_GENERATIONS = {
    kind
    for entry_class in ENTRIES.values()
    if issubclass(entry_class, StartedFields | OutcomeFields | InputEntry | GenerationEvent)
    for kind in payload_fields(entry_class).values()
    if kind != "fingerprint"
}
GENERATION_KINDS = tuple(kind for kind in KINDS if kind in _OF_GENERATIONS)


def _no_match(reasons: Sequence[str] = ()) -> UsageError:
    """Return the error that a hold selects nothing, with clauses about the reasons."""
    remedy = "; ".join(reasons) or "check the filters"
    return UsageError(f"no generation matches, so none was placed on hold; {remedy}")


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold.

    Attributes:
        actor: The name of the actor who placed it.
        reason: The reason of the hold.
        generations: The number of generations under it.
    """

    id: str
    at: datetime
    actor: str
    reason: str
    generations: int

    __repr__ = showing()

    def to_json(self) -> dict[str, Any]:
        """Return the hold as `--json` prints it."""
        at = iso(self.at)
        return {**asdict(self), "at": at}


class Holds:
    """The legal holds of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, query: Query, actor: str, reason: str) -> tuple[str, int]:
        """Place the generations that match a query now under a new hold.

        Return the hold's id and the number of generations. Raises UsageError if none matches, or
        the reason is empty.
        """
        if not reason.strip():
            raise UsageError("the reason of a hold is empty; write one, such as 'case 7'")
        with self._database.reading() as connection:
            if not QueryPlanner(connection, query).page(None, 1):
                raise _no_match(obstacles(connection, query))  # before the actor is recorded
        number, id, at, count = actor_number(self._database, actor), new_id(), now(), 0
        with self._database.writing() as connection:
            for numbers in QueryPlanner(connection, query).pages(HOLD_BATCH):
                payloads = Payloads()
                entry = HoldEntry(
                    at=milliseconds(at),
                    actor=number,
                    hold=id,
                    reason=add_text(payloads, "reason", reason) or "",
                    generations=sorted(numbers),
                )
                append_with_rows(connection, prepare(entry, payloads))
                count += len(numbers)
        if not count:
            raise _no_match()
        return id, count

    def release(self, reference: str, actor: str, reason: str | None = None) -> str:
        """End a hold, and return its id. `reference` is a unique beginning or end of the id."""
        part = reference.removeprefix("…").upper()  # commands print suffixes of ids with "…"
        ids = [hold.id for hold in self.in_force()]
        matches = [id for id in ids if id.startswith(part) or id.endswith(part)]
        if part and len(matches) > 1:
            raise AmbiguousNameError("hold", reference, matches[:3], "use more characters of it")
        if not part or not matches:
            raise UnknownNameError(
                "hold", reference, hint="`muniment hold list` prints the holds in force"
            )
        payloads, events = Payloads(), Events(self._database)
        commitment = add_text(payloads, "reason", reason)
        events.add(ReleaseEntry(**events.by(actor), hold=matches[0], reason=commitment), payloads)
        return matches[0]

    def in_force(self) -> list[Hold]:
        """Return the holds in force, the oldest first."""
        statement = (
            select(event.c.key, func.min(event.c.seq).label("seq"), func.count().label("number"))
            .where(HOLD_IN_FORCE)
            .group_by(event.c.key)
            .order_by(func.min(event.c.seq))
        )
        with self._database.reading() as connection:
            rows = connection.execute(statement).all()
            recorded = read_events(connection, HoldEntry, [row.seq for row in rows])
        return [
            Hold(hold.entry.hold, hold.at, hold.actor, hold.text("reason") or "", row.number)
            for hold, row in zip(recorded, rows, strict=True)
        ]


class HeldGenerations:
    """The generations under a hold in force, read from the entries of holds and releases.

    The query tables are not read, because a row that someone altered could hide a hold.
    """

    def __init__(self) -> None:
        self._newest = -1
        self._generations: dict[str, set[int]] = {}

    def read(self, connection: Connection) -> None:
        """Read the entries that were appended since the last call.

        The first call reads the whole table, which takes 1 to 5 seconds for a million entries.
        Call it before the write lock is taken. Raise DamagedStoreError if an entry was altered.
        """
        newest = connection.scalar(select(func.max(entry.c.seq)))
        kinds = kind_of(HoldEntry), kind_of(ReleaseEntry)
        appended = entry.c.seq > self._newest, entry.c.seq <= newest
        numbers = connection.scalars(
            select(entry.c.seq).where(entry.c.kind.in_(kinds), *appended).order_by(entry.c.seq)
        ).all()
        with corruption_as_store_error(database_of(connection).url):
            entries = entries_of(connection, numbers)
        for number in numbers:
            match entries[number]:
                case HoldEntry(hold=id, generations=generations):
                    self._generations.setdefault(id, set()).update(generations)
                case ReleaseEntry(hold=id):
                    self._generations.pop(id, None)
        self._newest = self._newest if newest is None else newest

    def among(self, numbers: Iterable[int]) -> set[int]:
        """Return those of several generations that are under a hold."""
        return self.numbers.intersection(numbers)

    @property
    def numbers(self) -> set[int]:
        """The generations under a hold."""
        return set().union(*self._generations.values())


# ---- retention rules ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rule:
    """The minimum and maximum number of days for payloads of one kind and one decision.

    Attributes:
        payload: The kind of payloads, or None for all kinds.
        decision: The decision on the generations, or None for all decisions. A rule for `allow`
            also applies to undecided generations.
        least_days: The minimum number of days, or None if not set.
        most_days: The maximum number of days, or None if not set.
    """

    payload: str | None = None
    decision: str | None = None
    least_days: int | None = None
    most_days: int | None = None

    __repr__ = showing()

    @property
    def key(self) -> tuple[str | None, str | None]:
        """The kind and decision that identify the rule."""
        return self.payload, self.decision


def current_rules(connection: Connection) -> list[Rule]:
    """Return the rules in force."""
    is_retention = event.c.kind == kind_of(RetentionEntry)
    newest = connection.scalar(select(func.max(event.c.seq)).where(is_retention))
    if newest is None:
        return []
    [recorded] = read_events(connection, RetentionEntry, [newest])
    return [Rule(**structs.asdict(rule)) for rule in recorded.entry.rules]


def days_for(
    rules: Sequence[Rule],
    kind: str,
    decision: str | None,
    which: Literal["least_days", "most_days"],
) -> int | None:
    """Return the days of the most specific rule for a kind and a decision, or None.

    The rules for `allow` apply to undecided generations, and to those without an outcome (None).
    """
    if decision in (None, UNDECIDED):
        decision = "allow"
    by_key = {rule.key: rule for rule in rules}
    for key in ((kind, decision), (kind, None), (None, decision), (None, None)):
        days: int | None = getattr(by_key.get(key), which, None)
        if days is not None:
            return days
    return None


def erasable_kinds(
    connection: Connection, numbers: Sequence[int], kinds: Sequence[Kind] | None
) -> dict[int, set[Kind] | None]:
    """Return the kinds of payload that may be erased, by the number of their generation.

    `numbers` are those of one page. `kinds` are the kinds to erase, None for all. The value is None
    if all kinds may be erased. A generation is missing if none of the kinds may be erased.
    """
    rules = current_rules(connection)
    if not any(rule.least_days for rule in rules):
        return dict.fromkeys(numbers, None if kinds is None else set(kinds))
    selected = set(GENERATION_KINDS if kinds is None else kinds)
    at = now()
    erasable: dict[int, set[Kind] | None] = {}
    g = generation.c
    rows = select(g.seq, g.decision, g.started_at).where(g.seq.in_(numbers))
    for row in connection.execute(rows):
        age = at - moment(row.started_at)
        old_enough = {
            kind
            for kind in selected
            if age >= timedelta(days=days_for(rules, kind, row.decision, "least_days") or 0)
        }
        if old_enough:
            all_kinds = kinds is None and old_enough == selected
            erasable[row.seq] = None if all_kinds else old_enough
    return erasable
