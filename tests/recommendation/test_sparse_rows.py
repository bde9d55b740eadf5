"""Rows of a sparse matrix: their sums and columns are those of the dense matrix."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from muniment_recommendation.data.sparse_rows import SparseRows, compact

RANDOM = np.random.default_rng(0)
DENSE = RANDOM.random((9, 12)) * (RANDOM.random((9, 12)) < 0.4)
DENSE[4] = 0
MATRIX = compact(scipy.sparse.csr_array(DENSE))


@pytest.mark.parametrize("numbers", [[], [4], [7, 0, 4, 3], [*range(8, -1, -1)]])
def test_rows_have_the_sums_and_columns_of_the_dense_matrix(numbers: list[int]) -> None:
    rows = SparseRows.of(MATRIX, np.array(numbers, np.int32))
    dense, weights = DENSE[numbers], RANDOM.random(len(numbers))
    columns = np.array([11, 2, 5], np.int32)
    np.testing.assert_allclose(rows.sum(weights), weights @ dense, atol=1e-12)
    np.testing.assert_array_equal(rows.dense(columns), dense[:, columns])
    np.testing.assert_array_equal(rows.matrix().toarray(), dense)


def test_a_compact_matrix_is_equal_and_has_32_bit_indices() -> None:
    wide = scipy.sparse.csr_array(
        (MATRIX.data, MATRIX.indices.astype(np.int64), MATRIX.indptr.astype(np.int64)),
        shape=MATRIX.shape,
    )
    assert (compact(wide) != wide).nnz == 0
    assert compact(wide).indices.dtype == compact(wide).indptr.dtype == np.int32
