"""Models whose score is a weighted sum of rows of one matrix between items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from muniment_recommendation.data.interactions import Numbers
from muniment_recommendation.data.sparse_rows import SparseRows, compact

from .base import HistoryScores, Recommender, Scores, Values
from .recency import recency, weighted_rows


class ItemMatrix(Recommender):
    """A model with a matrix [I, I] whose row `h` has the scores that item `h` of a history adds.

    The matrix is dense or sparse. The rows of a history are weighted by the age of its items, with
    the values `half_life` (in items) and `floor`.
    """

    choices: ClassVar[Mapping[str, tuple[float, ...]]] = {}

    def __init__(self, matrix: Scores | scipy.sparse.csr_array, values: Values) -> None:
        self.matrix = matrix if isinstance(matrix, np.ndarray) else compact(matrix)
        self.values = dict(values)

    def with_values(self, values: Values) -> Self:
        """Return the model with other weights of a history."""
        return type(self)(self.matrix, {**self.values, **values})

    def scores(self, histories: Sequence[Numbers]) -> Scores:
        """Return the sums [Q, I] of the weighted rows."""
        rows = weighted_rows(histories, self.matrix.shape[1], self.values)
        scores = rows @ self.matrix
        return scores.toarray() if scipy.sparse.issparse(scores) else np.asarray(scores)

    def query(self, history: Numbers) -> HistoryScores:
        """Return the sum of the weighted rows, and its parts. Sparse rows are copied once."""
        matrix, weights = self.matrix, recency(len(history), self.values)
        if isinstance(matrix, np.ndarray):
            return HistoryScores(
                self.scores([history])[0],
                lambda items: weights[:, None] * matrix[np.ix_(history, items)],
            )
        rows = SparseRows.of(matrix, history)
        return HistoryScores(rows.sum(weights), lambda items: weights[:, None] * rows.dense(items))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the matrix, as one array or as the three of a sparse one."""
        if isinstance(self.matrix, np.ndarray):
            return {"matrix": self.matrix.astype(np.float32)}
        return {
            "data": self.matrix.data.astype(np.float32),
            "indices": self.matrix.indices.astype(np.int32),
            "offsets": self.matrix.indptr.astype(np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], values: Values) -> Self:
        """Return the model of saved arrays. Raise ValueError if they are no square matrix."""
        try:
            if "matrix" in arrays:
                dense = arrays["matrix"].astype(np.float64)
                if dense.ndim != 2 or dense.shape[0] != dense.shape[1]:
                    raise ValueError(f"the matrix has the shape {dense.shape}")
                return cls(dense, values)
            size = len(arrays["offsets"]) - 1
            sparse = scipy.sparse.csr_array(
                (arrays["data"].astype(np.float64), arrays["indices"], arrays["offsets"]),
                shape=(size, size),
            )
            sparse.check_format()
        except KeyError as error:
            raise ValueError(f"the array {error.args[0]} is missing") from None
        return cls(sparse, values)


def as_saved(matrix: Scores) -> Scores:
    """Return a dense matrix with the precision in which it is saved.

    So a model scores the same before it is saved and after it is loaded.
    """
    return matrix.astype(np.float32).astype(np.float64)


def reciprocals(lengths: Scores) -> Scores:
    """Return 1 / length of vectors, and 0 for vectors of length 0."""
    return np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)


def largest(matrix: scipy.sparse.csr_array, number: int) -> scipy.sparse.csr_array:
    """Return a sparse matrix with the `number` largest values of each row, in the saved precision.

    Equal values are kept in the order of their columns.
    """
    matrix.sort_indices()
    kept = np.ones(matrix.nnz, dtype=bool)
    for row in np.flatnonzero(np.diff(matrix.indptr) > number):
        start, end = matrix.indptr[row : row + 2]
        order = np.argsort(-matrix.data[start:end], kind="stable")
        kept[start + order[number:]] = False
    offsets = np.concatenate([[0], np.cumsum(kept)])[matrix.indptr]
    data = matrix.data[kept].astype(np.float32).astype(np.float64)
    return scipy.sparse.csr_array((data, matrix.indices[kept], offsets), shape=matrix.shape)
