"""Measures of lists: known answers and bounds."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, strategies as st

from muniment_recommendation.data.statistics import gini
from muniment_recommendation.lists.similarity import mean_distance
from muniment_recommendation.measures import lists


def _numbers(*items: int) -> np.ndarray:
    return np.array(items, np.int32)


def test_coverage_is_the_share_of_items_in_any_list() -> None:
    assert lists.coverage([_numbers(0, 1), _numbers(1, 2)], 12) == 3 / 12
    assert lists.coverage([], 12) == 0


@pytest.mark.parametrize(
    ("counts", "value"),
    [([3, 3, 3], 0), ([0, 0, 0, 8], 3 / 4), ([1, 3], 1 / 4), ([0, 0], 0), ([5], 0)],
)
def test_gini_has_known_values(counts: list[int], value: float) -> None:
    assert gini(np.array(counts)) == pytest.approx(value)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20))
def test_gini_is_half_the_mean_difference_divided_by_the_mean(counts: list[int]) -> None:
    array = np.array(counts)
    difference = np.abs(array[:, None] - array[None, :]).mean()
    expected = difference / (2 * array.mean()) if sum(counts) else 0

    assert gini(array) == pytest.approx(expected)


def test_novelty_is_self_information_in_bits() -> None:
    counts = np.array([8, 4, 1, 0])

    assert lists.novelty(_numbers(0), counts, 8) == 0
    assert lists.novelty(_numbers(0, 1, 2), counts, 8) == pytest.approx((0 + 1 + 3) / 3)
    assert lists.novelty(_numbers(3), counts, 8) == 3  # as one that a single user took
    assert lists.novelty(_numbers(), counts, 8) == 0


def test_the_distance_of_a_list_is_the_mean_over_pairs() -> None:
    similarities = np.array([[1, 0.5, 0], [0.5, 1, 0.1], [0, 0.1, 1]])

    assert mean_distance(similarities) == pytest.approx((0.5 + 1 + 0.9) / 3)
    assert mean_distance(similarities[:1, :1]) == 0


def test_tiers_end_at_20_and_80_percent_of_the_interactions() -> None:
    counts = np.array([1, 30, 20, 20, 10, 10, 5, 4, 0])  # 100, in no order

    tiers = lists.popularity_tiers(counts)

    assert [lists.TIERS[tier] for tier in tiers] == [
        *("tail", "head", "middle", "middle", "middle", "tail", "tail", "tail", "tail")
    ]


def test_exposure_of_tiers_is_compared_with_their_interactions() -> None:
    counts = np.array([30, 20, 20, 10, 10, 5, 5])

    head, middle, tail = lists.tier_exposures([_numbers(0, 1), _numbers(0, 6)], counts)

    assert head == ("head", 1, 0.5, 0.3)
    assert (middle.exposure, middle.interactions) == (0.25, 0.5)
    assert (tail.exposure, tail.interactions) == pytest.approx((0.25, 0.2))


def test_exposure_without_lists_is_0() -> None:
    assert [tier.exposure for tier in lists.tier_exposures([], np.zeros(3, int))] == [0, 0, 0]


def test_tag_shares_divide_an_item_among_its_tags() -> None:
    tags = scipy.sparse.csr_array([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1]])

    assert lists.tag_shares(_numbers(0, 1, 2), tags) == pytest.approx([0.75, 0.25, 0])
    assert lists.tag_shares(_numbers(2), tags).tolist() == [0, 0, 0]


def test_equal_shares_are_calibrated() -> None:
    shares = np.array([0.7, 0.3, 0])

    assert lists.kl_divergence(shares, shares) == pytest.approx(0)
    assert lists.js_divergence(shares, shares) == pytest.approx(0)


def test_divergences_have_known_values() -> None:
    romance, action = np.array([1.0, 0]), np.array([0, 1.0])

    assert lists.js_divergence(romance, action) == 1
    assert lists.kl_divergence(romance, np.array([0.5, 0.5])) == 1


@given(
    st.lists(st.integers(0, 9), min_size=4, max_size=4).filter(any),
    st.lists(st.integers(0, 9), min_size=4, max_size=4).filter(any),
)
def test_js_divergence_is_symmetric_and_between_0_and_1(
    first: list[int], second: list[int]
) -> None:
    one, other = np.array(first) / sum(first), np.array(second) / sum(second)

    value = lists.js_divergence(one, other)

    assert value == pytest.approx(lists.js_divergence(other, one))
    assert -1e-12 <= value <= 1 + 1e-12
    assert lists.kl_divergence(one, (one + other) / 2) >= -1e-12
