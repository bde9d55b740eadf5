"""The command `muniment audit stats`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from muniment.cli.context import CliContext
from muniment.cli.listing import emit
from muniment.cli.options import filter_options, json_option, no_match, query_of
from muniment.cli.output import on_terminal, one_line, write_data, write_json, write_note
from muniment.cli.values import ERASED, pluralize
from muniment.types.verdicts import UNDECIDED
from muniment.validation import split_list

if TYPE_CHECKING:
    from muniment.store.queries.stats import Stats, Summary

_BAR = 30  # cells of the longest bar, if the terminal is wide enough
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
@click.option(
    "--by",
    multiple=True,
    metavar="GROUP[,GROUP]...",
    help="Groups to count by value and decision, instead of the default counts (may be repeated): "
    "decision, generator, model, policy, actor, day, filter, category or reviewer.",
)
@filter_options
@json_option
@click.pass_obj
def stats(context: CliContext, /, by: tuple[str, ...], as_json: bool, **filters: Any) -> None:
    """Count generations by status, model, actor, day and more.

    Counts by status, decision, generator, model, actor and day. Summarizes latency, from start to
    end, and numbers of tokens. Days are local on a terminal, as those of --since and --until are,
    and in UTC in a pipe and in JSON.

    Piped output has tab-separated columns: property, value, count. Summaries have: name,
    statistic, value. Groups of --by have: group, value, decision, count.
    """
    groups = [name for names in by for name in split_list(names)]
    query = query_of(context, filters, limit=0)
    statistics = context.store.stats(query, groups, local_days=on_terminal() and not as_json)
    record = _record(statistics)
    if not statistics.total:
        write_note(no_match(context.store, query))
    if as_json:
        write_json(record)
    elif by and on_terminal():
        write_data(pluralize(statistics.total, "generation"))
        headers = ("group", "value", "decision", "count")
        rows = [
            dict(
                zip(headers, (name, _shown(name, value), decision or UNDECIDED, count), strict=True)
            )
            for name, value, decision, count in _group_rows(statistics)
        ]
        emit(rows, [(header, header) for header in headers], as_json)
    elif by:
        write_data(f"total\t\t\t{statistics.total}")
        for name, value, *counts in _group_rows(statistics):
            write_data("\t".join(map(one_line, map(str, (name, _shown(name, value), *counts)))))
    elif on_terminal():
        _print_charts(record)
    else:
        lines = [("total", "", record["total"])]
        lines += [
            (name, _shown(name, row["value"]), row["count"])
            for name in _COUNTS
            for row in record[name]
        ]
        for key, (name, _) in _SUMMARIES.items():
            lines += [(name, *item) for item in (record[key] or {}).items()]
        for line in lines:
            write_data("\t".join(one_line(str(value)) for value in line))
    if statistics.erased and not as_json:
        write_note(
            f"texts of {pluralize(statistics.erased, 'generation')} were erased; the counts may "
            "lack their models, categories and names"
        )


def _shown(group: str, value: str) -> str:
    """Return a value of a group, or a mark if it was erased.

    For a value that is missing, a terminal has a word, and a pipe an empty text.
    """
    if not value and group in ("generator", "actor", "reviewer", "filter", "category"):
        return ERASED
    missing = UNDECIDED if group == "decision" else "none"
    return value or (missing if on_terminal() else "")


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
        "groups": statistics.groups,
        "erased": statistics.erased,
    }


def _group_rows(statistics: Stats) -> Iterator[tuple[str, str, str, int]]:
    """Yield group, value, decision and count."""
    for name, group in statistics.groups.items():
        for value, decisions in group.items():
            yield from ((name, value, *counts) for counts in decisions.items())


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
            write_data(f"\n{name}{unit}")
            for line in _lines(
                f"{statistic} {value:,}" for statistic, value in record[key].items()
            ):
                write_data(f"  {line}")


def _lines(parts: Iterable[str]) -> Iterator[str]:
    """Yield lines of whole parts that fit behind an indent of two cells of the terminal."""
    from muniment.cli.wrapping import terminal_width

    line = ""
    for part in parts:
        if line and len(line) + 2 + len(part) > terminal_width() - 2:
            yield line
            line = ""
        line = f"{line}  {part}" if line else part
    yield line


def _print_chart(name: str, counts: Mapping[str, int]) -> None:
    """Print a bar chart of the last days, or of the most common values."""
    from rich.cells import cell_len

    from muniment.cli.wrapping import shortened, terminal_width

    if not counts or set(counts) == {""}:
        return
    by_day = name == "day"
    rows = list(counts.items())[-_ROWS:] if by_day else list(counts.items())[:_ROWS]
    largest = max(number for _, number in rows)
    # A label may take half of the line. The longest bar takes the space that is left.
    number_width, columns = len(f"{largest:,}"), terminal_width()
    most = min(40, (columns - number_width) // 2)
    labels = [shortened(one_line(_shown(name, value)), most) for value, _ in rows]
    width = max(map(cell_len, labels))
    longest = max(1, min(_BAR, columns - width - number_width - 5))
    write_data(f"\n{name}")
    for label, (_, number) in zip(labels, rows, strict=True):
        eighths = max(1, round(number * longest * 8 / largest))
        bar = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
        write_data(f"  {label}{' ' * (width - cell_len(label))}  {bar} {number:,}")
    if len(counts) > len(rows):
        write_data(f"  … {len(counts) - len(rows):,} {'earlier' if by_day else 'more'}")
