"""Rows of a sparse matrix for one history: their weighted sum and some of their columns.

For so few rows, the checks and the new objects of scipy take longer than the sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.sparse
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SparseRows:
    """Copies of some rows of a sparse matrix.

    Attributes:
        offsets: The first entry of each row, and the number of entries [rows + 1].
        columns: The column of each entry.
        values: The value of each entry.
        width: The number of columns of the matrix.
    """

    offsets: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: NDArray[np.float64]
    width: int

    @classmethod
    def of(cls, matrix: scipy.sparse.csr_array, numbers: NDArray[np.int32]) -> Self:
        """Return the rows with these numbers."""
        starts = matrix.indptr.take(numbers)
        lengths = matrix.indptr.take(numbers + 1) - starts
        offsets = np.concatenate([[0], lengths.cumsum()])
        entries = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        columns, values = matrix.indices.take(entries), matrix.data.take(entries)
        return cls(offsets, columns, values, matrix.shape[1])

    def sum(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum [width] of the rows, each times its weight."""
        factors = np.repeat(weights, np.diff(self.offsets))
        return np.bincount(self.columns, factors * self.values, self.width)

    def dense(self, columns: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return some columns [rows, columns] of the rows."""
        places = np.full(self.width, -1, dtype=np.int32)
        places[columns] = np.arange(len(columns))
        found = places.take(self.columns)
        entries = np.flatnonzero(found >= 0)
        rows = np.searchsorted(self.offsets, entries, side="right") - 1
        result = np.zeros((len(self.offsets) - 1, len(columns)))
        result[rows, found[entries]] = self.values[entries]
        return result

    def matrix(self) -> scipy.sparse.csr_array:
        """Return the rows as a matrix."""
        arrays = (self.values, self.columns, self.offsets.astype(np.int32))
        return scipy.sparse.csr_array(arrays, shape=(len(self.offsets) - 1, self.width))


def compact(matrix: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    """Return a matrix whose index arrays have 32 bits, unless it has too many entries for them.

    A product reads a quarter less memory.
    """
    if matrix.nnz > np.iinfo(np.int32).max:
        return matrix
    arrays = (matrix.data, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32))
    return scipy.sparse.csr_array(arrays, shape=matrix.shape)
