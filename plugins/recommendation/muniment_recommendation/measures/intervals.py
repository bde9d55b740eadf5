"""Intervals of 95 % of means over users, from resampled users."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000


class Interval(NamedTuple):
    """A mean with the bounds of its 95 % interval."""

    value: float
    low: float
    high: float


def mean_intervals(
    values: NDArray[np.float64], resamples: int = RESAMPLES, seed: int = 0
) -> list[Interval]:
    """Return the mean of each column of values [users, columns] with its interval.

    The bounds are the percentiles 2.5 and 97.5 of the means of users drawn with repetition. Every
    column has the same draws. At least one user is needed.
    """
    users = len(values)
    generator = np.random.default_rng(seed)
    means = np.empty((resamples, values.shape[1]))
    for row in range(resamples):
        drawn = np.bincount(generator.integers(users, size=users), minlength=users)
        means[row] = drawn @ values / users
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    bounds = zip(values.mean(axis=0), low, high, strict=True)
    return [Interval(float(value), float(least), float(most)) for value, least, most in bounds]


def difference_intervals(
    first: NDArray[np.float64], second: NDArray[np.float64], seed: int = 0
) -> list[Interval]:
    """Return the mean of `second - first` for each column, with the interval of pairs.

    Row by row, both have the values of the same user. Such an interval is narrower than that of
    two independent means.
    """
    return mean_intervals(second - first, seed=seed)
