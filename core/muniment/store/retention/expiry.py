"""The retention rules of a store, and erasing the payloads that are older than they allow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from muniment.ledger.payloads import Kind
from muniment.store.database.engine import Database
from muniment.store.queries.query import Query
from muniment.store.retention.erasure import ErasureResult, Erasures
from muniment.store.retention.rules import (
    GENERATION_KINDS,
    Rule,
    current_rules,
    days_for,
    set_rule,
)
from muniment.types import DECISIONS
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
        """Add or replace a rule, and return the rules in force."""
        return set_rule(self._database, actor, rule)

    def run(
        self, actor: str, progress: Callable[[int], None] = lambda number: None
    ) -> ErasureResult:
        """Erase each payload that is older than the maximum age of its rule.

        `progress` receives the number of generations of each page. Return the sums over all rules.
        """
        erasures, rules = Erasures(self._database), self.rules()
        result = ErasureResult()
        at = now()
        for decision in DECISIONS:
            for days, kinds in _kinds_by_max_days(rules, decision).items():
                query = Query(until=at - timedelta(days=days), decision=decision)
                erased = erasures.erase(
                    query, actor, cause="retention", kinds=kinds, progress=progress
                )
                result.erased += erased.erased
                result.held += erased.held
                result.kept += erased.kept
                result.running += erased.running
                result.pending = erased.pending
        return result


def _kinds_by_max_days(rules: list[Rule], decision: str) -> dict[int, list[Kind]]:
    """Return the kinds of payload for each maximum number of days, for one decision."""
    kinds_by_days: dict[int, list[Kind]] = {}
    for kind in GENERATION_KINDS:
        days = days_for(rules, kind, decision, "most_days")
        if days is not None:
            kinds_by_days.setdefault(days, []).append(kind)
    return kinds_by_days
