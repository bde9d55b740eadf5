"""The command `muniment analyze drift`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

import muniment
from muniment.command import (
    emit,
    generation_filters,
    headers_option,
    json_option,
    no_match,
    overwrite_option,
    pass_session,
    pluralize,
    progress,
    write_data,
    write_json,
    write_note,
)

if TYPE_CHECKING:
    from muniment_analysis.drift.analysis import DriftReport
    from muniment_analysis.drift.periods import Unit

_COLUMNS = (
    ("period", "start"),
    *((name, name) for name in ("value", "low", "high", "items", "outputs")),
)
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
    help="Length of a period, in local time, or in UTC with TZ=UTC. Weeks begin on Monday.",
)
@click.option(
    "-o",
    "--output",
    "outputs",
    metavar="FILE",
    multiple=True,
    help="File of the report, as .html with a plot, .csv or .json. Can be repeated.",
)
@overwrite_option
@headers_option
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
    from muniment_analysis.drift.report_json import to_json
    from muniment_analysis.pages.files import json_text, report_files, write_report_files

    files = report_files(outputs, [".html", ".csv", ".json"], overwrite=overwrite)
    with progress("reading generations"):
        generations = iter(session.generations(query))
        if (newest := next(generations, None)) is None:
            raise muniment.UsageError(no_match(session, query))
        report = analysis.drift(chain([newest], generations), measure, unit, local_days=True)
    for warning in report.warnings:
        write_note(f"Warning: {warning}")
    if report.without_score:
        write_note(f"left out {pluralize(report.without_score, 'generation')} without the score")
    if as_json:
        write_json(to_json(report))
    else:
        write_note(f"periods in {report.time_zone}")
        emit(_period_rows(report), _COLUMNS, as_json=False)
        write_data("")
        emit(_test_rows(report), _TESTS, as_json=False)
    if files:
        from muniment_analysis.drift import report_page

        write_report_files(
            files,
            {
                ".html": lambda: report_page.html(report),
                ".csv": lambda: report_page.csv(report),
                ".json": lambda: json_text(to_json(report)),
            },
        )


def _period_rows(report: DriftReport) -> Iterator[dict[str, Any]]:
    from muniment_analysis.drift.report_json import period_record

    for period in report.periods:
        record = period_record(period)
        for name in ("value", "low", "high"):
            record[name] = None if record[name] is None else f"{record[name]:.4g}"
        yield {**record, "start": f"{period.start:%Y-%m-%d %H:%M}"}


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
