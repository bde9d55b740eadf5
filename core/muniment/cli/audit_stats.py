"""The commands `muniment audit stats` and `muniment audit tail`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from muniment.cli.context import CliContext
from muniment.cli.filters import filter_options, query_of
from muniment.cli.options import json_option
from muniment.cli.output import (
    excerpt,
    moment,
    on_terminal,
    one_line,
    pluralize,
    short_id,
    write_data,
    write_json,
)

if TYPE_CHECKING:
    from muniment.store.queries.stats import Stats, Summary
    from muniment.types import Generation

_BAR = 30  # width of the longest bar, in cells
_ROWS = 12  # rows of each table on a terminal
_EIGHTHS = " ▏▎▍▌▋▊▉"


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
    statistics = context.store.stats(query_of(context, filters, limit=0))
    if as_json:
        write_json(_stats_json(statistics))
        return
    tables: list[tuple[str, Mapping[str, int]]] = [
        ("status", statistics.statuses),
        ("decision", statistics.decisions),
        ("generator", statistics.generators),
        ("model", statistics.models),
        ("actor", statistics.actors),
        ("day", {str(day): number for day, number in statistics.days.items()}),
    ]
    summaries = [
        ("latency", statistics.latency, "ms"),
        ("prompt tokens", statistics.prompt_tokens, ""),
        ("output tokens", statistics.output_tokens, ""),
    ]
    if not on_terminal():
        write_data(f"total\t\t{statistics.total}")
        for name, counts in tables:
            for value, number in counts.items():
                write_data("\t".join((name, one_line(value), str(number))))
        for name, summary, _ in summaries:
            for statistic, amount in _summary_values(summary).items():
                write_data(f"{name}\t{statistic}\t{amount}")
        return
    write_data(pluralize(statistics.total, "generation"))
    for name, counts in tables:
        _chart(name, counts)
    for name, summary, unit in summaries:
        if summary is not None:
            line = "  ".join(f"{key} {value:,}" for key, value in _summary_values(summary).items())
            write_data(f"\n{name}{f' ({unit})' if unit else ''}\n  {line}")


def _chart(name: str, counts: Mapping[str, int]) -> None:
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


def _summary_values(summary: Summary | None) -> dict[str, float]:
    if summary is None:
        return {}
    percentiles = {f"p{percent}": value for percent, value in summary.percentiles.items()}
    return {
        "count": summary.count,
        "mean": round(summary.mean, 1),
        "min": summary.smallest,
        **percentiles,
        "max": summary.largest,
    }


def _stats_json(statistics: Stats) -> dict[str, Any]:
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
        "latency_ms": _summary_values(statistics.latency) or None,
        "prompt_tokens": _summary_values(statistics.prompt_tokens) or None,
        "output_tokens": _summary_values(statistics.output_tokens) or None,
    }


@click.command
@click.option(
    "-f", "--follow", is_flag=True, help="Print new generations as they end, until Ctrl-C."
)
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    default=10,
    show_default=True,
    help="Maximum number of existing generations (0 for none).",
)
@filter_options
@json_option
@click.pass_obj
def tail(context: CliContext, /, follow: bool, limit: int, as_json: bool, **filters: Any) -> None:
    """Show the newest generations, or follow new ones with -f.

    The newest come last. Piped output has tab-separated columns: id, start, status, generator,
    model, prompt.
    """
    from dataclasses import replace

    query = replace(query_of(context, filters, limit=limit), limit=limit)
    generations = context.store.tail(query, follow=follow)
    try:
        for generation in generations:
            if as_json:
                write_json(generation.to_json())
            else:
                write_data(_line(generation))
    except KeyboardInterrupt:
        if not follow:
            raise


def _line(generation: Generation) -> str:
    cells = (
        short_id(generation.id),
        moment(generation.started_at),
        generation.status,
        generation.generator,
        generation.model.name if generation.model else "",
        excerpt(generation.prompt, 80 if on_terminal() else 200),
    )
    if not on_terminal():
        return "\t".join(map(one_line, cells))
    return "  ".join(one_line(cell) for cell in cells if cell)
