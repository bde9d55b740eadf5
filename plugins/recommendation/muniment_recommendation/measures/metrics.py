"""Accuracy metrics of a full ranking of all items, with exact treatment of equal scores.

Equal scores have no order, so a metric is its expectation over all orders of the equal ones, each
as likely as another. One item precedes an item of equal score with probability 1/2. A model that
gives every item the same score therefore has exactly the value of a random order. McSherry and
Najork, "Computing Information Retrieval Performance Measures Efficiently in the Presence of Tied
Scores", ECIR 2008.

The cutoff k counts positions. For a user with m relevant items:

    hr         1 if a relevant item is among the first k, else 0
    recall     relevant items among the first k, divided by m
    precision  relevant items among the first k, divided by k
    ndcg       sum of 1 / log2(1 + position) over them, divided by that of min(m, k) first positions
    mrr        1 / position of the first relevant item, 0 beyond k
    map        sum of the precision at each of their positions, divided by min(m, k)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muniment_recommendation.data.interactions import Numbers
from muniment_recommendation.models.base import Scores
from muniment_recommendation.ranking.document import SCORE_DIGITS

CUTOFFS = (5, 10, 20)
KINDS = ("hr", "ndcg", "recall", "precision", "mrr", "map")
NAMES = tuple(f"{kind}@{cutoff}" for kind in KINDS for cutoff in CUTOFFS)
"""The names of the metrics, in the order of the columns that the functions return."""

BLOCK_BYTES = 2**25
"""Size of the largest matrix of scores that is in memory at once."""

_DEPTH = max(CUTOFFS)
_POSITIONS = np.arange(1, _DEPTH + 1)
_DISCOUNTS = 1 / np.log2(1 + _POSITIONS)


def measure(
    scores: Callable[[Sequence[Numbers]], Scores],
    histories: Sequence[Numbers],
    relevant: Sequence[Numbers],
    item_count: int,
    *,
    allowed: NDArray[np.bool_] | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Scores:
    """Return the metrics [users, names] of a model, scoring blocks of users.

    `scores` returns the scores of all items for some histories. The other arguments are those of
    `rank_metrics`.
    """
    size = max(1, block_bytes // (8 * max(item_count, _DEPTH**2)))  # positions are compared, too
    blocks = [
        rank_metrics(
            scores(histories[start : start + size]),
            histories[start : start + size],
            relevant[start : start + size],
            allowed,
        )
        for start in range(0, len(histories), size)
    ]
    return np.concatenate(blocks) if blocks else np.zeros((0, len(NAMES)))


def rank_metrics(
    scores: Scores,
    seen: Sequence[Numbers],
    relevant: Sequence[Numbers],
    allowed: NDArray[np.bool_] | None = None,
) -> Scores:
    """Return the metrics [users, names] of the scores [users, items].

    `seen` are the items that are not ranked for each user, and `relevant` those to be found, at
    least one for each. With `allowed` [items], only the items that are true are ranked. Raises
    ValueError for a score that is not finite and for a user without a relevant item.
    """
    ranked = np.round(scores, SCORE_DIGITS)
    if not np.isfinite(ranked).all():
        raise ValueError("a score is not a finite number")
    if allowed is not None:
        ranked[:, ~allowed] = -np.inf
    ranked[_rows(seen), _items(seen)] = -np.inf
    counts = np.array([len(items) for items in relevant])
    if not counts.all():
        raise ValueError("a user has no relevant item")
    targets = ranked[_rows(relevant), _items(relevant)]
    return _metrics(_positions(ranked, targets, counts), counts)


@dataclass(frozen=True)
class _Positions:
    """The first positions [users, positions] of rankings, each in its group of equal scores.

    `size` is the number of items of the group and `index` the place of the position in it. `hits`
    is the number of relevant items in the group and `earlier` that in all groups before it.
    """

    size: NDArray[np.int64]
    index: NDArray[np.int64]
    hits: NDArray[np.int64]
    earlier: NDArray[np.int64]


def _positions(
    ranked: Scores, targets: NDArray[np.float64], counts: NDArray[np.int64]
) -> _Positions:
    """Return the positions of the scores [users, items] and the relevant items' scores."""
    users, items = ranked.shape
    depth = min(_DEPTH, items)
    top = np.full((users, _DEPTH), -np.inf)
    top[:, :depth] = -np.sort(-np.partition(ranked, items - depth, axis=1)[:, items - depth :])
    size = (top[:, None, :] == top[:, :, None]).sum(axis=2)
    lowest = top[:, depth - 1 : depth]
    # The group of the last position can reach beyond it.
    size = np.where(top == lowest, (ranked == lowest).sum(axis=1)[:, None], size)
    index = np.arange(_DEPTH) - (top[:, None, :] > top[:, :, None]).sum(axis=2)
    rows = np.repeat(np.arange(users), counts)
    starts = np.cumsum(counts) - counts
    # Items that are not ranked are at -inf, also if one of them is relevant.
    is_hit = (targets[:, None] == top[rows]) & np.isfinite(targets)[:, None]
    is_earlier = targets[:, None] > top[rows]
    return _Positions(
        np.maximum(size, index + 1),
        index,
        np.add.reduceat(is_hit, starts, axis=0, dtype=np.int64),
        np.add.reduceat(is_earlier, starts, axis=0, dtype=np.int64),
    )


def _metrics(at: _Positions, counts: NDArray[np.int64]) -> Scores:
    """Return the expected metrics [users, names] of users with `counts` relevant items."""
    chance = at.hits / at.size  # that the item at this position is relevant
    # Given that all positions before hold no relevant item, the chance that this one does.
    first = np.minimum(at.hits / (at.size - at.index), 1)
    none = np.cumprod(1 - first, axis=1)
    none_before = np.hstack([np.ones((len(counts), 1)), none[:, :-1]])
    # Relevant items that are expected before a relevant one at this position.
    before = at.earlier + at.index * (at.hits - 1) / np.maximum(at.size - 1, 1)
    found = np.cumsum(chance, axis=1)
    sums = {
        "hr": 1 - none,
        "ndcg": np.cumsum(chance * _DISCOUNTS, axis=1),
        "recall": found,
        "precision": found,
        "mrr": np.cumsum(none_before * first / _POSITIONS, axis=1),
        "map": np.cumsum(chance * (1 + before) / _POSITIONS, axis=1),
    }
    columns = []
    for kind in KINDS:
        for cutoff in CUTOFFS:
            reachable = np.minimum(counts, cutoff)
            divisors = {
                "ndcg": np.cumsum(_DISCOUNTS)[reachable - 1],
                "recall": counts,
                "precision": cutoff,
                "map": reachable,
            }
            columns.append(sums[kind][:, cutoff - 1] / divisors.get(kind, 1))
    return np.column_stack(columns)


def _rows(lists: Sequence[Numbers]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(lists)), [len(items) for items in lists])


def _items(lists: Sequence[Numbers]) -> Numbers:
    return np.concatenate(lists) if len(lists) else np.zeros(0, np.int32)
