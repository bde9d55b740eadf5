"""Rows of a sparse matrix for one history: their sum, some of their columns, and products.

For so few rows, the checks and the new objects of scipy take longer than the sums. Each sum is in
the order of scipy, so the bits are equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.sparse
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class SparseRows:
    """Rows of a sparse matrix.

    Attributes:
        offsets: The first entry of each row, and the number of entries [rows + 1].
        columns: The column of each entry.
        values: The value of each entry.
        width: The number of columns of the matrix.
    """

    offsets: NDArray[np.integer]
    columns: NDArray[np.integer]
    values: NDArray[np.float64]
    width: int

    @classmethod
    def of(cls, matrix: scipy.sparse.csr_array, numbers: NDArray[np.integer]) -> Self:
        """Return copies of the rows of a matrix with these numbers."""
        return cls(matrix.indptr, matrix.indices, matrix.data, matrix.shape[1]).take(numbers)

    def take(self, numbers: NDArray[np.integer]) -> Self:
        """Return copies of the rows with these numbers, which can repeat."""
        starts = self.offsets.take(numbers)
        lengths = self.offsets.take(numbers + 1) - starts
        offsets = _offsets(lengths)
        entries = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        columns, values = self.columns.take(entries), self.values.take(entries)
        return type(self)(offsets, columns, values, self.width)

    def sum(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum [width] of the rows, each times its weight."""
        factors = np.repeat(weights, np.diff(self.offsets))
        sums = np.bincount(self.columns, factors * self.values, self.width)
        return sums.astype(np.float64, copy=False)  # numpy's annotation names integers

    def dense(self, columns: NDArray[np.integer]) -> NDArray[np.float64]:
        """Return some columns [rows, columns] of the rows."""
        places = np.full(self.width, -1, dtype=np.int32)
        places[columns] = np.arange(len(columns))
        found = places.take(self.columns)
        entries = np.flatnonzero(found >= 0)
        rows = np.searchsorted(self.offsets, entries, side="right") - 1
        result = np.zeros((len(self.offsets) - 1, len(columns)))
        result[rows, found[entries]] = self.values[entries]
        return result

    def products(self, others: SparseRows) -> NDArray[np.float64]:
        """Return the products [rows, others] of all rows with all others of the same width."""
        matches = others.transposed().take(self.columns)  # the others with the column of each entry
        lengths = np.diff(matches.offsets)
        cells = np.repeat(self._rows() * matches.width, lengths) + matches.columns
        products = np.repeat(self.values, lengths) * matches.values
        shape = (len(self.offsets) - 1, matches.width)
        sums = np.bincount(cells, products, shape[0] * shape[1])
        return sums.astype(np.float64, copy=False).reshape(shape)

    def transposed(self) -> Self:
        """Return a copy whose rows are the columns."""
        order = np.argsort(self.columns, kind="stable")
        offsets = _offsets(np.bincount(self.columns, minlength=self.width))
        rows, values = self._rows().take(order), self.values.take(order)
        return type(self)(offsets, rows, values, len(self.offsets) - 1)

    def _rows(self) -> NDArray[np.integer]:
        """Return the row of each entry."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


def _offsets(lengths: NDArray[np.integer]) -> NDArray[np.integer]:
    return np.concatenate([[0], lengths.cumsum()])


def compact(matrix: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    """Return a matrix whose index arrays have 32 bits, unless it has too many entries for them.

    A product reads a quarter less memory.
    """
    if matrix.nnz > np.iinfo(np.int32).max:
        return matrix
    arrays = (matrix.data, matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32))
    return scipy.sparse.csr_array(arrays, shape=matrix.shape)
