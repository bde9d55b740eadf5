"""What matchers find: a place in the original text, and what was found there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MOST = 1000  # hits that one matcher reports of one text; what it is for is settled by the first

_LONGEST_QUOTE = 60


@dataclass(frozen=True, slots=True, order=True)
class Hit:
    """One match, `start` to `end` (excluded) in characters of the original; `what` names it."""

    start: int
    end: int
    what: str


def quoted(text: str) -> str:
    """Return a term or pattern as a message shows it: short, and every character visible."""
    short = text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…"
    return repr(short).replace("\\\\", "\\")


def outermost(hits: Iterable[Hit]) -> list[Hit]:
    """Return the hits in the order of the text, without those that lie inside another."""
    kept: list[Hit] = []
    for hit in sorted(hits, key=lambda hit: (hit.start, -hit.end, hit.what)):
        if not kept or hit.end > kept[-1].end:
            kept.append(hit)
    return kept


def without_holders(hits: Iterable[Hit], of: Sequence[Hit]) -> list[Hit]:
    """Return the hits that hold none of the others: what a term says, a pattern need not.

    `of` is in the order of the text, none inside another, as `outermost` returns it.
    """
    starts = [hit.start for hit in of]
    kept = []
    for hit in hits:
        at = bisect_left(starts, hit.start)
        if at == len(of) or of[at].end > hit.end:
            kept.append(hit)
    return kept
