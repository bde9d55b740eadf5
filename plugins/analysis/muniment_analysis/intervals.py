"""Values with their 95 % intervals: the bootstrap over items, and exact ones for proportions.

The outputs of an item resemble each other, so items are resampled and never single outputs. The
explanation of the formulas is in docs/explanation/controllability.md.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtr, stdtrit

from muniment_analysis.errors import SampleError, ValuesError

Floats = NDArray[np.float64]

RESAMPLES = 2000
_TAIL = 0.025
_NORMAL = 1.959963984540054
_BLOCK = 500_000  # draws at a time, so that memory does not depend on the number of items


class Estimate(NamedTuple):
    """A value with the bounds of its 95 % interval, and the number of items that it is based on."""

    value: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return self._asdict()


def resampled_means(rows: Floats, *, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """Return the means of the columns of rows [items, columns] for items drawn with repetition.

    The result is [resamples, columns]. Equal numbers of items have equal draws, so the resampled
    means of two analyses of the same items can be compared. Raises ValuesError for a value that is
    not finite.
    """
    items = len(rows)
    if not np.isfinite(rows).all():
        raise ValuesError("a value is not a finite number; correct it, or leave its item out")
    generator = np.random.default_rng(seed)
    means = np.empty((resamples, rows.shape[1]))
    step = max(1, _BLOCK // items)
    for start in range(0, resamples, step):
        block = means[start : start + step]
        drawn = generator.integers(items, size=(len(block), items), dtype=np.uint32)
        # One bincount for all resamples: those of resample b are counted from b * items on.
        places = drawn + (np.arange(len(block)) * items)[:, None]
        counts = np.bincount(places.ravel(), minlength=len(block) * items)
        block[:] = counts.reshape(len(block), items) @ rows / items
    return means


def expanded_tail(items: int) -> float:
    """Return the share of resamples beyond each bound of a 95 % interval.

    The plain percentiles are too narrow for few items I. Resampled means vary less than means do,
    by the factor (I − 1)/I. They also lack the wider tails of Student's t. The expanded percentile
    of Hesterberg 2015 corrects both, with the tail Φ(−√(I/(I − 1)) t).
    """
    if items < 2:
        raise SampleError("an interval needs at least 2 items; add items", complete=items, needed=2)
    t = -stdtrit(items - 1, _TAIL)
    return float(ndtr(-math.sqrt(items / (items - 1)) * t))


def bootstrap_estimates(values: Floats, samples: Floats, items: int) -> list[Estimate]:
    """Return values [columns] with the intervals of their resampled values [resamples, columns].

    An interval always contains its value, also where rounding or the bias of a resample would
    exclude it.
    """
    tail = expanded_tail(items)
    lows, highs = np.quantile(samples, [tail, 1 - tail], axis=0)
    return [
        Estimate(value, min(value, low), max(value, high), items)
        for value, low, high in zip(values.tolist(), lows.tolist(), highs.tolist(), strict=True)
    ]


def mean_estimates(rows: Floats) -> list[Estimate]:
    """Return the mean of each column of rows [items, columns] with its interval."""
    return bootstrap_estimates(rows.mean(axis=0), resampled_means(rows), len(rows))


def mean_estimate(values: Floats) -> Estimate:
    """Return the mean of one value an item with its interval."""
    return mean_estimates(np.asarray(values, dtype=np.float64)[:, None])[0]


def proportion_estimate(values: Floats) -> Estimate:
    """Return the mean of one proportion an item, from 0 to 1, with its interval.

    The bootstrap of items that are all 0, or all 1, has a width of 0. They get the exact interval
    of Clopper and Pearson 1934 for independent items.
    """
    estimate = mean_estimate(values)
    margin = exact_margin(estimate.n)
    if np.all(np.asarray(values) == 0):
        return estimate._replace(high=margin)
    if np.all(np.asarray(values) == 1):
        return estimate._replace(low=1 - margin)
    return estimate


def exact_margin(items: int) -> float:
    """Return the width of the exact interval of a proportion that is 0 or 1 in all items."""
    return float(1 - _TAIL ** (1 / items))


def wilson_estimate(successes: int, n: int) -> Estimate:
    """Return the proportion of successes in `n` independent outputs, one an item.

    The interval is that of Wilson 1927. Repeated outputs of an item are not independent: use
    `proportion_estimate` for them.
    """
    if n < 1:
        raise SampleError("a proportion needs at least 1 output", complete=n, needed=1)
    square = _NORMAL**2
    share = successes / n
    middle = (share + square / (2 * n)) / (1 + square / n)
    variance = share * (1 - share) / n + square / (4 * n * n)
    half_width = _NORMAL * math.sqrt(variance) / (1 + square / n)
    # Without rounding, the bounds are exactly 0 and 1 at the ends.
    low = 0.0 if successes == 0 else max(0.0, middle - half_width)
    high = 1.0 if successes == n else min(1.0, middle + half_width)
    return Estimate(share, low, high, n)


def exact_estimate(successes: int, n: int) -> Estimate:
    """Return the proportion of successes in `n` independent trials with its exact interval.

    It is that of Clopper and Pearson 1934, which covers at least 95 %.
    """
    if n < 1:
        raise SampleError("a proportion needs at least 1 trial", complete=n, needed=1)
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, _TAIL))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - _TAIL))
    return Estimate(successes / n, low, high, n)


def bound_of_none(n: int) -> float:
    """Return the 95 % upper bound of a proportion of which none was seen in `n` outputs.

    It solves (1 − p)ⁿ = 0.05, which is about 3/n. Without an output, it is 1.
    """
    return 1.0 if n == 0 else 1 - 0.05 ** (1 / n)
