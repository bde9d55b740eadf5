"""Rows of a sparse matrix: they are computed like those of the dense matrix, and of scipy."""

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
def test_rows_are_computed_like_those_of_the_dense_matrix(numbers: list[int]) -> None:
    rows = SparseRows.of(MATRIX, np.array(numbers, np.int32))
    dense, weights = DENSE[numbers], RANDOM.random(len(numbers))
    columns = np.array([11, 2, 5], np.int32)
    np.testing.assert_allclose(rows.sum(weights), weights @ dense, atol=1e-12)
    np.testing.assert_array_equal(rows.dense(columns), dense[:, columns])
    others = SparseRows.of(MATRIX, np.array([3, 4, 3], np.int32))
    np.testing.assert_allclose(rows.products(others), dense @ DENSE[[3, 4, 3]].T, atol=1e-12)


def test_sums_and_products_have_the_bits_of_scipy() -> None:
    numbers, weights = np.array([8, 1, 5], np.int32), RANDOM.random(3)
    rows = SparseRows.of(MATRIX, numbers)
    sums = scipy.sparse.csr_array(weights[None]) @ MATRIX[numbers]
    assert rows.sum(weights).tobytes() == sums.toarray()[0].tobytes()
    products = (MATRIX[numbers] @ MATRIX.T).toarray()
    every = SparseRows.of(MATRIX, np.arange(9, dtype=np.int32))
    assert rows.products(every).tobytes() == products.tobytes()


def test_a_compact_matrix_is_equal_and_has_32_bit_indices() -> None:
    wide = scipy.sparse.csr_array(
        (MATRIX.data, MATRIX.indices.astype(np.int64), MATRIX.indptr.astype(np.int64)),
        shape=MATRIX.shape,
    )
    assert (compact(wide) != wide).nnz == 0
    assert compact(wide).indices.dtype == compact(wide).indptr.dtype == np.int32
