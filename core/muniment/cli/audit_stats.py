"""The command `muniment audit stats`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from muniment.cli.context import CliContext
from muniment.cli.options import filter_options, json_option, query_of
from muniment.cli.output import excerpt, on_terminal, one_line, pluralize, write_data, write_json

if TYPE_CHECKING:
    from muniment.store.queries.stats import Stats, Summary

_BAR = 30  # width of the longest bar, in cells
_ROWS = 12  # rows of each table on a terminal
_EIGHTHS = " ▏▎▍▌▋▊▉"
_COUNTS = ("status", "decision", "generator", "model", "actor", "day")
# Names of the summaries and of their units, by key of the JSON object.
_SUMMARIES = {
    "latency_ms": ("latency", " (ms)"),
    "prompt_tokens": ("prompt tokens", ""),
    "output_tokens": ("output tokens", ""),
}


@click.command
@filter_options
@json_option
@click.pass_obj
def stats(context: CliContext, /, as_json: bool, **filters: Any) -> None:
    """Count generations by status, model, actor, day and more.

    Counts by status, decision, generator, model, actor and day (UTC). Summarizes latency, from
    start to end, and numbers of tokens.

    Piped output has tab-separated columns: property, value, count. Summaries have: name,
    statistic, value.
    """
    record = _record(context.store.stats(query_of(context, filters, limit=0)))
    if as_json:
        write_json(record)
    elif on_terminal():
        _print_charts(record)
    else:
        lines = [("total", "", record["total"])]
        lines += [(name, *row.values()) for name in _COUNTS for row in record[name]]
        for key, (name, _) in _SUMMARIES.items():
            lines += [(name, *item) for item in (record[key] or {}).items()]
        for line in lines:
            write_data("\t".join(one_line(str(value)) for value in line))


def _record(statistics: Stats) -> dict[str, Any]:
    """Return the statistics as the shape `stats`."""

    def rows(counts: Mapping[str, int] | Mapping[date, int]) -> list[dict[str, Any]]:
        return [{"value": str(value), "count": number} for value, number in counts.items()]

    return {
        "total": statistics.total,
        "status": rows(statistics.statuses),
        "decision": rows(statistics.decisions),
        "generator": rows(statistics.generators),
        "model": rows(statistics.models),
        "actor": rows(statistics.actors),
        "day": rows(statistics.days),
        "latency_ms": _spread(statistics.latency),
        "prompt_tokens": _spread(statistics.prompt_tokens),
        "output_tokens": _spread(statistics.output_tokens),
    }


def _spread(summary: Summary | None) -> dict[str, float] | None:
    if summary is None:
        return None
    return {
        "count": summary.count,
        "mean": round(summary.mean, 1),
        "min": summary.smallest,
        **{f"p{percent}": value for percent, value in summary.percentiles.items()},
        "max": summary.largest,
    }


def _print_charts(record: Mapping[str, Any]) -> None:
    write_data(pluralize(record["total"], "generation"))
    for name in _COUNTS:
        _print_chart(name, {row["value"]: row["count"] for row in record[name]})
    for key, (name, unit) in _SUMMARIES.items():
        if record[key] is not None:
            line = "  ".join(f"{statistic} {value:,}" for statistic, value in record[key].items())
            write_data(f"\n{name}{unit}\n  {line}")


def _print_chart(name: str, counts: Mapping[str, int]) -> None:
    """Print a bar chart of the last days, or of the most common values."""
    from rich.cells import cell_len

    if not counts or set(counts) == {""}:
        return
    by_day = name == "day"
    rows = list(counts.items())[-_ROWS:] if by_day else list(counts.items())[:_ROWS]
    largest = max(number for _, number in rows)
    labels = [excerpt(value or "none", 40) for value, _ in rows]
    width = max(map(cell_len, labels))
    write_data(f"\n{name}")
    for label, (_, number) in zip(labels, rows, strict=True):
        eighths = max(1, round(number * _BAR * 8 / largest))
        bar = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
        write_data(f"  {label}{' ' * (width - cell_len(label))}  {bar} {number:,}")
    if len(counts) > len(rows):
        write_data(f"  … {len(counts) - len(rows):,} {'earlier' if by_day else 'more'}")
