"""The report on drift as a self-contained HTML page, and its periods as rows of a CSV file."""

from __future__ import annotations

from muniment_analysis.pages import plots
from muniment_analysis.pages.csv_table import csv_text
from muniment_analysis.pages.html import render, trusted

from .analysis import DriftReport
from .report_json import period_record


def html(report: DriftReport) -> str:
    """Return the page."""
    change_start = None
    if report.change is not None:
        change_start = report.periods[report.change.position].start
    plot = plots.time_line(
        [period.start for period in report.periods],
        [period.mean for period in report.periods],
        [period.interval for period in report.periods],
        y_label=report.measure,
        mark=change_start,
    )
    return render(
        "drift.html",
        title=f"Drift of {report.measure}",
        report=report,
        plot=trusted(plot),
        change_start=change_start,
    )


def csv(report: DriftReport) -> str:
    """Return a row for each period."""
    records = [period_record(period) for period in report.periods]
    return csv_text(list(records[0]), [list(record.values()) for record in records])
