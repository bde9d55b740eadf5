"""The command `muniment analyze drift`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

import muniment
from muniment.command import (
    emit,
    generation_filters,
    json_option,
    overwrite_option,
    pass_session,
    progress,
    write_data,
    write_json,
    write_note,
)

if TYPE_CHECKING:
    from muniment_analysis.drift.analysis import DriftReport
    from muniment_analysis.drift.periods import Period, Unit

_FIELDS = ("start", "value", "low", "high", "items", "outputs")
_COLUMNS = (("period", "start"), *((name, name) for name in _FIELDS[1:]))
_TESTS = (("test", "test"), ("result", "result"), ("p", "p"))


@click.command
@click.option(
    "--measure", metavar="NAME", required=True, help="Recorded score, as text-statistics.words."
)
@click.option(
    "--by",
    "unit",
    type=click.Choice(["hour", "day", "week", "month"]),
    default="day",
    show_default=True,
    help="Length of a period. Periods begin in UTC, and weeks on Monday.",
)
@click.option(
    "-o",
    "--output",
    "outputs",
    metavar="FILE",
    multiple=True,
    help="File of the report, as .csv or .json. Can be repeated.",
)
@overwrite_option
@json_option
@generation_filters()
@pass_session
def drift(
    session: muniment.Session,
    measure: str,
    unit: Unit,
    outputs: tuple[str, ...],
    overwrite: bool,
    as_json: bool,
    query: muniment.Query,
) -> None:
    """Report how a recorded score changes over time.

    Each period has the mean of its items with a 95 % interval. Outputs of the same prompt, or of
    the same item of an experiment, are one item. From 5 periods on, a trend is tested, and from 8
    on a change of the level.
    """
    from muniment_analysis.drift import analysis
    from muniment_analysis.pages.csv_table import csv_text
    from muniment_analysis.pages.files import report_files, write_report_files

    files = report_files(outputs, [".csv", ".json"], overwrite=overwrite)
    with progress("reading generations"):
        report = analysis.drift(session.generations(query), measure, unit)
    for warning in report.warnings:
        write_note(f"Warning: {warning}")
    if report.without_score:
        write_note(f"left out {report.without_score:,} generations without the score")
    if as_json:
        write_json(_to_json(report))
    else:
        emit(map(_shown, report.periods), _COLUMNS, as_json=False)
        write_data("")
        emit(_test_rows(report), _TESTS, as_json=False)
    rows = [list(_record(period).values()) for period in report.periods]
    write_report_files(
        files,
        {
            ".csv": lambda: csv_text(_FIELDS, rows),
            ".json": lambda: json.dumps(_to_json(report), ensure_ascii=False, indent=2) + "\n",
        },
    )


def _record(period: Period) -> dict[str, Any]:
    interval = period.interval
    return {
        "start": period.start.isoformat(),
        "value": period.mean,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "items": period.items,
        "outputs": period.outputs,
    }


def _shown(period: Period) -> dict[str, Any]:
    record = _record(period)
    for name in ("value", "low", "high"):
        record[name] = None if record[name] is None else f"{record[name]:.4g}"
    return {**record, "start": f"{period.start:%Y-%m-%d %H:%M}"}


def _test_rows(report: DriftReport) -> Iterator[dict[str, Any]]:
    if report.trend is not None:
        slope = report.trend.slope
        yield {
            "test": f"trend, for each {report.unit}",
            "result": f"{slope.value:.4g} ({slope.low:.4g} to {slope.high:.4g})",
            "p": f"{report.trend.p_value:.4f}",
        }
    if report.change is not None:
        change = report.change
        yield {
            "test": f"change at {report.periods[change.position].start:%Y-%m-%d %H:%M}",
            "result": f"{change.before:.4g} to {change.after:.4g}",
            "p": f"{change.p_value:.4f}",
        }


def _to_json(report: DriftReport) -> dict[str, Any]:
    trend = change = None
    if report.trend is not None:
        trend = {**dataclasses.asdict(report.trend), "slope": report.trend.slope.to_json()}
    if report.change is not None:
        start = report.periods[report.change.position].start.isoformat()
        change = {"start": start, **dataclasses.asdict(report.change)}
    return {
        "measure": report.measure,
        "by": report.unit,
        "periods": [_record(period) for period in report.periods],
        "trend": trend,
        "change": change,
        "without_score": report.without_score,
        "warnings": report.warnings,
    }
