"""Text similarity: items whose texts resemble those of the history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from muniment_recommendation.data.catalogue import Catalogue
from muniment_recommendation.data.interactions import Interactions, Numbers
from muniment_recommendation.text.index import TextIndex, item_text

from .base import Progress, Recommender, Scores, Values
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

    def __init__(self, index: TextIndex, values: Values) -> None:
        self.index = index
        self.values = dict(values)
        texts = index.matrix
        self._means = texts @ np.asarray(texts.sum(axis=0)).ravel() / max(texts.shape[0], 1)

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
        return type(self)(self.index, {**self.values, **values})

    def of_whole_histories(self) -> Self:
        """Return the model with the same weight for new and old items."""
        return self.with_values({"half_life": 1e6})

    def scores(self, histories: Sequence[Numbers]) -> Scores:
        """Return the similarities [Q, I] of all items and the histories."""
        return self._scores(histories, self.index.matrix, self._means)

    def scorer_of(self, items: Numbers) -> Callable[[Sequence[Numbers]], Scores]:
        """Return a function that returns the scores [Q, K] of some items alone."""
        texts, means = self.index.matrix[items], self._means[items]
        return lambda histories: self._scores(histories, texts, means)

    def _scores(
        self, histories: Sequence[Numbers], texts: scipy.sparse.csr_array, means: Scores
    ) -> Scores:
        every = self.index.matrix
        result = np.empty((len(histories), texts.shape[0]))
        for start in range(0, len(histories), _BLOCK):
            block = histories[start : start + _BLOCK]
            weights = weighted_rows(block, every.shape[0], self.values)
            similar = (texts @ (weights @ every).toarray().T).T
            similar -= weights.sum(axis=1)[:, None] * means
            result[start : start + _BLOCK] = similar
        return result

    def contributions(self, history: Numbers, items: Numbers) -> Scores:
        """Return the weighted similarities [H, K] of the history and some items."""
        similar = (self.index.matrix[history] @ self.index.matrix[items].T).toarray()
        return recency(len(history), self.values)[:, None] * (similar - self._means[items])

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
