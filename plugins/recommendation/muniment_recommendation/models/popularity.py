"""Popularity: the same list for everybody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from muniment_recommendation.data.catalogue import Catalogue
from muniment_recommendation.data.interactions import Interactions, Numbers

from .base import HistoryScores, Progress, Recommender, Scores, Values, saved_array


class Popularity(Recommender):
    """The logarithm of 1 + the number of users who took an item."""

    family = "popularity"

    def __init__(self, popularity: Scores, values: Values) -> None:
        self.popularity = popularity
        self.values = dict(values)

    @classmethod
    def fit(
        cls,
        data: Interactions,
        catalogue: Catalogue,
        options: Mapping[str, Any],
        seed: int,
        progress: Progress | None = None,
    ) -> Self:
        """Count the users of each item."""
        return cls(np.log1p(data.counts()), {})

    def with_values(self, values: Values) -> Self:
        """Return the model, which has no values."""
        return self

    def scores(self, histories: Sequence[Numbers]) -> Scores:
        """Return the popularity [Q, I], which does not depend on the history."""
        return np.tile(self.popularity, (len(histories), 1))

    def baseline(self, items: Numbers) -> Scores:
        """Return the popularity [K] of some items."""
        return self.popularity[items]

    def query(self, history: Numbers) -> HistoryScores:
        """Return the popularity, to which no item of the history adds."""
        return HistoryScores(self.popularity, lambda items: np.zeros((len(history), len(items))))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the popularity [I]."""
        return {"popularity": self.popularity}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], values: Values) -> Self:
        """Return the model of a saved array. Raise ValueError if it is not one."""
        return cls(saved_array(arrays, "popularity", 1).astype(np.float64), values)
