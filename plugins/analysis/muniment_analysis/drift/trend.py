"""A test for a trend and one for a change of level, on a series of means.

The trend test is from Mann 1945, "Nonparametric Tests Against Trend". The slope is from Sen 1968,
"Estimates of the Regression Coefficient Based on Kendall's Tau". The test for a change is from
Pettitt 1979, "A Non-Parametric Approach to the Change-Point Problem". Its p-value is the share of
random orders whose statistic is as large. Both tests use ranks, and assume that without drift
every order of the means is equally probable.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau, rankdata, theilslopes

from muniment_analysis.intervals import Estimate, Floats

TREND_PERIODS = 5
"""The fewest periods of which an ordered series has a p-value below 0.05."""
CHANGE_PERIODS = 8
"""As `TREND_PERIODS`, for two levels of equal length."""

_ORDERS = 9_999


@dataclass(frozen=True)
class Trend:
    """A change in one direction.

    Attributes:
        slope: The median slope between two periods with its 95 % interval, for each period.
        tau: Kendall's correlation of the means with time, from -1 to 1.
        p_value: The probability of such a correlation without a trend.
    """

    slope: Estimate
    tau: float
    p_value: float


@dataclass(frozen=True)
class Change:
    """A change of the level.

    Attributes:
        position: The place of the first mean after the change, from 1.
        before: The mean of the means before it.
        after: The mean of the others.
        p_value: The probability of such a difference of ranks without a change.
    """

    position: int
    before: float
    after: float
    p_value: float


def trend(times: Floats, means: Floats) -> Trend | None:
    """Return the trend of means at different times, or None for fewer than 5 of them."""
    size = len(means)
    if size < TREND_PERIODS:
        return None
    if np.all(means == means[0]):
        return Trend(Estimate(0.0, 0.0, 0.0, size), 0.0, 1.0)
    correlation = kendalltau(times, means)
    slope, _, low, high = map(float, theilslopes(means, times))
    estimate = Estimate(slope, min(slope, low), max(slope, high), size)
    return Trend(estimate, float(correlation.statistic), float(correlation.pvalue))


def change(means: Floats, *, seed: int = 0) -> Change | None:
    """Return the most probable change of the level, or None for fewer than 8 means."""
    if len(means) < CHANGE_PERIODS:
        return None
    ranks = rankdata(means)
    statistics = _statistics(ranks)
    position = int(np.argmax(statistics)) + 1
    generator = np.random.default_rng(seed)
    orders = generator.permuted(np.tile(ranks, (_ORDERS, 1)), axis=1)
    # Ranks are multiples of 1/2, so equal statistics are equal numbers.
    as_large = np.count_nonzero(_statistics(orders).max(axis=1) >= statistics.max())
    return Change(
        position=position,
        before=float(means[:position].mean()),
        after=float(means[position:].mean()),
        p_value=float((1 + as_large) / (1 + _ORDERS)),
    )


def _statistics(ranks: Floats) -> Floats:
    """Return Pettitt's statistic |U| for a change after each rank but the last."""
    size = ranks.shape[-1]
    places = np.arange(1, size)
    sums = np.cumsum(ranks, axis=-1)[..., :-1]
    statistics: Floats = np.abs(2 * sums - places * (size + 1))
    return statistics
