"""Measures of recommended lists other than accuracy.

A list has the numbers of its items, the best first. Every function is pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from muniment_recommendation.data.interactions import Numbers
from muniment_recommendation.models.base import Scores

TIERS = ("head", "middle", "tail")
_EDGES = (0.2, 0.8)  # shares of the interactions at which the tiers end


class TierExposure(NamedTuple):
    """The share of the positions of all lists that a tier has, beside its share of interactions."""

    tier: str
    items: int
    exposure: float
    interactions: float


def exposures(lists: Sequence[Numbers], item_count: int) -> NDArray[np.int64]:
    """Return the number of lists that contain each item [items]."""
    items = np.concatenate([np.zeros(0, np.int32), *lists])
    return np.bincount(items, minlength=item_count)


def coverage(lists: Sequence[Numbers], item_count: int) -> float:
    """Return the share of the catalogue that is in at least one list."""
    return float(np.count_nonzero(exposures(lists, item_count)) / item_count)


def novelty(items: Numbers, counts: NDArray[np.integer], users: int) -> float:
    """Return the mean self-information of the items of a list, in bits.

    The self-information of an item that c of n users took is -log2(c / n). An item that nobody took
    has that of one user. Zhou et al., "Solving the apparent diversity-accuracy dilemma of
    recommender systems", PNAS 107(10), 2010. An empty list has 0.
    """
    if not len(items):
        return 0.0
    return float(-np.log2(np.maximum(counts[items], 1) / users).mean())


def popularity_tiers(counts: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the tier of each item [items], as its position in `TIERS`.

    Items are taken from the most to the least popular, and equal ones in catalogue order. The head
    takes them up to 20 % of all interactions, the middle up to 80 %, and the tail has the rest.
    Abdollahpouri et al., "The Unfairness of Popularity Bias in Recommendation", 2019.
    """
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]  # interactions of more popular items
    tiers = np.empty(len(counts), np.int64)
    edges = np.array(_EDGES) * counts.sum()
    tiers[order] = np.searchsorted(edges, before, side="right")
    return tiers


def tier_exposures(lists: Sequence[Numbers], counts: NDArray[np.integer]) -> list[TierExposure]:
    """Return the exposure of each tier of popularity, by which bias can be read."""
    tiers = popularity_tiers(counts)
    shown = exposures(lists, len(counts))
    positions, interactions = max(shown.sum(), 1), max(counts.sum(), 1)
    return [
        TierExposure(
            name,
            int(np.count_nonzero(tiers == tier)),
            float(shown[tiers == tier].sum() / positions),
            float(counts[tiers == tier].sum() / interactions),
        )
        for tier, name in enumerate(TIERS)
    ]


def tag_shares(items: Numbers, tags: scipy.sparse.csr_array) -> Scores:
    """Return the share [tags] of each tag in a list.

    `tags` [items, tags] has ones where an item of the catalogue has a tag. An item with several
    tags counts for each in equal parts, and one without any does not count. Without a tag in the
    whole list, all shares are 0.
    """
    rows = tags[items].toarray()
    numbers = rows.sum(axis=1)
    tagged = numbers > 0
    if not tagged.any():
        return np.zeros(tags.shape[1])
    return np.asarray((rows[tagged] / numbers[tagged, None]).mean(axis=0))


def kl_divergence(history: Scores, shown: Scores) -> float:
    """Return the Kullback-Leibler divergence of a list's tag shares from the history's, in bits.

    It is 0 for equal shares. The list must have a share of each tag of the history.
    """
    present = history > 0
    return float(history[present] @ np.log2(history[present] / shown[present]))


def js_divergence(history: Scores, shown: Scores) -> float:
    """Return the Jensen-Shannon divergence of two tag shares in bits, between 0 and 1.

    Unlike that of Kullback and Leibler it is symmetric, and needs no smoothing. Lin, "Divergence
    Measures Based on the Shannon Entropy", IEEE Trans. Inf. Theory 37(1), 1991.
    """
    mean = (history + shown) / 2
    return (kl_divergence(history, mean) + kl_divergence(shown, mean)) / 2
