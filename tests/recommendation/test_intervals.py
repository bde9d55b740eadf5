"""Intervals of resampled users."""

from __future__ import annotations

import numpy as np
import pytest

from muniment_recommendation.measures.intervals import difference_intervals, mean_intervals


def test_an_interval_contains_its_mean_and_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(1).random((400, 1))

    (interval,) = mean_intervals(values)

    assert interval.value == pytest.approx(values.mean())
    half_width = 1.96 * values.std() / 20
    assert interval.low == pytest.approx(interval.value - half_width, abs=0.003)
    assert interval.high == pytest.approx(interval.value + half_width, abs=0.003)


def test_intervals_are_repeatable_and_equal_for_equal_columns() -> None:
    values = np.random.default_rng(2).random((50, 1))

    both = mean_intervals(np.hstack([values, values]))

    assert both[0] == both[1]
    assert mean_intervals(values) == mean_intervals(values)
    assert mean_intervals(values) != mean_intervals(values, seed=1)


def test_equal_values_have_an_interval_of_width_0() -> None:
    assert mean_intervals(np.full((7, 1), 0.25)) == [(0.25, 0.25, 0.25)]


def test_a_difference_in_every_user_has_an_interval_of_width_0() -> None:
    values = np.random.default_rng(3).random((60, 1))

    (interval,) = difference_intervals(values, values + 0.5)

    assert interval == pytest.approx((0.5, 0.5, 0.5))


def test_a_difference_is_the_second_minus_the_first() -> None:
    (interval,) = difference_intervals(np.zeros((9, 1)), np.ones((9, 1)))

    assert interval.value == 1
