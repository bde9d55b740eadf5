"""Stability of lists when one item of the history is dropped."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from muniment_recommendation.data.interactions import Numbers
from muniment_recommendation.lists.ordering import best_numbers
from muniment_recommendation.models.base import Scores
from muniment_recommendation.ranking.document import SCORE_DIGITS
from muniment_recommendation.ranking.overlap import PERSISTENCE, rank_biased_overlap

from .metrics import BLOCK_BYTES


def first_items(scores: Scores, excluded: Sequence[Numbers], depth: int) -> list[Numbers]:
    """Return the `depth` items of highest score for each row of scores [rows, items].

    Scores are rounded as those of a list, and equal ones are in catalogue order. `excluded`
    has the items that each row leaves out.
    """
    lists = []
    for row, items in zip(np.round(scores, SCORE_DIGITS), excluded, strict=True):
        allowed = np.ones(len(row), dtype=bool)
        allowed[items] = False
        lists.append(best_numbers(row, allowed, depth))
    return lists


def dropped_item_overlap(
    scores: Callable[[Sequence[Numbers]], Scores],
    histories: Sequence[Numbers],
    item_count: int,
    *,
    depth: int = 10,
    persistence: float = PERSISTENCE,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return the RBO_ext [histories] of the lists with and without one item of the history.

    `seed` selects the item. It stays excluded from the second list. Histories have at least one
    item.
    """
    rng = np.random.default_rng(seed)
    shorter = [np.delete(history, rng.integers(len(history))) for history in histories]
    size = max(1, BLOCK_BYTES // (8 * item_count))
    overlaps = []
    for start in range(0, len(histories), size):
        seen = histories[start : start + size]
        whole = first_items(scores(seen), seen, depth)
        dropped = first_items(scores(shorter[start : start + size]), seen, depth)
        overlaps += [
            rank_biased_overlap(first.tolist(), second.tolist(), persistence)
            for first, second in zip(whole, dropped, strict=True)
        ]
    return np.array(overlaps)
