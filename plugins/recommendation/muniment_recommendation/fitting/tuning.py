"""Choose values and weights on the last item of each history, from fixed grids."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muniment_recommendation.data.interactions import Interactions, Numbers
from muniment_recommendation.models.base import Recommender, Scores
from muniment_recommendation.models.blend import unseen_items
from muniment_recommendation.models.standard import standard_of

GRID = (0.0, 0.25, 0.5, 1.0)
"""The weights of a part. At least one part has the largest."""
_USERS = 3000  # the most users whose last item decides, which are drawn by the seed
_BLOCK_CELLS = 500_000
_TOLERANCE = 1e-5  # of standard scores in single precision, below which they are equal
_DEPTH = 20  # the choice is by NDCG at this rank, which is less noisy than at 10
# The mean of the best rows of the grid is taken, because the best one alone is partly luck: a tenth
# of the rows, up to this number.
_AVERAGED = 10


@dataclass(frozen=True)
class Held:
    """Histories, and the next item of each."""

    histories: Sequence[Numbers]
    targets: Numbers
    item_count: int

    def blocks(self) -> Iterator[Held]:
        """Yield parts of the queries, so that their scores need little memory."""
        size = max(1, _BLOCK_CELLS // self.item_count)
        for start in range(0, len(self.targets), size):
            rows = slice(start, start + size)
            yield Held(self.histories[rows], self.targets[rows], self.item_count)


def hold_out(data: Interactions, seed: int) -> tuple[Interactions, Held]:
    """Return the data without the last item of each user, and these items.

    Users with one item are not held out.
    """
    earlier = data.without_last()
    users = np.flatnonzero(data.lengths >= 2)
    if len(users) > _USERS:
        users = np.sort(np.random.default_rng(seed).choice(users, _USERS, replace=False))
    targets = data.items[data.offsets[users + 1] - 1]
    return earlier, Held(earlier.histories(users), targets, data.item_count)


def choose_values(recommender: Recommender, held: Held) -> Recommender:
    """Return the model with the values of its choices that rank the held items best."""
    names = list(recommender.choices)
    if not names or not len(held.targets):
        return recommender
    candidates = [
        recommender.with_values(dict(zip(names, values, strict=True)))
        for values in itertools.product(*recommender.choices.values())
    ]
    return max(candidates, key=lambda candidate: _quality(candidate, held))


def choose_weights(recommenders: Sequence[Recommender], held: Held) -> tuple[float, ...]:
    """Return the weights, one for each model, whose blends rank the held items best.

    They are the mean of the best rows of the grid. Of equally good rows, those with the smallest
    sum come first.
    """
    grid = sorted(
        (w for w in itertools.product(GRID, repeat=len(recommenders)) if max(w) == GRID[-1]),
        key=sum,
    )
    if not len(held.targets):
        return (GRID[-1],) * len(recommenders)
    weights = np.array(grid, dtype=np.float32)
    gains = np.zeros(len(weights))
    for block in held.blocks():
        unseen = unseen_items(block.histories, block.item_count)
        standard = []
        for recommender in recommenders:
            scores = recommender.scores(block.histories)
            standard.append(standard_of(scores, unseen).apply(scores))
        for row, target in enumerate(block.targets):
            margins = np.array([scores[row] - scores[row, target] for scores in standard])
            others = unseen[row].copy()
            others[target] = False
            gains += _gains(_ranks(weights, margins[:, others].astype(np.float32)))
    best = np.argsort(-np.round(gains, 9), kind="stable")
    best = best[: min(_AVERAGED, max(1, len(grid) // 10))]
    return tuple(round(float(weight), 6) for weight in np.mean([grid[row] for row in best], axis=0))


def _ranks(weights: NDArray[np.float32], margins: NDArray[np.float32]) -> Scores:
    """Return the expected rank, from 0, of the target for each row of weights [W, P].

    `margins` [P, I] has the advantages over the target of all other items. Equal scores count half.
    """
    # With weights of at least 0, an item that is behind in all parts is always behind.
    rivals = margins[:, (margins > -_TOLERANCE).any(axis=0)]
    if (rivals > _TOLERANCE).all(axis=0).sum() >= _DEPTH:
        return np.full(len(weights), np.inf)
    sums = weights @ rivals
    ahead = (sums > _TOLERANCE).sum(axis=1)
    ranks: Scores = ahead + (np.abs(sums) <= _TOLERANCE).sum(axis=1) / 2
    return ranks


def _gains(ranks: Scores) -> Scores:
    return np.where(ranks < _DEPTH, 1 / np.log2(ranks + 2), 0.0)


def _quality(recommender: Recommender, held: Held) -> float:
    """Return the sum of the gains of the held items. Equal scores count half."""
    total = 0.0
    for block in held.blocks():
        scores = recommender.scores(block.histories)
        scores[~unseen_items(block.histories, block.item_count)] = -np.inf
        targets = scores[np.arange(len(block.targets)), block.targets][:, None]
        ties = (scores == targets).sum(axis=1) - 1
        total += float(_gains((scores > targets).sum(axis=1) + ties / 2).sum())
    return round(total, 9)
