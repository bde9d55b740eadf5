"""The smallest numbers of items for an interval of a given half-width, or for a given power."""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.special import chdtri, nctdtr, stdtrit

import muniment
from muniment_analysis.intervals import wilson_estimate

MOST_ITEMS = 10_000_000
_CONFIDENCE = 0.975


def items_for_mean(variance: float, precision: float) -> int:
    """Return the items whose mean has a 95 % interval of `value ± precision`.

    `variance` is that of the values of items. The interval is that of Student's t, so at least 2
    items are needed. Raises UsageError if more than 10 million are.
    """

    def is_enough(items: int) -> bool:
        half_width = stdtrit(items - 1, _CONFIDENCE) * math.sqrt(variance / items)
        return bool(half_width <= precision * (1 + 1e-12))

    return _smallest(2, is_enough)


def items_for_proportion(expected: float, precision: float) -> int:
    """Return the independent outputs for which the interval of Wilson has a half-width.

    `expected` is the expected proportion. It is rounded to a whole number of successes.
    """

    def is_enough(items: int) -> bool:
        estimate = wilson_estimate(round(expected * items), items)
        return (estimate.high - estimate.low) / 2 <= precision

    return _smallest(2, is_enough)


def items_for_effect(variance: float, effect: float, power: float) -> int:
    """Return the items for which a paired t test at 5 % finds a mean difference.

    `variance` is that of the differences of items, `effect` their true mean, and `power` the
    probability that the test finds it.
    """

    def is_enough(items: int) -> bool:
        if variance == 0:
            return True
        shift = effect / math.sqrt(variance / items)
        bound = stdtrit(items - 1, _CONFIDENCE)
        return bool(1 - nctdtr(items - 1, shift, bound) >= power)

    return _smallest(2, is_enough)


def cautious_variance(variance: float, items: int) -> float:
    """Return the upper 80 % bound of a variance that was estimated from a pilot of some items.

    A plan with the estimate itself is too small in about half of all cases (Browne 1995).
    """
    degrees = items - 1
    return variance * degrees / float(chdtri(degrees, 0.8))


def _smallest(least: int, is_enough: Callable[[int], bool]) -> int:
    """Return the smallest number from `least` on that is enough, as all larger ones are."""
    high = least
    while not is_enough(high):
        high *= 2
        if high > MOST_ITEMS:
            raise muniment.UsageError(
                f"this needs more than {MOST_ITEMS:,} items; use a larger precision or effect"
            )
    low = max(least - 1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        if is_enough(middle):
            high = middle
        else:
            low = middle
    return high
