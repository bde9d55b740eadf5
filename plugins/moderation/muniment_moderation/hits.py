"""What matchers find: a place in the original text, and what was found there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MOST = 1000  # hits that one matcher reports of one text; what it is for is settled by the first


@dataclass(frozen=True, slots=True, order=True)
class Hit:
    """One match, `start` to `end` (excluded) in characters of the original; `what` names it."""

    start: int
    end: int
    what: str


def outermost(hits: Iterable[Hit]) -> list[Hit]:
    """Return the hits in the order of the text, without those that lie inside another."""
    kept: list[Hit] = []
    for hit in sorted(hits, key=lambda hit: (hit.start, -hit.end, hit.what)):
        if not kept or hit.end > kept[-1].end:
            kept.append(hit)
    return kept
