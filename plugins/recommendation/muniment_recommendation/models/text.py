"""Text similarity: items whose texts resemble those of the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from muniment_recommendation.data.catalogue import Catalogue
from muniment_recommendation.data.interactions import Interactions, Numbers
from muniment_recommendation.data.sparse_rows import SparseRows
from muniment_recommendation.text.index import TextIndex, item_text

from .base import HistoryScores, Progress, Recommender, Scores, Values
from .recency import recency, weighted_rows

_BLOCK = 64  # histories whose sums over the vocabulary are in memory at once


class Text(Recommender):
    """A score is the sum of the similarities of an item's text with those of the history.

    The mean similarity of an item with all items is subtracted from each. Otherwise an item with
    the words of many others is similar to every history.
    """

    family = "text"
    choices: ClassVar[Mapping[str, tuple[float, ...]]] = {"half_life": (5, 20, 100, 1e6)}
    defaults: ClassVar[Values] = {"half_life": 20.0, "floor": 0.1}

    def __init__(self, index: TextIndex, values: Values, items: Numbers | None = None) -> None:
        """Score all items, or only `items`."""
        self.index = index
        self.values = dict(values)
        self._items = items
        every = index.matrix
        self._texts = every if items is None else every[items]
        self._means = self._texts @ every.sum(axis=0) / max(every.shape[0], 1)

    @classmethod
    def fit(
        cls,
        data: Interactions,
        catalogue: Catalogue,
        options: Mapping[str, Any],
        seed: int,
        progress: Progress | None = None,
    ) -> Self:
        """Index the titles, tags and texts of the catalogue."""
        index = TextIndex.fit([item_text(item) for item in catalogue.items])
        return cls(index, cls.defaults)

    def with_values(self, values: Values) -> Self:
        """Return the model with other weights of a history."""
        return type(self)(self.index, {**self.values, **values}, self._items)

    def of_whole_histories(self) -> Self:
        """Return the model with the same weight for new and old items."""
        return self.with_values({"half_life": 1e6})

    def only(self, items: Numbers) -> Self:
        """Return a model that scores these items alone."""
        return type(self)(self.index, self.values, items)

    def scores(self, histories: Sequence[Numbers]) -> Scores:
        """Return the similarities [Q, I] of the items and the histories."""
        every = self.index.matrix
        result = np.empty((len(histories), self._texts.shape[0]))
        for start in range(0, len(histories), _BLOCK):
            block = histories[start : start + _BLOCK]
            weights = weighted_rows(block, every.shape[0], self.values)
            similar = (self._texts @ (weights @ every).toarray().T).T
            similar -= weights.sum(axis=1)[:, None] * self._means
            result[start : start + _BLOCK] = similar
        return result

    def query(self, history: Numbers) -> HistoryScores:
        """Return the similarities of the items and a history, whose texts are read once."""
        weights = recency(len(history), self.values)
        rows = SparseRows.of(self.index.matrix, history)

        def contributions(items: Numbers) -> Scores:
            similar = rows.products(SparseRows.of(self._texts, items))
            weighted: Scores = weights[:, None] * (similar - self._means[items])
            return weighted

        scores = self._texts @ rows.sum(weights) - weights.sum() * self._means
        return HistoryScores(scores, contributions)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of the index."""
        return self.index.arrays()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], values: Values) -> Self:
        """Return the model of a saved index. Raise ValueError if the arrays do not fit."""
        try:
            return cls(TextIndex.from_arrays(arrays), values)
        except KeyError as error:
            raise ValueError(f"the array {error.args[0]} is missing") from None
