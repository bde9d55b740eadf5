"""The audit report as a self-contained HTML page, as Markdown, and its counts as CSV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from itertools import islice

from muniment_analysis.pages import plots
from muniment_analysis.pages.csv_table import csv_text
from muniment_analysis.pages.html import render, trusted
from muniment_analysis.pages.markdown import escape, markdown_table

from .report import AuditReport
from .tables import (
    Table,
    count_rows,
    count_tables,
    decision_name,
    finding_tables,
    period,
    state_tables,
    summary,
    warnings,
)
from .texts import gettext, language_of_the_user

_MAX_DAYS = 92  # bars; a longer period has a bar for each month
_MAX_CATEGORIES = 20
_COLOURS = {"allow": "#4c72b0", "flag": "#e0a000", "block": "#c44e52", "undecided": "#8c8c8c"}


@language_of_the_user()
def html(report: AuditReport) -> str:
    """Return the page, in the language of the user."""
    return render(
        "audit_report.html",
        lang=gettext("en"),  # its translation is the code of the other language
        title=gettext("Audit report"),
        counts_title=gettext("Counts"),
        period=period(report),
        summary=summary(report),
        warnings=list(warnings(report)),
        plots=list(_plots(report)),
        counts=list(count_tables(report)),
        tables=[*finding_tables(report), *state_tables(report)],
    )


@language_of_the_user()
def markdown(report: AuditReport) -> str:
    """Return the report as Markdown without plots, in the language of the user."""
    title = gettext("Audit report")
    parts = [f"# {title}\n\n{escape(period(report))}\n\n{escape(summary(report))}\n"]
    parts += [f"\n**{escape(warning)}**\n" for warning in warnings(report)]
    parts.append(f"\n## {gettext('Counts')}\n")
    parts += [_section(table, "###") for table in count_tables(report)]
    parts += [_section(table, "##") for table in (*finding_tables(report), *state_tables(report))]
    return "".join(parts)


def csv(report: AuditReport) -> str:
    """Return every count as a row of CSV."""
    return csv_text(("group", "value", "decision", "count"), count_rows(report))


def _section(table: Table, mark: str) -> str:
    rows = f"\n{markdown_table(table.headers, table.rows)}" if table.rows else ""
    note = f"\n{escape(table.note)}\n" if table.note else ""
    return f"\n{mark} {escape(table.title)}\n{rows}{note}"


def _plots(report: AuditReport) -> Iterator[tuple[str, str]]:
    if days := report.groups["day"]:
        first, last = _first_and_last_day(report)
        by_month = (last - first).days >= _MAX_DAYS
        bars = _months(days) if by_month else all_days(days, first, last)
        caption = gettext("generations a day, by decision")
        if by_month:
            caption = gettext("generations a month, by decision")
        plot = plots.stacked_bars(_named(bars), colours=_colours(), label=gettext("generations"))
        yield caption, trusted(plot)
    if categories := dict(islice(report.groups["category"].items(), _MAX_CATEGORIES)):
        plot = plots.stacked_bars(
            _named(categories), colours=_colours(), label=gettext("generations"), horizontal=True
        )
        yield gettext("categories, by decision of the filter"), trusted(plot)


def all_days(
    days: Mapping[str, Mapping[str, int]], first: date, last: date
) -> dict[str, Mapping[str, int]]:
    """Return the counts of every day from the first to the last, also of days without any."""
    between = (first + timedelta(days=number) for number in range((last - first).days + 1))
    return {day.isoformat(): days.get(day.isoformat(), {}) for day in between}


def _first_and_last_day(report: AuditReport) -> tuple[date, date]:
    """Return the days of the period, or those with generations if it is open or long."""
    days = report.groups["day"]
    first, last = date.fromisoformat(min(days)), date.fromisoformat(max(days))
    if report.since is None or (report.until - report.since).days >= _MAX_DAYS:
        return first, last
    end = report.zone.moment(report.until - timedelta(milliseconds=1))  # it is excluded
    return min(first, report.zone.moment(report.since).date()), max(last, end.date())


def _months(days: Mapping[str, Mapping[str, int]]) -> dict[str, Mapping[str, int]]:
    months: dict[str, Counter[str]] = {}
    for day, decisions in days.items():
        months.setdefault(day[:7], Counter()).update(decisions)
    return dict(months)


def _named(bars: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Return counts with the names of decisions."""
    return {
        bar: {decision_name(decision): count for decision, count in decisions.items()}
        for bar, decisions in bars.items()
    }


def _colours() -> dict[str, str]:
    """Return the colours of decisions by name."""
    return {decision_name(decision): colour for decision, colour in _COLOURS.items()}
