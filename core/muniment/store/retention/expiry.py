"""The retention rules of a store, and the erasure of texts whose maximum retention has passed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import timedelta

from muniment.ledger.events import RetentionEntry
from muniment.ledger.facts import RetentionFact
from muniment.ledger.fields import milliseconds
from muniment.ledger.payloads import Kind
from muniment.store.database.engine import Database
from muniment.store.queries.query import Query
from muniment.store.recording.ledger import append_with_rows, prepare
from muniment.store.recording.references import actor_number
from muniment.store.retention.erasure import ErasureResult, Erasures
from muniment.store.retention.plan import ErasurePlan
from muniment.store.retention.protection import GENERATION_KINDS, Rule, current_rules, days_for
from muniment.types.verdicts import DECISIONS, UNDECIDED
from muniment.validation import now


class Retention:
    """The retention rules of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rules(self) -> list[Rule]:
        """Return the rules in force."""
        with self._database.reading() as connection:
            return current_rules(connection)

    def set_rule(self, rule: Rule, actor: str) -> list[Rule]:
        """Add a rule, or replace that for the same kind and decision. Return the rules in force.

        A rule without days removes the rule for the same kind and decision.
        """
        by = actor_number(self._database, actor)
        with self._database.writing() as connection:
            rules = [other for other in current_rules(connection) if other.key != rule.key]
            if rule.least_days is not None or rule.most_days is not None:
                rules.append(rule)
            rules.sort(key=lambda rule: (rule.payload or "", rule.decision or ""))
            facts = [RetentionFact(**asdict(rule)) for rule in rules]
            entry = RetentionEntry(at=milliseconds(now()), actor=by, rules=facts)
            append_with_rows(connection, prepare(entry))
        return rules

    def run(
        self, actor: str, progress: Callable[[int], None] = lambda number: None
    ) -> ErasureResult:
        """Erase each payload that is older than the maximum age of its rule.

        `progress` receives the number of generations of each page. Return the sums over all rules.
        """
        erasures, result = Erasures(self._database), ErasureResult()
        for query, kinds in self._expired():
            erasures.erase(
                query, actor, cause="retention", kinds=kinds, progress=progress, result=result
            )
        return result

    def plan(self) -> ErasurePlan:
        """Return the numbers of generations that `run` would erase and skip now."""
        erasures, plan = Erasures(self._database), ErasurePlan()
        for query, kinds in self._expired():
            erasures.plan(query, kinds, plan)
        return plan

    def _expired(self) -> Iterator[tuple[Query, list[Kind]]]:
        """Yield queries for generations, and the kinds of their payloads that are too old.

        No generation matches two of the queries, so that each is counted once.
        """
        rules, at = self.rules(), now()
        for decision in (*DECISIONS, UNDECIDED):
            by_days = sorted(_kinds_by_max_days(rules, decision).items())
            ends = [at - timedelta(days=days) for days, _ in by_days]
            expired: list[Kind] = []
            for until, since, (_, kinds) in zip(ends, [*ends, None][1:], by_days, strict=True):
                expired = expired + kinds
                yield Query(since=since, until=until, decision=decision), expired


def _kinds_by_max_days(rules: list[Rule], decision: str) -> dict[int, list[Kind]]:
    """Return the kinds of payload for each maximum number of days, for one decision."""
    kinds_by_days: dict[int, list[Kind]] = {}
    for kind in GENERATION_KINDS:
        days = days_for(rules, kind, decision, "most_days")
        if days is not None:
            kinds_by_days.setdefault(days, []).append(kind)
    return kinds_by_days
