"""Replays of a sample of the generations of an experiment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import muniment
from muniment_analysis.intervals import Estimate, exact_estimate

_RESULTS = ("exact", "certified", "uncertified", "diverged", "impossible")


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

    def to_json(self) -> dict[str, Any]:
        """Return the results as JSON values."""
        same = None if self.same is None else self.same.to_json()
        return {"counts": dict(self.counts), "same": same, "diverged": list(self.diverged)}


def replay_sample(session: muniment.Session, ids: Sequence[str], count: int) -> Replays:
    """Generate `count` of the generations again, record the results and return them.

    The sample has the smallest SHA-256 of the ids, so a repeated analysis replays the same ones.
    """
    chosen = sorted(ids, key=lambda id: sha256(id.encode()).digest())[:count]
    results = list(session.replay([session.generation(id) for id in sorted(chosen)]))
    counts = Counter(str(result.result) for result in results)
    same = sum(counts[name] for name in ("exact", "certified", "uncertified"))
    possible = len(results) - counts["impossible"]
    return Replays(
        counts={name: counts[name] for name in _RESULTS if counts[name]},
        same=exact_estimate(same, possible) if possible else None,
        diverged=[result.id for result in results if result.result == "diverged"],
    )
