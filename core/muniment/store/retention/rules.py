"""Retention rules: minimum and maximum age of payloads, by payload kind and decision.

The rules in force are those of the newest `retention` entry. The most specific rule with a value
wins: kind and decision, then kind, then decision, then the rule for all payloads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Literal

from msgspec import structs
from sqlalchemy import Connection, func, select

from muniment.ledger.entries import RetentionEntry, RetentionFact, milliseconds
from muniment.ledger.payloads import KINDS, Kind
from muniment.ledger.schema import kind_of
from muniment.store.database.batches import chunks
from muniment.store.database.engine import Database
from muniment.store.database.tables import event, generation
from muniment.store.recording.events import read_events
from muniment.store.recording.ledger import append_with_rows, prepare
from muniment.store.recording.references import actor_number
from muniment.validation import now

# The kinds of payload that belong to a generation.
GENERATION_KINDS = tuple(kind for kind in KINDS if kind not in ("actor", "policy", "model"))


@dataclass(frozen=True, slots=True)
class Rule:
    """The minimum and maximum number of days for payloads of one kind and one decision.

    Attributes:
        payload: The kind of payloads, or None for all kinds.
        decision: The decision on the generations, or None for all decisions.
        least_days: The minimum number of days, or None if not set.
        most_days: The maximum number of days, or None if not set.
    """

    payload: str | None = None
    decision: str | None = None
    least_days: int | None = None
    most_days: int | None = None

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


def set_rule(database: Database, who: str, rule: Rule) -> list[Rule]:
    """Add a rule, or replace the rule for the same kind and decision. Return the new rules.

    A rule without days removes the rule for the same kind and decision.
    """
    actor = actor_number(database, who)
    with database.writing() as connection:
        rules = [other for other in current_rules(connection) if other.key != rule.key]
        if rule.least_days is not None or rule.most_days is not None:
            rules.append(rule)
        rules.sort(key=lambda rule: (rule.payload or "", rule.decision or ""))
        facts = [RetentionFact(**asdict(rule)) for rule in rules]
        entry = RetentionEntry(at=milliseconds(now()), actor=actor, rules=facts)
        append_with_rows(connection, prepare(entry))
    return rules


def days_for(
    rules: Sequence[Rule],
    kind: str,
    decision: str | None,
    which: Literal["least_days", "most_days"],
) -> int | None:
    """Return the days of the most specific rule for a kind and a decision, or None."""
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

    `kinds` are the kinds to erase, None for all. The value is None if all kinds may be erased.
    A generation is missing if none of the kinds may be erased.
    """
    rules = current_rules(connection)
    if not any(rule.least_days for rule in rules):
        return dict.fromkeys(numbers, None if kinds is None else set(kinds))
    selected = set(GENERATION_KINDS if kinds is None else kinds)
    at = now()
    erasable: dict[int, set[Kind] | None] = {}
    for part in chunks(numbers):
        for row in connection.execute(
            select(generation.c.seq, generation.c.decision, generation.c.started_at).where(
                generation.c.seq.in_(part)
            )
        ):
            old_enough = {
                kind
                for kind in selected
                if row.started_at
                <= _days_before(at, days_for(rules, kind, row.decision, "least_days"))
            }
            if old_enough:
                all_kinds = kinds is None and old_enough == selected
                erasable[row.seq] = None if all_kinds else old_enough
    return erasable


def _days_before(at: datetime, days: int | None) -> int:
    """Return the time `days` days before a time, in milliseconds since 1970."""
    return milliseconds(at - timedelta(days=days or 0))
