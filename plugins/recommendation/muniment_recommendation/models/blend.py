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
        self._cold_texts = None
        if texts is not None and cold.any():
            self._cold_texts = texts.only(np.flatnonzero(cold).astype(np.int32))

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
        if self._cold_texts is not None:
            total = self._with_cold(total, self._cold_texts.scores(histories), unseen)
        for row, history in enumerate(histories):
            if not len(history):
                total[row] = self.query(history).scores
        return total

    def _with_cold(self, scores: Scores, similarities: Scores, unseen: NDArray[np.bool_]) -> Scores:
        """Return scores [Q, I] in which cold items have a place by their similarities [Q, cold]."""
        order = np.zeros(scores.shape)
        order[:, self.cold] = similarities
        return place_cold_items(scores, order, self.cold, unseen)


class BlendQuery:
    """The scores of all items for one history, and their explanations.

    Scores are standardised over the items that are not in the history.
    """

    def __init__(self, blend: Blend, history: Numbers) -> None:
        self.parts = blend.parts_of(history)
        self.history = history
        self._queries = [part.recommender.query(history) for part in self.parts]
        self._raw = np.array([query.scores for query in self._queries])  # [parts, I]
        self._weights = np.array([part.weight for part in self.parts])
        unseen = unseen_items([history], len(blend.cold))
        self.standard = standard_of(self._raw, unseen)
        self._sum = self._weights @ self.standard.apply(self._raw)
        self.scores: Scores = self._sum
        """The scores of all items [I]."""
        if len(history) and blend._cold_texts is not None:
            similarities = blend._cold_texts.query(history).scores
            self.scores = blend._with_cold(self._sum[None], similarities, unseen)[0]

    def components(self, items: Numbers) -> Mapping[str, Scores]:
        """Return the weighted standard scores [K] of some items by part.

        For items without interactions they do not sum to the score, which follows from a rank.
        """
        components = self._weights[:, None] * self.standard.apply(self._raw[:, items])
        return {part.name: row for part, row in zip(self.parts, components, strict=True)}

    def contributions(self, items: Numbers) -> Scores:
        """Return what each item of the history adds to the scores of some items [H, K]."""
        return self._summed([query.contributions(items) for query in self._queries])

    def popularity(self, items: Numbers) -> Scores:
        """Return the part [K] of the scores that does not depend on the history."""
        return self._summed([part.recommender.baseline(items) for part in self.parts])

    def offsets(self, items: Numbers) -> Scores:
        """Return the rest of the scores [K]: the means that were subtracted, and cold places."""
        return self.scores[items] - self._sum[items] - self._summed(self.standard.means)

    def _summed(self, values: Sequence[Scores] | Scores) -> Scores:
        """Return the sum over the parts of their values, each in units of the score."""
        scales = self._weights / self.standard.deviations
        total: Scores = sum(scale * value for scale, value in zip(scales, values, strict=True))
        return total


def unseen_items(histories: Sequence[Numbers], item_count: int) -> NDArray[np.bool_]:
    """Return the items [Q, I] that are not in each history."""
    unseen = np.ones((len(histories), item_count), dtype=bool)
    for row, history in enumerate(histories):
        unseen[row, history] = False
    return unseen
