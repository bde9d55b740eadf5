"""Alternating least squares: a vector for each item, and one for a history that is folded in.

Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008. The
library `implicit` computes the vectors Y of the items. That of a user is computed from the history
of the query, so the user need not be in the data. With the weights w of the history's items:

    u = (YᵀY + λI + (c − 1) Σ yₕyₕᵀ)⁻¹ c Σ wₕyₕ

c is the confidence in an interaction, where that in any other pair is 1. With w = 1 this is
equation 4 of the paper. With c = 1 it is a ridge regression on the history.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import scipy.linalg
import scipy.sparse
from numpy.typing import NDArray

from muniment_recommendation.data.catalogue import Catalogue
from muniment_recommendation.data.interactions import Interactions, Numbers

from .base import HistoryScores, Progress, Recommender, Scores, Values, saved_array
from .recency import recency, weighted_rows

# Items whose vectors have double precision at once. Those of 10,000 items take 5 MB, and then each
# query of a blend reads its models from memory instead of the cache (4.9 ms instead of 4.4).
_BLOCK = 1000


class Als(Recommender):
    """A score is the product of the vectors of an item and of a history.

    The vectors of items have single precision, in which they are computed and saved. Products have
    double precision.

    The option `factors` is the length of a vector.
    """

    family = "als"
    choices: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "half_life": (3, 5, 10, 20, 1e6),
        "confidence": (1.0, 5.0),
    }
    options: ClassVar[Mapping[str, int | float | None]] = {"factors": 64, "iterations": 15}

    def __init__(self, vectors: NDArray[np.float32], values: Values) -> None:
        self.vectors = vectors
        self.values = dict(values)
        exact = vectors.astype(np.float64)
        self._gram = exact.T @ exact + self.values["regularization"] * np.eye(vectors.shape[1])
        self._factor = scipy.linalg.cho_factor(self._gram)

    @classmethod
    def fit(
        cls,
        data: Interactions,
        catalogue: Catalogue,
        options: Mapping[str, Any],
        seed: int,
        progress: Progress | None = None,
    ) -> Self:
        """Compute the vectors [I, factors] by conjugate gradients, on one thread."""
        from implicit.cpu.als import AlternatingLeastSquares

        values = {"half_life": 5.0, "floor": 0.1, "confidence": 1.0, "regularization": 10.0}
        model = AlternatingLeastSquares(
            factors=cls.option(options, "factors"),
            regularization=values["regularization"],
            alpha=cls.choices["confidence"][-1],
            iterations=cls.option(options, "iterations"),
            random_state=seed,
            num_threads=1,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(
                scipy.sparse.csr_matrix(data.matrix().astype(np.float32)), show_progress=False
            )
        vectors = np.array(model.item_factors, dtype=np.float32)
        vectors[data.counts() == 0] = 0.0  # they would keep their random start
        return cls(vectors, values)

    def with_values(self, values: Values) -> Self:
        """Return the model with other weights of a history."""
        return type(self)(self.vectors, {**self.values, **values})

    def scores(self, histories: Sequence[Numbers]) -> Scores:
        """Return the products [Q, I] of the vectors of the histories and of all items."""
        sums = weighted_rows(histories, len(self.vectors), self.values) @ self.vectors
        if self.values["confidence"] != 1:
            rows = [self._solve(history, row) for history, row in zip(histories, sums, strict=True)]
            users = np.array(rows).reshape(sums.shape)
        else:
            users = self._solve(np.empty(0, np.int32), sums.T).T
        return self._products(users)

    def query(self, history: Numbers) -> HistoryScores:
        """Return the scores for a history, whose vector is the sum of a part for each item."""
        weights = recency(len(history), self.values)
        parts = self._solve(history, (weights[:, None] * self.vectors[history]).T).T  # [H, factors]
        return HistoryScores(
            self._products(parts.sum(axis=0)[None])[0], lambda items: parts @ self.vectors[items].T
        )

    def _products(self, users: Scores) -> Scores:
        """Return the products [Q, I] of vectors [Q, factors] with those of all items."""
        result = np.empty((len(users), len(self.vectors)))
        for start in range(0, len(self.vectors), _BLOCK):
            block = slice(start, start + _BLOCK)
            result[:, block] = users @ self.vectors[block].astype(np.float64).T
        return result

    def _solve(self, history: Numbers, right: Scores) -> Scores:
        """Return the solution of the equation of a history for right sides [factors, …]."""
        confidence = self.values["confidence"]
        factor = self._factor
        if confidence != 1:
            rows = self.vectors[history].astype(np.float64)
            matrix = self._gram + (confidence - 1) * (rows.T @ rows)
            factor = scipy.linalg.cho_factor(matrix, check_finite=False)
        solution: Scores = scipy.linalg.cho_solve(factor, right, check_finite=False)
        return confidence * solution

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the vectors [I, factors] of the items."""
        return {"vectors": self.vectors}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], values: Values) -> Self:
        """Return the model of saved vectors. Raise ValueError if they are no matrix."""
        return cls(saved_array(arrays, "vectors", 2).astype(np.float32), values)
