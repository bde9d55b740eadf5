"""Differences of a score between two runs, paired by item."""

from __future__ import annotations

import heapq
import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import Any, Literal, NamedTuple

import numpy as np

import muniment
from muniment_analysis.errors import AnalysisError, MixedVersionsError, SampleError
from muniment_analysis.intervals import Estimate, Floats, exact_margin, mean_estimates
from muniment_analysis.variance.sample import check_sample, size_warnings

from .pairing import Cell
from .scores import Means, ScoreTable

Finding = Literal["difference", "noise", "negligible", "unclear"]
_AXES = 2  # paraphrase and setting
_NAMED = 3  # items in a sentence


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
        warnings: Sentences on the basis of the difference, apart from the items without a pair.
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

    def all_warnings(self) -> Iterator[str]:
        """Yield a sentence with the first items without a pair, and the warnings."""
        if self.left_out:
            names = [f"{item} ({reason})" for item, reason in self.left_out.items()]
            more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
            yield (
                f"items without a pair: {len(names):,} of {len(names) + self.difference.n:,}, "
                f"which are {'; '.join(names[:_NAMED])}{more}"
            )
        yield from self.warnings

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
            "warnings": list(self.all_warnings()),
        }


def differences_of(
    first: ScoreTable, second: ScoreTable, scores: Sequence[str], *, allow_incomplete: bool = False
) -> tuple[list[ScoreDifference], list[AnalysisError]]:
    """Return the differences of scores, and the errors of those without a basis.

    Outputs are averaged within cells, and the differences of the cells within items. Items are then
    resampled. The values of a run must be of one version of the evaluator. A score needs at least
    10 pairs. At most 10 % of the items may have no pair, unless
    `allow_incomplete`.
    """
    errors: list[AnalysisError] = [
        MixedVersionsError(score, f"of the {run} run", table.sources[score])
        for score in scores
        for run, table in (("first", first), ("second", second))
        if len(table.sources[score]) > 1
    ]
    mixed = {error.score for error in errors if isinstance(error, MixedVersionsError)}
    pairs = _pairs(first, second, [score for score in scores if score not in mixed])
    warnings: dict[str, list[str]] = {}
    for score, (values, left_out) in pairs.items():
        example = "; ".join(dict.fromkeys(left_out.values()))
        try:
            check_sample(
                len(values), len(left_out), allow_incomplete=allow_incomplete, example=example
            )
            warnings[score] = size_warnings(len(values))
        except SampleError as error:
            message = f"{score}: {error}"
            errors.append(SampleError(message, complete=error.complete, needed=error.needed))
    estimates = _estimates({score: pairs[score] for score in warnings})
    differences = [
        _difference(first, second, score, pairs[score], estimate, warnings[score])
        for score, estimate in estimates.items()
    ]
    return differences, errors


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
            return (
                f"{result.score}: the second run is {word} by {abs(value):.3g} "
                f"({interval}){_beside_effect(result.difference, effect)}"
            )


def _beside_effect(difference: Estimate, effect: float | None) -> str:
    """Return how a difference that is not 0 compares with an effect of interest."""
    if effect is None:
        return ""
    if max(difference.low, -difference.high) > effect:
        return f", which is more than {effect:g}"
    return f", which may be less or more than {effect:g}"


def _is_better(result: ScoreDifference) -> bool | None:
    """Return whether the second run is better, or None if that is not known."""
    direction, value = result.measure.higher_is_better, result.difference.value
    if direction is None or result.difference.low <= 0 <= result.difference.high:
        return None
    return (value > 0) == direction


def _difference(
    first: ScoreTable,
    second: ScoreTable,
    score: str,
    pairs: _Pairs,
    estimate: Estimate,
    warnings: list[str],
) -> ScoreDifference:
    values = pairs.values
    rounding = 1e-12 * float(np.abs(values).max())
    if estimate.high - estimate.low <= rounding:
        if np.isin(values, (0, 1)).all():
            margin = exact_margin(estimate.n)
            estimate = estimate._replace(
                low=max(-1.0, estimate.value - margin), high=min(1.0, estimate.value + margin)
            )
        else:
            warnings.append("all items differ by the same number, so the interval has no width")
    if first.sources[score].keys() != second.sources[score].keys():
        warnings.append("its evaluator has another version or another model in the second run")
    mean_first, mean_second = values.mean(axis=0).tolist()
    return ScoreDifference(
        score,
        second.measures.get(score) or muniment.Measure(score),
        mean_first,
        mean_second,
        estimate,
        pairs.left_out,
        (first.missing(score), second.missing(score)),
        tuple(warnings),
    )


def _estimates(pairs: dict[str, _Pairs]) -> dict[str, Estimate]:
    """Return the mean difference of each score. Scores of the same items are resampled at once."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for score, one in pairs.items():
        groups.setdefault(tuple(one.left_out), []).append(score)
    estimates: dict[str, Estimate] = {}
    for scores in groups.values():
        rows = np.column_stack([np.diff(pairs[score].values).ravel() for score in scores])
        estimates |= dict(zip(scores, mean_estimates(rows), strict=True))
    return {score: estimates[score] for score in pairs}


# ---- pairs -------------------------------------------------------------------------------------


class _Pairs(NamedTuple):
    """The means of paired items in both runs [items, 2], and why other items have no pair."""

    values: Floats
    left_out: dict[str, str]


def _pairs(first: ScoreTable, second: ScoreTable, scores: Sequence[str]) -> dict[str, _Pairs]:
    """Return the pairs of each score, in the order of their items."""
    values = {score: array("d") for score in scores}
    left_out: dict[str, dict[str, str]] = {score: {} for score in scores}
    for item, cells in _joined(first, second):
        for score in scores:
            means = first.means(score, cells[0]), second.means(score, cells[1])
            if pair := _pair(*means):
                values[score].extend(pair)
            else:
                left_out[score][item] = _reason(cells, means)
    return {
        score: _Pairs(np.array(values[score]).reshape(-1, 2), left_out[score]) for score in scores
    }


def _joined(
    first: ScoreTable, second: ScoreTable
) -> Iterator[tuple[str, tuple[list[Cell], list[Cell]]]]:
    """Yield the items of both tables with their cells in each, which may be empty."""
    cells = heapq.merge(sorted(first), sorted(second))
    for item, group in groupby(cells, key=lambda cell: cell.item):
        distinct = list(dict.fromkeys(group))
        in_first = [cell for cell in distinct if cell in first]
        in_second = [cell for cell in distinct if cell in second]
        yield item, (in_first, in_second)


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
    for (paraphrase, setting), mean in means.items():
        place = ("", setting) if axis == 0 else (paraphrase, "")
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
    return "no paraphrase and setting in both"
