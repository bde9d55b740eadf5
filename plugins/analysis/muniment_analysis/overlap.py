"""Measures of the overlap of two ranked lists.

Rank-biased overlap and the extrapolation to lists of unequal length are from Webber, Moffat and
Zobel 2010, "A similarity measure for indefinite rankings" (equation 32). Average overlap is from
Fagin, Kumar and Sivakumar 2003, "Comparing top k lists".
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

PERSISTENCE = 0.9  # the first ten ranks then have 86 % of the weight


def rank_biased_overlap(
    a: Sequence[Hashable], b: Sequence[Hashable], persistence: float = PERSISTENCE
) -> float:
    """Return the extrapolated rank-biased overlap of two lists, from 0 to 1.

    `persistence` is the factor by which the weight falls from a rank to the next one. Two empty
    lists have the overlap 1. An item may occur once in a list, and a repetition is a ValueError.
    """
    _refuse_repetitions(a, b)
    short, long = sorted((a, b), key=len)
    if not short:
        return float(not long)
    if list(a) == list(b):
        return 1.0  # the sum is less by rounding, and equal outputs would have a distance
    common = _common(short, long)
    p, s, n = persistence, len(short), len(long)
    total = sum(common[d - 1] / d * p**d for d in range(1, n + 1))
    total += sum(common[s - 1] * (d - s) / (s * d) * p**d for d in range(s + 1, n + 1))
    last = (common[n - 1] - common[s - 1]) / n + common[s - 1] / s
    return (1 - p) / p * total + last * p**n


def average_overlap(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    """Return the mean share of common items at each depth, down to the shorter list's length."""
    _refuse_repetitions(a, b)
    depth = min(len(a), len(b))
    if not depth:
        return float(len(a) == len(b))
    common = _common(a[:depth], b[:depth])
    return sum(count / d for d, count in enumerate(common, 1)) / depth


def jaccard(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    """Return the number of common items divided by that of different items, from 0 to 1."""
    union = set(a) | set(b)
    return len(set(a) & set(b)) / len(union) if union else 1.0


def _common(a: Sequence[Hashable], b: Sequence[Hashable]) -> list[int]:
    """Return the number of common items among the first d of each list, for each depth d."""
    seen: set[Hashable] = set()
    counts: list[int] = []
    common = 0
    for depth in range(max(len(a), len(b))):
        for items in (a, b):
            if depth < len(items):
                common += items[depth] in seen
                seen.add(items[depth])
        counts.append(common)
    return counts


def _refuse_repetitions(*lists: Sequence[Hashable]) -> None:
    for items in lists:
        if len(set(items)) < len(items):
            raise ValueError("a ranked list has an item twice")
