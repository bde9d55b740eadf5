"""Intervals: the bootstrap over items with expanded percentiles, Wilson, and exact bounds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from muniment_analysis import intervals
from muniment_analysis.errors import SampleError, ValuesError


@pytest.mark.parametrize("items", [2, 10, 30, 1000])
def test_expanded_tail_is_that_of_hesterberg(items: int) -> None:
    t = stats.t.ppf(0.975, items - 1)
    expected = stats.norm.cdf(-np.sqrt(items / (items - 1)) * t)
    assert intervals.expanded_tail(items) == pytest.approx(expected, rel=1e-12)


def test_expanded_tail_of_many_items_is_the_plain_percentile() -> None:
    assert intervals.expanded_tail(10**6) == pytest.approx(0.025, abs=1e-6)


def test_expanded_tail_of_one_item_is_refused() -> None:
    with pytest.raises(SampleError) as caught:
        intervals.expanded_tail(1)
    assert (caught.value.complete, caught.value.needed) == (1, 2)


def test_mean_estimate_covers_the_mean_of_skewed_items() -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        estimate = intervals.mean_estimate(generator.exponential(size=10))
        covered += estimate.low <= 1 <= estimate.high
        assert estimate.low <= estimate.value <= estimate.high
    assert covered / 200 >= 0.88


def test_resampled_means_are_equal_for_equal_seeds_and_any_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = np.random.default_rng(0).normal(size=(37, 2))
    means = intervals.resampled_means(rows)
    assert means.shape == (2000, 2)
    monkeypatch.setattr(intervals, "_BLOCK", 100)
    assert np.allclose(intervals.resampled_means(rows), means, rtol=1e-12)
    assert not np.allclose(intervals.resampled_means(rows, seed=1), means)


def test_resampled_means_draw_all_items_alike() -> None:
    rows = np.eye(20)
    means = intervals.resampled_means(rows)
    assert means.sum(axis=1) == pytest.approx(1)
    assert means.mean(axis=0) == pytest.approx(0.05, abs=0.005)


def test_proportion_estimate_of_no_success_has_a_width() -> None:
    estimate = intervals.proportion_estimate(np.zeros(20))
    exact = stats.binomtest(0, 20).proportion_ci(method="exact")
    assert estimate == pytest.approx((0, 0, exact.high, 20))
    reverse = intervals.proportion_estimate(np.ones(20))
    assert reverse == pytest.approx((1, 1 - exact.high, 1, 20))


@pytest.mark.parametrize(("successes", "n"), [(0, 20), (20, 20), (3, 7), (1, 1)])
def test_wilson_estimate_is_that_of_scipy(successes: int, n: int) -> None:
    exact = stats.binomtest(successes, n).proportion_ci(method="wilson")
    estimate = intervals.wilson_estimate(successes, n)
    assert estimate == pytest.approx((successes / n, exact.low, exact.high, n), abs=1e-9)
    assert estimate.low < estimate.high


def test_wilson_estimate_without_an_output_is_refused() -> None:
    with pytest.raises(SampleError):
        intervals.wilson_estimate(0, 0)


@pytest.mark.parametrize(("n", "bound"), [(0, 1.0), (1, 0.95), (100, 0.02951), (3000, 0.000998)])
def test_bound_of_none_solves_the_binomial(n: int, bound: float) -> None:
    assert intervals.bound_of_none(n) == pytest.approx(bound, rel=1e-3)


def test_estimate_has_its_numbers_by_name_in_json() -> None:
    estimate = intervals.Estimate(0.5, 0.4, 0.6, 12)
    assert estimate.to_json() == {"value": 0.5, "low": 0.4, "high": 0.6, "n": 12}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_mean_of_a_value_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ValuesError):
        intervals.mean_estimate(np.array([1, value, 2]))
