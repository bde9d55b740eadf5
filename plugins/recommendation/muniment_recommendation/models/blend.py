"""The blend: the weighted sum of the standard scores of several models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muniment_recommendation.data.interactions import Numbers

from .base import Recommender, Scores
from .cold import place_cold_items
from .standard import standard_of
from .text import Text

FAMILY = "blend"
_BLOCK_CELLS = 2_000_000  # scores of one part that are in memory at once


@dataclass(frozen=True, slots=True)
class Part:
    """One model of a blend and its weight."""

    recommender: Recommender
    weight: float

    @property
    def name(self) -> str:
        """The family of the model."""
        return self.recommender.family


class Blend:
    """Several models whose standard scores are added with weights.

    `popularity` replaces the parts for an empty history. `cold` [I] is true for items without
    interactions: they are ranked by `texts`, if there is one. It scores whole histories, without
    recency. The values of the part `text` are chosen for the next item, and rank hidden items worse
    (MovieLens-100K, among themselves: NDCG@10 .215 against .242).
    """

    family = FAMILY

    def __init__(
        self,
        parts: Sequence[Part],
        popularity: Recommender,
        cold: NDArray[np.bool_],
        texts: Text | None = None,
    ) -> None:
        self.parts = tuple(parts)
        self.popularity = popularity
        self.cold = cold
        self._order_cold = None
        if texts is not None and cold.any():
            self._order_cold = texts.scorer_of(np.flatnonzero(cold).astype(np.int32))

    def scores(self, histories: Sequence[Numbers]) -> Scores:
        """Return the scores [Q, I] of all items, standardised over those not in the history."""
        result = np.empty((len(histories), len(self.cold)))
        block = max(1, _BLOCK_CELLS // len(self.cold))
        for start in range(0, len(histories), block):
            queries = histories[start : start + block]
            result[start : start + block] = self._scores(queries)
        return result

    def query(self, history: Numbers) -> BlendQuery:
        """Return the scores and explanations for one history."""
        return BlendQuery(self, history)

    def parts_of(self, history: Numbers) -> tuple[Part, ...]:
        """Return the models that score a history, which is popularity alone if it is empty."""
        return self.parts if len(history) else (Part(self.popularity, 1.0),)

    def _scores(self, histories: Sequence[Numbers]) -> Scores:
        unseen = unseen_items(histories, len(self.cold))
        total = np.zeros(unseen.shape)
        for part in self.parts:
            scores = part.recommender.scores(histories)
            total += part.weight * standard_of(scores, unseen).apply(scores)
        total = self._with_cold(total, histories, unseen)
        for row, history in enumerate(histories):
            if not len(history):
                total[row] = self.query(history).scores
        return total

    def _with_cold(
        self, scores: Scores, histories: Sequence[Numbers], unseen: NDArray[np.bool_]
    ) -> Scores:
        """Return scores [Q, I] in which cold items have a place."""
        if self._order_cold is None:
            return scores
        order = np.zeros(scores.shape)
        order[:, self.cold] = self._order_cold(histories)
        return place_cold_items(scores, order, self.cold, unseen)


class BlendQuery:
    """The scores of all items for one history, and their explanations.

    Scores are standardised over the items that are not in the history.
    """

    def __init__(self, blend: Blend, history: Numbers) -> None:
        self.parts = blend.parts_of(history)
        self.history = history
        self._blend = blend
        self._raw = [part.recommender.scores([history]) for part in self.parts]
        unseen = unseen_items([history], len(blend.cold))
        self.standards = tuple(standard_of(scores, unseen) for scores in self._raw)
        self._sum = sum(
            part.weight * standard.apply(scores)
            for part, standard, scores in zip(self.parts, self.standards, self._raw, strict=True)
        )
        placed = blend._with_cold(self._sum, [history], unseen) if len(history) else self._sum
        self.scores: Scores = placed[0]
        """The scores of all items [I]."""

    def components(self, items: Numbers) -> Mapping[str, Scores]:
        """Return the weighted standard scores [K] of some items by part.

        For items without interactions they do not sum to the score, which follows from a rank.
        """
        return {
            part.name: part.weight * standard.apply(scores[:, items])[0]
            for part, standard, scores in zip(self.parts, self.standards, self._raw, strict=True)
        }

    def contributions(self, items: Numbers) -> Scores:
        """Return what each item of the history adds to the scores of some items [H, K]."""
        result = np.zeros((len(self.history), len(items)))
        for part, standard in zip(self.parts, self.standards, strict=True):
            scale = part.weight / standard.deviations[0]
            result += scale * part.recommender.contributions(self.history, items)
        return result

    def popularity(self, items: Numbers) -> Scores:
        """Return the part [K] of the scores that does not depend on the history."""
        result = np.zeros(len(items))
        for part, standard in zip(self.parts, self.standards, strict=True):
            scale = part.weight / standard.deviations[0]
            result += scale * part.recommender.baseline(items)
        return result

    def offsets(self, items: Numbers) -> Scores:
        """Return the rest of the scores [K]: the means that were subtracted, and cold places."""
        means: float = -sum(
            part.weight * standard.means[0] / standard.deviations[0]
            for part, standard in zip(self.parts, self.standards, strict=True)
        )
        return means + self.scores[items] - self._sum[0, items]


def unseen_items(histories: Sequence[Numbers], item_count: int) -> NDArray[np.bool_]:
    """Return the items [Q, I] that are not in each history."""
    unseen = np.ones((len(histories), item_count), dtype=bool)
    for row, history in enumerate(histories):
        unseen[row, history] = False
    return unseen
