"""Reordering the best items of a list, for diversity and for calibration to a history.

Both add items one by one. The gain of an item is

    (1 - diversity) * relevance - diversity * similarity - CALIBRATION_WEIGHT * divergence

with the relevance from 0 to 1, and the mean similarity to the items before it. This is maximal
marginal relevance (Carbonell and Goldstein 1998) with the mean in place of the largest similarity.
The largest is soon 1 for every item, because a list soon has all of a few tags. The divergence is
that of the tags of the history from those of the list with the item (Steck 2018). Items are
compared by how much they decrease it, which gives the same order.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from .similarity import mean_distance

POOL = 250
"""The number of best items that are reordered. It does not depend on the length of the list."""
CALIBRATION_WEIGHT = 4.0
"""The weight of the divergence beside the relevance, which is 0.8 to 0.2 in the paper's terms."""
DEPTH = 10
"""The number of first items that decide between lists. It is the default length of a list."""

_SMOOTHING = 0.01  # Steck's alpha, the share of the history's tags in those of the list
_TRADE_OFFS = np.linspace(0, 1, 21)

Floats = NDArray[np.float64]


class TagShares:
    """The shares of tags in a history [tags], and those of each item of the pool [P, tags]."""

    def __init__(self, history: Floats, items: scipy.sparse.csr_array) -> None:
        used = np.flatnonzero(history)
        self.history = history[used]
        self.items = scipy.sparse.csr_array(items[:, used])
        self.items.sort_indices()  # so that equal items have equal sums
        # The share in the history of each tag of each item [P, the tags of all items].
        count = self.items.nnz
        self._weights = scipy.sparse.csr_array(
            (self.history[self.items.indices], np.arange(count), self.items.indptr),
            shape=(items.shape[0], count),
        )

    def improvements(self, sums: Floats, length: int) -> Floats:
        """Return the decreases [G, P] of the divergence by adding each item to each list.

        `sums` [G, tags] are those of the shares of the items in each list. `length` is that of a
        list with the added item. Only the tags of an item change its divergence, so an item costs
        as much time as it has tags.
        """
        shares = (1 - _SMOOTHING) * sums / length + _SMOOTHING * self.history
        added = (1 - _SMOOTHING) * self.items.data / length
        logarithms = np.log1p(added / shares[:, self.items.indices])
        improvements: Floats = (self._weights @ logarithms.T).T
        return improvements


def reorder(
    scores: Floats,
    count: int,
    *,
    diversity: float,
    similarities: Floats | None = None,
    tags: TagShares | None = None,
) -> NDArray[np.intp]:
    """Return the positions of a pool in their new order, the first `count`.

    `scores` [P] are in descending order. `similarities` [P, P] are needed for diversity.

    A list that adds one item after the other need not become more diverse when the weight of
    diversity grows. So the lists of 21 weights are computed. Of these, the one has the best sum of
    relevance and difference at `DEPTH`, weighted by `diversity`. The difference of the first
    `DEPTH` items never falls when `diversity` grows, because the lists do not depend on it. That of
    fewer or more items can fall. `DEPTH` does not depend on `count`, so that a longer list begins
    with a shorter one.
    """
    size = len(scores)
    relevance = _relevance(scores)
    trade_offs = np.zeros(1)
    if diversity and similarities is not None:
        trade_offs = _TRADE_OFFS
    lists = _greedy(relevance, max(count, min(DEPTH, size)), trade_offs, similarities, tags)
    if similarities is None or len(lists) == 1:
        return lists[0, :count]
    values = [
        (1 - diversity) * float(relevance[order[:DEPTH]].mean())
        + diversity * mean_distance(similarities[np.ix_(order[:DEPTH], order[:DEPTH])])
        for order in lists
    ]
    return lists[np.argmax(np.round(values, 9)), :count]


def _relevance(scores: Floats) -> Floats:
    """Return scores from 0 to 1, or 1 if all are equal."""
    spread = scores.max() - scores.min()
    if not spread:
        return np.ones(len(scores))
    relevance: Floats = np.round((scores - scores.min()) / spread, 6)
    return relevance


def _greedy(
    relevance: Floats,
    count: int,
    trade_offs: Floats,
    similarities: Floats | None,
    tags: TagShares | None,
) -> NDArray[np.intp]:
    """Return a list of `count` positions for each weight of diversity [G, count]."""
    size, lists = len(relevance), len(trade_offs)
    rows = np.arange(lists)
    gains = (1 - trade_offs)[:, None] * relevance
    similar = np.zeros((lists, size))  # the sum of the similarities to the items of the list
    taken = np.zeros((lists, size), dtype=bool)
    sums = None if tags is None else np.zeros((lists, len(tags.history)))
    result = np.empty((lists, count), dtype=np.intp)
    for place in range(count):
        values = gains - trade_offs[:, None] * similar / max(place, 1)
        if tags is not None and sums is not None:
            values = values + CALIBRATION_WEIGHT * tags.improvements(sums, place + 1)
        values[taken] = -np.inf
        best = np.argmax(np.round(values, 9), axis=1)  # the first of equal ones
        result[:, place] = best
        taken[rows, best] = True
        if similarities is not None:
            similar += similarities[best]
        if tags is not None and sums is not None:
            sums += tags.items[best].toarray()
    return result
