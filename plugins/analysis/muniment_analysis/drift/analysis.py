"""Read a score of recorded generations, and report its drift."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np

import muniment
from muniment_analysis.controllability.measures import parse_measure
from muniment_analysis.errors import SampleError
from muniment_analysis.time_zones import TimeZone

from .periods import Period, PeriodSums, Unit
from .trend import CHANGE_PERIODS, TREND_PERIODS, Change, Trend, change, trend


@dataclass(frozen=True)
class DriftReport:
    """The drift of a score.

    Attributes:
        measure: The evaluator and the measure.
        unit: The length of a period.
        zone: The time zone of the periods.
        periods: The periods with an output, in order.
        trend: A change in one direction, or None for too few periods.
        change: A change of the level, or None for too few periods.
        without_score: The number of generations without the score or with a failed one.
        warnings: Sentences about a weak basis.
    """

    measure: str
    unit: Unit
    zone: TimeZone
    periods: list[Period]
    trend: Trend | None
    change: Change | None
    without_score: int
    warnings: list[str]

    @property
    def time_zone(self) -> str:
        """The time zone with its offsets at the periods, such as `Asia/Shanghai (UTC+8)`."""
        return self.zone.name(*(period.start for period in self.periods))


def drift(
    generations: Iterable[muniment.Generation],
    measure: str,
    unit: Unit,
    *,
    local_days: bool = False,
) -> DriftReport:
    """Return the drift of a measure, such as `characters` or `text-statistics.characters`.

    Periods begin in UTC, or with `local_days` in the time zone of the process. Raises UsageError if
    several evaluators have the measure, and SampleError for fewer than 2 periods.
    """
    zone = TimeZone(local_days)
    series = _Series(measure, unit, zone)
    for generation in generations:
        series.add(generation)
    if len(series.names) > 1:
        names = " or ".join(sorted(series.names))
        raise muniment.UsageError(f"several evaluators have the measure {measure!r}; use {names}")
    periods = series.sums.periods()
    if len(periods) < 2:
        raise SampleError(
            f"drift needs the measure {measure!r} in at least 2 periods, not {len(periods)}; "
            "use shorter periods, or other filters",
            complete=len(periods),
            needed=2,
        )
    means = np.array([period.mean for period in periods])
    times = np.array([float(period.index) for period in periods])
    [name] = series.names
    return DriftReport(
        measure=name,
        unit=unit,
        zone=zone,
        periods=periods,
        trend=trend(times, means),
        change=change(means),
        without_score=series.without_score,
        warnings=[*series.warnings(), *_warnings(periods)],
    )


class _Series:
    """The scores of generations, and the versions that they were made with."""

    def __init__(self, measure: str, unit: Unit, zone: TimeZone) -> None:
        self.sums = PeriodSums(unit, zone)
        self.names: set[str] = set()
        self.without_score = 0
        self._measure, self._zone = measure, zone
        self._spec = parse_measure(measure) if "." in measure else None
        # The time of the first score by version, of the evaluator and of the generation's model.
        self._firsts: dict[str, dict[Hashable, datetime]] = {"evaluator": {}, "model": {}}

    def add(self, generation: muniment.Generation) -> None:
        """Add the scores of a generation."""
        at = generation.started_at
        has_score = False
        for score in filter(self._accepts, generation.newest_scores):
            if score.value is None:
                continue
            has_score = True
            self.names.add(f"{score.evaluator}.{score.name}")
            self.sums.add(at, _item(generation), score.value)
            self._note("evaluator", (score.version, *score.models.values()), at)
            self._note("model", generation.model and generation.model.digest, at)
        self.without_score += not has_score

    def warnings(self) -> Iterator[str]:
        """Yield a sentence for each version after the first one."""
        for kind, firsts in self._firsts.items():
            for earlier, later in pairwise(sorted(firsts.values())):
                if earlier != later:
                    yield (
                        f"another version of the {kind} gave values from "
                        f"{self._zone.full_text(later)} on, so a difference may be that of the "
                        "versions"
                    )

    def _accepts(self, score: muniment.Score) -> bool:
        return score.name == self._measure if self._spec is None else self._spec.accepts(score)

    def _note(self, kind: str, version: Hashable, at: datetime) -> None:
        firsts = self._firsts[kind]
        firsts[version] = min(firsts.get(version, at), at)


def _item(generation: muniment.Generation) -> Hashable:
    """Return what the outputs of one item have in common: its place in a run, or the prompt."""
    if generation.cell is not None:
        return generation.run_id, generation.cell.item
    if "prompt" in (*generation.erased, *generation.altered):
        return generation.id
    # A digest, so that the memory does not grow with the prompts.
    return hashlib.blake2b(generation.prompt.encode("utf-8", "replace"), digest_size=16).digest()


def _warnings(periods: list[Period]) -> Iterator[str]:
    number = len(periods)
    single = sum(period.interval is None for period in periods)
    if single:
        yield f"{single} of {number} periods have one item and no interval; use longer periods"
    if number < TREND_PERIODS:
        yield f"a test for a trend needs at least {TREND_PERIODS} periods, not {number}"
    if number < CHANGE_PERIODS:
        yield f"a test for a change of the level needs at least {CHANGE_PERIODS}, not {number}"
