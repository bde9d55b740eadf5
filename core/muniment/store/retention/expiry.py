"""Erasing what was kept as long as the rules of retention say: the one path of erasing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from muniment.store.database.engine import Database
from muniment.store.queries.query import Query
from muniment.store.retention import erasure
from muniment.store.retention.erasure import ErasureResult
from muniment.store.retention.rules import OF_GENERATION, Rule, days_for, rules
from muniment.types import DECISIONS
from muniment.validation import now


def run(
    database: Database, actor: str, progress: Callable[[int], None] = lambda number: None
) -> ErasureResult:
    """Erase every payload that is older than the rule that counts for it allows."""
    with database.reading() as connection:
        held = rules(connection)
    result = ErasureResult()
    at = now()
    for decision in DECISIONS:
        for days, kinds in _ends(held, decision).items():
            query = Query(until=at - timedelta(days=days), decision=decision)
            came = erasure.erase(
                database,
                query,
                actor,
                reason=None,
                cause="retention",
                kinds=kinds,
                progress=progress,
            )
            result.erased += came.erased
            result.held += came.held
            result.kept += came.kept
            result.running += came.running
            result.pending = came.pending
    return result


def _ends(held: list[Rule], decision: str) -> dict[int, list[str]]:
    """Return which kinds of payload end after how many days, for one decision."""
    ends: dict[int, list[str]] = {}
    for kind in OF_GENERATION:
        days = days_for(held, kind, decision, "most_days")
        if days is not None:
            ends.setdefault(days, []).append(kind)
    return ends
