"""Replays of a sample of recorded generations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import muniment
from muniment_analysis.intervals import Estimate, exact_estimate

RESULTS = ("exact", "certified", "uncertified", "diverged", "impossible")


@dataclass(frozen=True)
class Replays:
    """The results of replays.

    Attributes:
        counts: The number of generations by result, such as `exact`.
        same: The share of replays with the same bytes among those that were possible, with its
            exact interval. None if none was possible.
        diverged: The ids of generations that became other bytes.
    """

    counts: Mapping[str, int]
    same: Estimate | None
    diverged: Sequence[str]

    @property
    def total(self) -> int:
        """The number of replays."""
        return sum(self.counts.values())

    @property
    def shares(self) -> Mapping[str, Estimate]:
        """The share of each result with its exact interval. Empty without a replay."""
        if not self.total:
            return {}
        return {name: exact_estimate(self.counts.get(name, 0), self.total) for name in RESULTS}

    def to_json(self) -> dict[str, Any]:
        """Return the results as JSON values."""
        same = None if self.same is None else self.same.to_json()
        return {"counts": dict(self.counts), "same": same, "diverged": list(self.diverged)}


def replay_sample(
    session: muniment.Session,
    query: muniment.Query,
    count: int,
    *,
    key: str = "",
    record: bool = True,
    on_replay: Callable[[], object] = lambda: None,
) -> Replays:
    """Generate `count` of the completed generations of a query again, and return the results.

    The sample is that of `audit replay --sample`: the same key gives the same sample, which nobody
    can predict without the key. `record` adds the results to the record. `on_replay` is called
    after each replay.
    """
    chosen = session.store.sample(count, key, query)
    counts: Counter[str] = Counter()
    diverged: list[str] = []
    generations = (session.generation(id) for id in sorted(chosen))
    for result in session.replay(generations, record=record):
        counts[str(result.result)] += 1
        if result.result == "diverged":
            diverged.append(result.id)
        on_replay()
    same = sum(counts[name] for name in ("exact", "certified", "uncertified"))
    possible = counts.total() - counts["impossible"]
    return Replays(
        counts={name: counts[name] for name in RESULTS if counts[name]},
        same=exact_estimate(same, possible) if possible else None,
        diverged=diverged,
    )
