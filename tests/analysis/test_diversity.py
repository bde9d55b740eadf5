"""The effective number of different outputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from muniment_analysis.diversity import cosine_similarities, vendi_score


@pytest.mark.parametrize("size", [1, 2, 7])
def test_equal_outputs_count_once_and_different_ones_each(size: int) -> None:
    assert vendi_score(np.ones((size, size))) == pytest.approx(1)
    assert vendi_score(np.eye(size)) == pytest.approx(size)


def test_two_groups_of_equal_outputs_count_twice() -> None:
    vectors = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0], [0.0, 3.0]])
    assert vendi_score(cosine_similarities(vectors)) == pytest.approx(2)


@given(st.lists(st.lists(st.floats(-5, 5), min_size=3, max_size=3), min_size=1, max_size=8))
def test_the_score_lies_between_1_and_the_number(rows: list[list[float]]) -> None:
    similarities = cosine_similarities(np.array(rows))
    assert np.allclose(np.diag(similarities), 1)
    assert 1 - 1e-9 <= vendi_score(similarities) <= len(rows) + 1e-9


def test_empty_outputs_are_equal() -> None:
    assert vendi_score(cosine_similarities(np.zeros((3, 2)))) == pytest.approx(1)
