"""`muniment audit stats` and `tail`: what is recorded, counted; what is being recorded."""

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

_BAR = 30  # cells of the longest bar
_ROWS = 12  # of each table on a terminal
_EIGHTHS = " ▏▎▍▌▋▊▉"


@click.command
@filter_options
@json_option
@click.pass_obj
def stats(context: CliContext, /, as_json: bool, **filters: Any) -> None:
    """Count generations by what they are, and by day.

    That is by status, decision, generator, model and actor, with the spread of latencies (from
    start to end) and of tokens. Days are those of UTC. Off a
    terminal the columns are, separated by tabs: what is counted, value, number; of a spread: what,
    statistic, value.
    """
    found = context.store.stats(query_of(context, filters, limit=0))
    if as_json:
        write_json(_stats_json(found))
        return
    tables: list[tuple[str, Mapping[str, int]]] = [
        ("status", found.statuses),
        ("decision", found.decisions),
        ("generator", found.generators),
        ("model", found.models),
        ("actor", found.actors),
        ("day", {str(day): number for day, number in found.days.items()}),
    ]
    spreads = [
        ("latency", found.latency, "ms"),
        ("prompt tokens", found.prompt_tokens, ""),
        ("output tokens", found.output_tokens, ""),
    ]
    if not on_terminal():
        write_data(f"total\t\t{found.total}")
        for name, counted in tables:
            for value, number in counted.items():
                write_data("\t".join((name, one_line(value), str(number))))
        for name, spread, _ in spreads:
            for statistic, amount in _statistics(spread).items():
                write_data(f"{name}\t{statistic}\t{amount}")
        return
    write_data(pluralize(found.total, "generation"))
    for name, counted in tables:
        _chart(name, counted)
    for name, spread, unit in spreads:
        if spread is not None:
            told = "  ".join(f"{key} {value:,}" for key, value in _statistics(spread).items())
            write_data(f"\n{name}{f' ({unit})' if unit else ''}\n  {told}")


def _chart(name: str, counted: Mapping[str, int]) -> None:
    """Draw a small bar chart; of days the last ones, of all else the most common."""
    from rich.cells import cell_len

    if not counted or set(counted) == {""}:
        return
    days = name == "day"
    shown = list(counted.items())[-_ROWS:] if days else list(counted.items())[:_ROWS]
    most = max(number for _, number in shown)
    labels = [excerpt(value or "none", 40) for value, _ in shown]
    width = max(map(cell_len, labels))
    write_data(f"\n{name}")
    for label, (_, number) in zip(labels, shown, strict=True):
        eighths = max(1, round(number * _BAR * 8 / most))
        bar = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
        write_data(f"  {label}{' ' * (width - cell_len(label))}  {bar} {number:,}")
    if len(counted) > len(shown):
        write_data(f"  … {len(counted) - len(shown):,} {'earlier' if days else 'more'}")


def _statistics(spread: Summary | None) -> dict[str, float]:
    if spread is None:
        return {}
    shares = {f"p{share}": value for share, value in spread.percentiles.items()}
    return {
        "count": spread.count,
        "mean": round(spread.mean, 1),
        "min": spread.smallest,
        **shares,
        "max": spread.largest,
    }


def _stats_json(found: Stats) -> dict[str, Any]:
    def counts(counted: Mapping[str, int] | Mapping[date, int]) -> list[dict[str, Any]]:
        return [{"value": str(value), "count": number} for value, number in counted.items()]

    return {
        "total": found.total,
        "status": counts(found.statuses),
        "decision": counts(found.decisions),
        "generator": counts(found.generators),
        "model": counts(found.models),
        "actor": counts(found.actors),
        "day": counts(found.days),
        "latency_ms": _statistics(found.latency) or None,
        "prompt_tokens": _statistics(found.prompt_tokens) or None,
        "output_tokens": _statistics(found.output_tokens) or None,
    }


@click.command
@click.option("-f", "--follow", is_flag=True, help="Go on with each that ends, until Ctrl-C.")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    default=10,
    show_default=True,
    help="How many of those recorded already; 0 for none.",
)
@filter_options
@json_option
@click.pass_obj
def tail(context: CliContext, /, follow: bool, limit: int, as_json: bool, **filters: Any) -> None:
    """Show the last generations, and with -f those that follow.

    The newest come at the end.

    Off a terminal the columns are, separated by tabs: id, start, status, generator, model, prompt.
    """
    from dataclasses import replace

    query = replace(query_of(context, filters, limit=limit), limit=limit)
    found = context.store.tail(query, follow=follow)
    try:
        for generation in found:
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
