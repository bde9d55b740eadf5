"""Differences of a score between two runs, paired by item."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import Any, Literal

import numpy as np

import muniment
from muniment_analysis.errors import SampleError
from muniment_analysis.intervals import Estimate, Floats, exact_margin, mean_estimate
from muniment_analysis.variance.sample import check_sample

from .pairing import Cell
from .scores import Means, ScoreTable

Finding = Literal["difference", "noise", "negligible", "unclear"]
_AXES = 2  # wording and setting


@dataclass(frozen=True)
class ScoreDifference:
    """The difference of a score, as the second run minus the first.

    Attributes:
        score: The full name of the score.
        measure: The measure of the score.
        first: The mean over the paired items in the first run.
        second: The mean over the paired items in the second run.
        difference: The mean of the differences of the items, with its interval.
        left_out: The items without a pair, with the reason.
        missing: The numbers of outputs without a value of the score, in both runs.
        warnings: Sentences on the basis of the difference.
    """

    score: str
    measure: muniment.Measure
    first: float
    second: float
    difference: Estimate
    left_out: dict[str, str]
    missing: tuple[int, int]
    warnings: tuple[str, ...]

    def finding(self, effect: float | None = None) -> Finding:
        """Return what the interval says.

        It is `negligible` if the interval excludes an `effect` of interest in both directions,
        `difference` if it excludes 0, and `unclear` if it excludes neither. Without an effect, it
        is `noise` if the interval includes 0.
        """
        _, low, high, _ = self.difference
        if effect is not None and -effect < low and high < effect:
            return "negligible"
        if low > 0 or high < 0:
            return "difference"
        return "noise" if effect is None else "unclear"

    def items_for(self, precision: float) -> int:
        """Return about how many items give an interval of this half-width."""
        width = (self.difference.high - self.difference.low) / 2
        return math.ceil(self.difference.n * (width / precision) ** 2)

    def to_json(self, effect: float | None = None) -> dict[str, Any]:
        """Return the numbers and the finding by name."""
        return {
            "score": self.score,
            "a": self.first,
            "b": self.second,
            "difference": self.difference.to_json(),
            "finding": self.finding(effect),
            "better": _is_better(self),
            "left_out": [
                {"item": item, "reason": reason} for item, reason in self.left_out.items()
            ],
            "missing": {"a": self.missing[0], "b": self.missing[1]},
            "warnings": list(self.warnings),
        }


def difference_of(
    first: ScoreTable, second: ScoreTable, score: str, *, allow_incomplete: bool = False
) -> ScoreDifference:
    """Return the difference of a score between two tables.

    Outputs are averaged within cells, and the differences of the cells within items. Items are then
    resampled. Raises SampleError if there are fewer than 10 pairs, or if more than 10 % of the
    items have no pair, unless `allow_incomplete`.
    """
    pairs, left_out = _pairs(first, second, score)
    example = "; ".join(dict.fromkeys(left_out.values()))
    try:
        warnings = check_sample(
            len(pairs), len(left_out), allow_incomplete=allow_incomplete, example=example
        )
    except SampleError as error:
        raise SampleError(
            f"{score}: {error}", complete=error.complete, needed=error.needed
        ) from None
    differences = pairs[:, 1] - pairs[:, 0]
    estimate = mean_estimate(differences)
    rounding = 1e-12 * float(np.abs(pairs).max())
    if estimate.high - estimate.low <= rounding:
        if np.isin(pairs, (0, 1)).all():
            margin = exact_margin(estimate.n)
            estimate = estimate._replace(
                low=max(-1.0, estimate.value - margin), high=min(1.0, estimate.value + margin)
            )
        else:
            warnings.append("all items differ by the same number, so the interval has no width")
    if first.sources[score] != second.sources[score]:
        warnings.append("its evaluator has another version or another model in the second run")
    measure = second.measures.get(score) or muniment.Measure(score)
    mean_first, mean_second = pairs.mean(axis=0).tolist()
    missing = first.missing(score), second.missing(score)
    return ScoreDifference(
        score,
        measure,
        mean_first,
        mean_second,
        estimate,
        left_out,
        missing,
        tuple(warnings),
    )


def sentence(result: ScoreDifference, effect: float | None = None) -> str:
    """Return a sentence on a difference for people."""
    value, low, high, items = result.difference
    interval = f"{low:.3g} to {high:.3g}"
    match result.finding(effect):
        case "negligible":
            return f"{result.score}: the difference is smaller than {effect:g} ({interval})"
        case "noise":
            return f"{result.score}: only noise, because the interval {interval} contains 0"
        case "unclear":
            more = result.items_for(effect or 0.0)
            return (
                f"{result.score}: unclear, because the interval {interval} contains 0 and "
                f"{effect:g}; use about {more:,} items instead of {items:,}"
            )
        case _:
            word = {True: "better", False: "worse", None: "different"}[_is_better(result)]
            return f"{result.score}: the second run is {word} by {abs(value):.3g} ({interval})"


def _is_better(result: ScoreDifference) -> bool | None:
    """Return whether the second run is better, or None if that is not known."""
    direction, value = result.measure.higher_is_better, result.difference.value
    if direction is None or result.difference.low <= 0 <= result.difference.high:
        return None
    return (value > 0) == direction


# ---- pairs -------------------------------------------------------------------------------------


def _pairs(first: ScoreTable, second: ScoreTable, score: str) -> tuple[Floats, dict[str, str]]:
    """Return the means of paired items in both runs [items, 2], and the items without a pair."""
    pairs, left_out = array("d"), {}
    for item, cells in _joined(first, second):
        means = first.means(score, cells[0]), second.means(score, cells[1])
        if pair := _pair(*means):
            pairs.extend(pair)
        else:
            left_out[item] = _reason(cells, means)
    return np.frombuffer(pairs).reshape(-1, 2) if pairs else np.empty((0, 2)), left_out


def _joined(
    first: ScoreTable, second: ScoreTable
) -> Iterator[tuple[str, tuple[list[Cell], list[Cell]]]]:
    """Yield the items of both tables with their cells in each, which may be empty."""
    tagged = [(cell, number) for number, table in enumerate((first, second)) for cell in table]
    tagged.sort()
    for item, group in groupby(tagged, key=lambda pair: pair[0].item):
        cells: tuple[list[Cell], list[Cell]] = ([], [])
        for cell, number in group:
            cells[number].append(cell)
        yield item, cells


def _pair(first: Means, second: Means) -> tuple[float, float] | None:
    """Return the means of an item over the cells that both runs have."""
    for axis in range(_AXES):
        if not {place[axis] for place in first} & {place[axis] for place in second}:
            first, second = _without(axis, first), _without(axis, second)
    common = [place for place in first if place in second]
    if not common:
        return None
    return fmean(first[place] for place in common), fmean(second[place] for place in common)


def _without(axis: int, means: Means) -> Means:
    """Return the means over an axis of which the runs have no level in common."""
    groups: dict[tuple[str, str], list[float]] = {}
    for (wording, setting), mean in means.items():
        place = ("", setting) if axis == 0 else (wording, "")
        groups.setdefault(place, []).append(mean)
    return {place: fmean(values) for place, values in groups.items()}


def _reason(cells: tuple[list[Cell], list[Cell]], means: tuple[Means, Means]) -> str:
    """Return why an item has no pair."""
    for name, present in zip("AB", cells, strict=True):
        if not present:
            return f"not in {name}"
    for name, values in zip("AB", means, strict=True):
        if not values:
            return f"no value in {name}"
    return "no wording and setting in both"
