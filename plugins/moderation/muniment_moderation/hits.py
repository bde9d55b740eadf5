"""Matches of terms and patterns, with their positions in the original text."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_HITS = 1000  # per matcher and text; one hit is enough for the decision

_MAX_QUOTE = 60


@dataclass(frozen=True, slots=True, order=True)
class Hit:
    """One match in the original text.

    `start` (included) and `end` (excluded) are offsets in characters. `label` describes the term
    or pattern that matched.
    """

    start: int
    end: int
    label: str


def quoted(text: str) -> str:
    """Return a term or pattern for a message, shortened and with invisible characters escaped."""
    short = text if len(text) <= _MAX_QUOTE else text[: _MAX_QUOTE - 1] + "…"
    return repr(short).replace("\\\\", "\\")


def outermost(hits: Iterable[Hit]) -> list[Hit]:
    """Return the hits that do not lie inside another hit, in the order of the text."""
    result: list[Hit] = []
    for hit in sorted(hits, key=lambda hit: (hit.start, -hit.end, hit.label)):
        if not result or hit.end > result[-1].end:
            result.append(hit)
    return result


def without_containing(hits: Iterable[Hit], others: Sequence[Hit]) -> list[Hit]:
    """Return the hits that contain none of the others.

    It removes the matches of patterns that contain a match of a term. `others` must be a result
    of `outermost`, which is ordered and without nested hits.
    """
    starts = [hit.start for hit in others]
    result = []
    for hit in hits:
        index = bisect_left(starts, hit.start)
        if index == len(others) or others[index].end > hit.end:
            result.append(hit)
    return result
