"""The means of a score in periods of time, with intervals from resampled items."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np

from muniment_analysis.intervals import Estimate, Floats, mean_estimate, proportion_estimate
from muniment_analysis.time_zones import TimeZone

Unit = Literal["hour", "day", "week", "month"]


@dataclass(frozen=True)
class Period:
    """The score in a period.

    Attributes:
        start: The beginning, in the time zone of the report.
        index: The number of periods since the first one, which counts those without an output.
        mean: The mean over items of the mean of an item.
        interval: The mean with its 95 % interval, or None for one item.
        items: The number of items.
        outputs: The number of outputs.
    """

    start: datetime
    index: int
    mean: float
    interval: Estimate | None
    items: int
    outputs: int


class PeriodSums:
    """The sums of a score by period and item, so that the memory does not grow with outputs."""

    def __init__(self, unit: Unit, zone: TimeZone) -> None:
        self._unit, self._zone = unit, zone
        # (sum, number of outputs) by item, by beginning of the period
        self._sums: defaultdict[datetime, dict[Hashable, tuple[float, int]]] = defaultdict(dict)
        self._is_binary = True

    def add(self, at: datetime, item: Hashable, value: float) -> None:
        """Add the score of an output at a time. Outputs of one item resemble each other."""
        items = self._sums[_start(at, self._unit, self._zone)]
        total, outputs = items.get(item, (0.0, 0))
        items[item] = total + value, outputs + 1
        self._is_binary &= value in (0.0, 1.0)

    def periods(self) -> list[Period]:
        """Return the periods with an output, in order."""
        starts = sorted(self._sums)
        return [self._period(start, _distance(starts[0], start, self._unit)) for start in starts]

    def _period(self, start: datetime, index: int) -> Period:
        sums = np.array(list(self._sums[start].values()))
        totals, outputs = sums[:, 0], sums[:, 1]
        means = totals / outputs
        mean = float(means.mean())
        interval = self._interval(means) if len(means) > 1 else None
        return Period(start, index, mean, interval, len(means), int(outputs.sum()))

    def _interval(self, means: Floats) -> Estimate:
        return proportion_estimate(means) if self._is_binary else mean_estimate(means)


def _start(at: datetime, unit: Unit, zone: TimeZone) -> datetime:
    """Return the beginning of the period of a time. Weeks begin on Monday."""
    moment = zone.moment(at)
    if unit == "hour":
        return moment.replace(minute=0, second=0, microsecond=0)
    day = moment.date()
    if unit == "week":
        day -= timedelta(days=day.weekday())
    elif unit == "month":
        day = day.replace(day=1)
    return zone.midnight(day)


def _distance(first: datetime, start: datetime, unit: Unit) -> int:
    """Return the number of periods between two beginnings."""
    if unit == "month":
        return 12 * (start.year - first.year) + start.month - first.month
    if unit == "hour":
        return (start - first) // timedelta(hours=1)
    # By dates, because a day on which the offset of a zone changes does not have 24 hours.
    return (start.date() - first.date()).days // {"day": 1, "week": 7}[unit]
