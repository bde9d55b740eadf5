"""Retention: how long payloads are kept, at least and at most, by their kind and the decision.

The rules in force are those of the newest `retention` entry. Of several rules that fit a payload
and set what is asked the closest counts: its kind and the decision, its kind, the decision, any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, func, select

from muniment.ledger import acts
from muniment.ledger.entries import milliseconds
from muniment.ledger.payloads import KINDS
from muniment.store.database.batches import chunks
from muniment.store.database.engine import Database
from muniment.store.database.tables import generation, retention
from muniment.store.queries.loader import bodies_of
from muniment.store.recording.events import actor_number, add
from muniment.store.recording.ledger import prepare
from muniment.validation import now

OF_GENERATION = tuple(kind for kind in KINDS if kind not in ("actor", "policy", "model"))


@dataclass(frozen=True, slots=True)
class Rule:
    """How many days payloads are kept; None where nothing is set, or any kind or decision fits."""

    payload: str | None = None
    decision: str | None = None
    least_days: int | None = None
    most_days: int | None = None

    @property
    def key(self) -> tuple[str | None, str | None]:
        """What payloads the rule is about."""
        return self.payload, self.decision


def rules(connection: Connection) -> list[Rule]:
    """Return the rules in force."""
    newest = connection.scalar(select(func.max(retention.c.seq)))
    if newest is None:
        return []
    held: Sequence[Mapping[str, Any]] = bodies_of(connection, [newest])[newest]["rules"]
    return [Rule(**rule) for rule in held]


def change(database: Database, who: str, rule: Rule) -> list[Rule]:
    """Put a rule in the place of the one for the same payloads; return the rules then in force.

    A rule that sets nothing takes that one away.
    """
    actor = actor_number(database, who)
    with database.writing() as connection:
        kept = [held for held in rules(connection) if held.key != rule.key]
        if rule.least_days is not None or rule.most_days is not None:
            kept.append(rule)
        kept.sort(key=lambda held: (held.payload or "", held.decision or ""))
        body = acts.retention(at=now(), actor=actor, rules=[asdict(held) for held in kept])
        add(connection, prepare(body))
    return kept


def days_for(
    held: Sequence[Rule], kind: str, decision: str | None, which: Literal["least_days", "most_days"]
) -> int | None:
    """Return how long a kind of payload of a generation with that decision is kept, or None."""
    by_key = {rule.key: rule for rule in held}
    for key in ((kind, decision), (kind, None), (None, decision), (None, None)):
        days: int | None = getattr(by_key.get(key), which, None)
        if days is not None:
            return days
    return None


def erasable(
    connection: Connection, numbers: Sequence[int], kinds: Sequence[str] | None
) -> dict[int, set[str] | None]:
    """Return which kinds of payload may be erased of which generations; None for all of them.

    A generation of which every wanted kind must still be kept is left out.
    """
    held = rules(connection)
    if not any(rule.least_days for rule in held):
        return dict.fromkeys(numbers, None if kinds is None else set(kinds))
    wanted = set(OF_GENERATION if kinds is None else kinds)
    at = now()
    found: dict[int, set[str] | None] = {}
    for part in chunks(numbers):
        for row in connection.execute(
            select(generation.c.seq, generation.c.decision, generation.c.started_at).where(
                generation.c.seq.in_(part)
            )
        ):
            free = {
                kind
                for kind in wanted
                if row.started_at <= _latest(days_for(held, kind, row.decision, "least_days"), at)
            }
            if free:
                found[row.seq] = None if kinds is None and free == wanted else free
    return found


def _latest(days: int | None, at: datetime) -> int:
    return milliseconds(at - timedelta(days=days or 0))
