"""`muniment analyze drift`: periods, tests with known answers, and series without a basis."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

import muniment
from muniment.generation import pipeline, requests
from muniment.plugins.discovery import Plugin
from muniment.testing import CommandContract, run_command
from muniment_analysis.commands import analyze
from muniment_analysis.commands.drift import drift as command
from muniment_analysis.drift.analysis import drift
from muniment_analysis.drift.report_page import html
from muniment_analysis.drift.trend import change, trend
from muniment_analysis.errors import SampleError
from support.commands import Processes
from support.generations import completed
from support.plugins import PluginFolder

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def score(value: float | None, **fields: Any) -> muniment.Score:
    values = {"evaluator": "judge", "version": "1", "name": "quality", **fields}
    return muniment.Score(value=value, **values)


def generation(
    number: int, at: datetime, *scores: muniment.Score, prompt: str | None = None, **fields: Any
) -> muniment.Generation:
    prompt = f"prompt {number}" if prompt is None else prompt
    return completed(id=f"G{number}", prompt=prompt, started_at=at, scores=scores, **fields)


def series(days: Sequence[Sequence[float]], step: timedelta = DAY) -> list[muniment.Generation]:
    """Return generations with these scores on each day, each with a prompt of its own."""
    values = [(day, value) for day, row in enumerate(days) for value in row]
    return [
        generation(number, START + day * step, score(value))
        for number, (day, value) in enumerate(values)
    ]


def test_each_period_has_the_mean_of_its_items() -> None:
    report = drift(series([[1, 2, 6], [4, 4]]), "quality", "day")
    first, second = report.periods
    assert (first.mean, first.items, first.outputs) == (3, 3, 3)
    assert first.interval is not None
    assert first.interval.low < 3 < first.interval.high
    assert (second.mean, second.index) == (4, 1)
    assert second.start == datetime(2026, 2, 1, tzinfo=UTC)
    assert report.measure == "judge.quality"


def test_outputs_of_one_prompt_are_one_item() -> None:
    """Rows of one item that are taken for independent ones make an interval too narrow."""
    one = [generation(n, START, score(n % 2), prompt="same") for n in range(20)]
    more = [generation(n, START + DAY, score(2), prompt="other") for n in range(20)]
    first, second = drift([*one, *more], "quality", "day").periods
    assert (first.items, first.outputs, first.mean, first.interval) == (1, 20, 0.5, None)
    assert second.items == 1


def test_paraphrases_of_an_experiment_are_one_item() -> None:
    rows = [
        generation(n, START + day * DAY, score(n), cell=muniment.Cell(n // 2, n % 2, 0, 0))
        for day in range(2)
        for n in range(8)
    ]
    assert [period.items for period in drift(rows, "quality", "day").periods] == [4, 4]


def test_erased_prompts_are_items_of_their_own() -> None:
    rows = [
        generation(n, START + (n % 2) * DAY, score(1.5), prompt="", erased=("prompt",))
        for n in range(6)
    ]
    assert [period.items for period in drift(rows, "quality", "day").periods] == [3, 3]


@pytest.mark.parametrize(("value", "low", "high"), [(0.0, 0.0, 0.168), (1.0, 0.832, 1.0)])
def test_0_or_20_of_20_have_an_interval_with_a_width(value: float, low: float, high: float) -> None:
    report = drift(series([[value] * 20, [0, 1] * 10]), "quality", "day")
    interval = report.periods[0].interval
    assert interval is not None
    assert interval[:3] == pytest.approx((value, low, high), abs=1e-3)


@pytest.mark.parametrize(
    ("unit", "step", "starts"),
    [
        ("hour", timedelta(hours=2), ["2026-01-31T12", "2026-01-31T14"]),
        ("week", timedelta(days=2), ["2026-01-26T00", "2026-02-02T00"]),
        ("month", DAY, ["2026-01-01T00", "2026-02-01T00"]),
    ],
)
def test_periods_begin_in_utc(unit: Any, step: timedelta, starts: list[str]) -> None:
    zone = START.astimezone().tzinfo
    rows = [generation(n, (START + n * step).astimezone(zone), score(n)) for n in range(2)]
    report = drift(rows, "quality", unit)
    assert [f"{period.start:%Y-%m-%dT%H}" for period in report.periods] == starts


@pytest.mark.parametrize(
    ("zone", "first", "starts"),
    [
        # Monday 07:30 in Shanghai is a Sunday in UTC.
        ("Asia/Shanghai", "2026-11-22T23:30", ["2026-11-23T00:00+08:00", "2026-11-30T00:00+08:00"]),
        # The clock goes back in the week between.
        ("Europe/Berlin", "2026-10-18T22:30", ["2026-10-19T00:00+02:00", "2026-10-26T00:00+01:00"]),
    ],
)
def test_local_weeks_begin_at_the_local_midnight(
    set_zone: Callable[[str], None], zone: str, first: str, starts: list[str]
) -> None:
    set_zone(zone)
    at = datetime.fromisoformat(f"{first}+00:00")
    rows = [generation(n, at + n * timedelta(days=7, hours=1), score(n)) for n in range(2)]
    report = drift(rows, "quality", "week", local_days=True)
    assert [period.start.isoformat(timespec="minutes") for period in report.periods] == starts
    assert [period.index for period in report.periods] == [0, 1]
    assert report.time_zone.startswith(f"{zone} (UTC+")
    assert report.time_zone in html(report)


def test_a_day_with_a_change_of_the_clock_is_one_period(set_zone: Callable[[str], None]) -> None:
    set_zone("Europe/Berlin")
    midnight = datetime.fromisoformat("2026-10-24T22:00+00:00")  # a day of 25 hours
    rows = [
        generation(n, midnight + timedelta(hours=hours), score(n))
        for n, hours in enumerate((-1, 0, 24, 25))
    ]
    periods = drift(rows, "quality", "day", local_days=True).periods
    assert [(period.index, period.outputs) for period in periods] == [(0, 1), (1, 2), (2, 1)]


def test_a_trend_has_the_slope_of_a_period_also_with_a_gap() -> None:
    days: list[list[float]] = [[day, day + 1.0, day + 2.0] for day in range(10)]
    days[4] = []
    report = drift(series(days), "quality", "day")
    assert report.trend is not None
    assert report.trend.slope.value == pytest.approx(1)
    assert report.trend.tau == pytest.approx(1)
    # exact: 2 of 9! orders
    assert report.trend.p_value == pytest.approx(2 / 362_880)


def test_a_change_of_the_level_is_found_where_it_is() -> None:
    days = [[5 + n % 3 / 10, 5.2] for n in range(6)] + [[3 + n % 3 / 10, 3.2] for n in range(6)]
    report = drift(series(days), "quality", "day")
    assert report.change is not None
    assert report.change.position == 6
    assert report.change.before == pytest.approx(5.15)
    assert report.change.after == pytest.approx(3.15)
    assert report.change.p_value < 0.01


def test_noise_alone_is_significant_in_a_twentieth_of_the_series() -> None:
    random = np.random.default_rng(3)
    times = np.arange(12.0)
    trends = changes = 0
    for _ in range(300):
        means = random.normal(size=12)
        found = trend(times, means)
        trends += found is not None and found.p_value < 0.05
    for _ in range(60):
        level = change(random.normal(size=12))
        changes += level is not None and level.p_value < 0.05
    assert 3 <= trends <= 27
    assert changes <= 9


def test_equal_means_have_neither_trend_nor_change() -> None:
    report = drift(series([[2.0, 2.0]] * 9), "quality", "day")
    assert report.trend is not None
    assert report.change is not None
    assert (report.trend.slope.value, report.trend.p_value) == (0, 1)
    assert report.change.p_value == 1


@pytest.mark.parametrize(("days", "has_trend", "has_change"), [(4, 0, 0), (5, 1, 0), (8, 1, 1)])
def test_too_few_periods_have_no_test_and_a_warning(
    days: int, has_trend: bool, has_change: bool
) -> None:
    report = drift(series([[n, n + 1.5] for n in range(days)]), "quality", "day")
    assert (report.trend is not None) == has_trend
    assert (report.change is not None) == has_change
    assert len(report.warnings) == 2 - has_trend - has_change


def test_a_new_version_of_the_evaluator_or_of_the_model_is_a_warning() -> None:
    rows = series([[n, n + 1.0] for n in range(8)])
    later = [
        generation(100 + n, START + n * DAY, score(1, version="2", models={"model": "ff"}))
        for n in range(5, 8)
    ]
    [warning] = drift([*rows, *later], "quality", "day").warnings
    assert "2026-02-05 12:00 UTC" in warning
    assert "evaluator" in warning


def test_one_period_is_refused_with_the_number_needed() -> None:
    with pytest.raises(SampleError) as refusal:
        drift(series([[1, 2, 3]]), "quality", "day")
    assert (refusal.value.complete, refusal.value.needed) == (1, 2)


def test_scores_without_a_value_are_counted_and_left_out() -> None:
    rows = [
        *series([[1, 2], [3, 4]]),
        generation(50, START, score(None, failure="it failed")),
        generation(51, START),
    ]
    report = drift(rows, "judge.quality", "day")
    assert report.without_score == 2
    assert [period.outputs for period in report.periods] == [2, 2]


def test_a_later_score_replaces_an_earlier_one() -> None:
    rows = [
        generation(n, START + n * DAY, score(1), added_scores=(score(3), score(5)))
        for n in range(2)
    ]
    assert [period.mean for period in drift(rows, "quality", "day").periods] == [5, 5]


def test_a_score_of_several_evaluators_is_refused_with_their_names() -> None:
    rows = [generation(n, START + n * DAY, score(1), score(2, evaluator="other")) for n in range(2)]
    with pytest.raises(muniment.UsageError, match=r"judge\.quality or other\.quality"):
        drift(rows, "quality", "day")
    assert drift(rows, "other.quality", "day").periods[0].mean == 2


@pytest.fixture
def session(
    home: Path, plugin_folder: PluginFolder, monkeypatch: pytest.MonkeyPatch
) -> Iterator[muniment.Session]:
    """A session with the records of nine days, whose texts grow by a word a day."""
    plugin_folder.generator("echo", "for r in requests: yield r.reply(Text(r.prompt))")
    analysis = Plugin("muniment-analysis", "0.1.0", "analysis", "muniment_analysis.plugin")
    plugin_folder.all.append(analysis)
    with muniment.Session(home, plugins=plugin_folder.plugins()) as session:
        for day in range(9):
            for module in (pipeline, requests):
                monkeypatch.setattr(module, "now", lambda day=day: START + day * DAY)
            for item in range(3):
                text = f"item {item}" + " word" * day
                session.generate(text, generator="echo", policy="none")
        yield session


def test_records_have_a_trend(session: muniment.Session, tmp_path: Path) -> None:
    target = tmp_path / "drift.csv"
    arguments = ["drift", "--measure", "text-statistics.words", "--json", "-o", str(target)]
    result = run_command(analyze, *arguments, session=session)
    assert result.code == 0, result.stderr
    (report,) = result.json
    assert [period["value"] for period in report["periods"]] == list(range(2, 11))
    assert report["trend"]["slope"] == {"value": 1.0, "low": 1.0, "high": 1.0, "n": 9}
    assert report["trend"]["p_value"] < 0.001
    assert report["change"]["p_value"] < 0.05
    with target.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["value"]) for row in rows] == list(range(2, 11))


def test_filters_and_a_json_file_work_together(session: muniment.Session, tmp_path: Path) -> None:
    target = tmp_path / "drift.json"
    arguments = ["drift", "--measure", "characters", "--generator", "echo", "-o", str(target)]
    arguments += ["-o", str(tmp_path / "drift.html")]
    result = run_command(analyze, *arguments, session=session)
    assert result.code == 0, result.stderr
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert len(lines) == 9 + 1 + 2
    assert lines[0][1:] == ["6", "6", "6", "3", "3"]
    assert json.loads(target.read_text())["measure"] == "text-statistics.characters"
    assert "Drift of text-statistics.characters" in (tmp_path / "drift.html").read_text()
    nothing = run_command(analyze, *arguments[:3], "--generator", "other", session=session)
    assert nothing.code == 2


def test_the_page_is_self_contained_and_escapes_names(tmp_path: Path) -> None:
    rows = [
        generation(n, START + n * DAY, score(n, evaluator="j", name="<script>1</script>"))
        for n in range(9)
    ]
    page = html(drift(rows, "<script>1</script>", "day"))
    assert "<script" not in page
    assert "&lt;script" in page
    assert page.count("<svg") == 1
    assert "change at" in page
    assert "9 of 9 periods have one item" in page


class TestDrift(CommandContract):
    command = command
    arguments: ClassVar = ("--measure", "quality", "--by", "day")

    @pytest.fixture
    def session(self) -> Any:
        return SimpleNamespace(generations=lambda query: series([[1, 2, 6], [4, 4]]))


def test_without_a_record_it_is_refused(tmp_path: Path) -> None:
    processes = Processes(tmp_path, tmp_path / "home")
    result = processes.on_terminal("analyze", "drift", "--measure", "words")
    assert result.code == 2
    assert "nothing is recorded" in result.out
