"""Rank-biased overlap of two lists (Webber, Moffat and Zobel 2010, equation 32)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

PERSISTENCE = 0.9
"""The weight of a rank relative to the one before it. The first ten have 86 % of the weight."""


def rank_biased_overlap(
    first: Sequence[Hashable], second: Sequence[Hashable], persistence: float = PERSISTENCE
) -> float:
    """Return the extrapolated overlap (RBO_ext) of two lists, from 0 to 1 for the same order.

    Each list names an item at most once. The lists may have different lengths. Two empty lists
    have an overlap of 1.
    """
    short, long = sorted((first, second), key=len)
    if not short:
        return 1.0 if not long else 0.0
    seen_short: set[Hashable] = set()
    seen_long: set[Hashable] = set()
    common, total, weight = 0, 0.0, 1.0
    common_short = 0  # the overlap at the end of the shorter list
    for depth, item in enumerate(long, 1):
        weight *= persistence
        seen_long.add(item)
        if depth <= len(short):
            other = short[depth - 1]
            seen_short.add(other)
            common += (item in seen_short) + (other in seen_long) - (item == other)
            common_short = common
            total += common / depth * weight
        else:
            common += item in seen_short
            # The agreement of the shorter list is assumed to continue.
            assumed = common_short * (depth - len(short)) / len(short)
            total += (common + assumed) / depth * weight
    last = (common - common_short) / len(long) + common_short / len(short)
    return total * (1 - persistence) / persistence + last * weight
