"""The commands `muniment audit list`, `search`, `tail` and `stats`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

import muniment.store
from muniment.cli.context import CliContext
from muniment.cli.listing import Column, emit
from muniment.cli.options import (
    filter_options,
    headers_option,
    json_option,
    limit_option,
    no_match,
    query_of,
)
from muniment.cli.output import (
    on_terminal,
    one_line,
    write_data,
    write_json,
    write_note,
    write_styled,
)
from muniment.cli.values import (
    ERASED,
    actor_cell,
    altered_mark,
    coloured,
    coloured_status,
    content_marks,
    excerpt,
    model_name,
    moment,
    pluralize,
    short_id,
)
from muniment.cli.verdicts import status_text
from muniment.types.generations import Generation
from muniment.types.verdicts import UNDECIDED
from muniment.validation import split_list

if TYPE_CHECKING:
    from muniment.store.queries.stats import Stats, Summary
    from muniment.store.search.engine import Hit


@click.command("list")
@filter_options
@click.option(
    "--sort",
    metavar="ORDER",
    help="Order by a score: score:NAME for the lowest first, -score:NAME for the highest first.",
)
@limit_option(20)
@headers_option
@json_option
@click.pass_obj
def list_(context: CliContext, /, limit: int, as_json: bool, **filters: Any) -> None:
    """List generations, newest first.

    A generation must match all given options. Piped output has tab-separated columns:
    id, start, status, decision, generator, model, seed, actor, tags, prompt.
    """
    query = query_of(context, filters, limit=limit)
    print_generations(
        context.store.generations(query),
        as_json,
        partial(no_match, context.store, query),
        limit,
        lambda: context.store.count(query),
    )


def print_generations(
    generations: Iterable[Generation],
    as_json: bool,
    empty: str | Callable[[], str],
    limit: int,
    total: Callable[[], int | None] | None = None,
    further: Sequence[Column[Generation]] = (),
) -> None:
    """Print a line or a JSON object for each generation. `further` are the last piped columns."""
    emit(
        generations,
        _ON_TERMINAL if on_terminal() else [*_PIPED, *further],
        as_json,
        empty=empty,
        cut="prompt",
        drop=("tags", "actor", "model"),
        limit=limit,
        total=total,
    )


def _id(generation: Generation) -> str:
    return short_id(generation.id)


def _model(generation: Generation) -> str:
    return model_name(generation.model, generation) if generation.model else ""


def _model_or_generator(generation: Generation) -> str:
    """Return the name of the model, or of the generator if it runs no model."""
    if generation.model is None:
        return generation.generator or ERASED
    return model_name(generation.model, generation)


def prompt_excerpt(generation: Generation, length: int = 200) -> str:
    """Return the beginning of the prompt, after marks if texts were erased or altered.

    On a terminal an erased prompt is `[erased]`. The kinds of the other erased texts would be cut.
    """
    if on_terminal() and "prompt" in generation.erased and not generation.altered:
        return ERASED
    marks = content_marks(generation)
    return " ".join(filter(None, (marks, excerpt(generation.prompt, length))))


_PIPED: list[Column[Generation]] = [
    ("id", _id),
    ("started", "started_at"),
    ("status", "status"),
    ("decision", "decision"),
    ("generator", "generator"),
    ("model", _model),
    ("seed", "seed"),
    ("actor", lambda generation: actor_cell(generation.actor)),
    ("tags", "tags"),
    ("prompt", prompt_excerpt),
]
_ON_TERMINAL: list[Column[Generation]] = [
    ("id", _id),
    ("started", "started_at"),
    ("status", status_text),
    ("model", _model_or_generator),
    ("actor", lambda generation: actor_cell(generation.actor)),
    ("tags", "tags"),
    ("prompt", prompt_excerpt),
]


@click.command
@click.argument("words", metavar="QUERY...", nargs=-1, required=True)
@click.option("--rank", is_flag=True, help="Best matches first, among the newest 10,000 matches.")
@filter_options
@limit_option(20)
@headers_option
@json_option
@click.pass_obj
def search(
    context: CliContext,
    /,
    words: tuple[str, ...],
    rank: bool,
    limit: int,
    as_json: bool,
    **filters: Any,
) -> None:
    """Search prompts, inputs, outputs and reasons, newest first.

    System prompts and failure messages are searched too.

    All words of QUERY must occur, in upper or lower case. Words in double quotes must occur as a
    phrase, and so must text without spaces, such as Chinese. There are no other operators. All
    filters must match too.

    Piped output has tab-separated columns: id, start, status, name of the text, excerpt.
    """
    query, text = query_of(context, filters, limit=limit), " ".join(words)
    if not muniment.store.searchable(text):
        write_note("the query has no letter or digit, so it cannot match; add a word")
        return
    more = query if query.limit is None else replace(query, limit=query.limit + 1)
    found = context.store.search(text, more, ranked=rank)
    hits = islice(found, query.limit)
    empty = partial(no_match, context.store, query)
    if as_json or on_terminal():
        emit(
            hits,
            (),
            as_json,
            show=_print_hit,
            empty=empty,
            limit=limit,
            total=lambda: _count_hits(context, text, query, found),
        )
    else:
        emit(
            ((hit.generation, *text) for hit in hits for text in _texts(hit)),
            [
                ("id", lambda row: short_id(row[0].id)),
                ("started", lambda row: row[0].started_at),
                ("status", lambda row: row[0].status),
                ("source", lambda row: row[1]),
                ("text", lambda row: row[2]),
            ],
            as_json,
            empty=empty,
        )
    if rank:
        write_note(f"ranked among the newest {muniment.store.RANKED:,} matches")


def _count_hits(
    context: CliContext, words: str, query: muniment.Query, rest: Iterator[Hit]
) -> int | None:
    """Return the number of all hits, or None if counting reads the texts of all.

    `rest` are the hits after those within the limit.
    """
    return context.store.search_count(words, query) if any(rest) else query.limit


def _texts(hit: Hit) -> Iterator[tuple[str, str]]:
    """Yield name and excerpt of each text of a hit, and a mark if texts were erased or altered."""
    yield from ((snippet.source, snippet.text) for snippet in hit.snippets)
    if hit.generation.erased:
        yield "erased", ", ".join(hit.generation.erased)
    if mark := altered_mark(hit.generation.altered):
        yield "altered", mark


def _print_hit(hit: Hit) -> None:
    _print_line(hit.generation, content_marks(hit.generation))
    for snippet in hit.snippets:
        line, position = "", 0
        for start, end in snippet.highlights:
            line += one_line(snippet.text, position, start)
            line += coloured(one_line(snippet.text, start, end), "yellow")
            position = end
        write_styled(f"    {one_line(snippet.source)}: {line}{one_line(snippet.text, position)}")


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
@headers_option
@json_option
@click.pass_obj
def tail(context: CliContext, /, follow: bool, limit: int, as_json: bool, **filters: Any) -> None:
    """Show the newest generations, or follow new ones with -f.

    The newest come last. Piped output has tab-separated columns: id, start, status, generator,
    model, prompt.
    """
    query = replace(query_of(context, filters, limit=limit), limit=limit)
    generations = context.store.tail(query, follow=follow)
    columns: list[Column[Generation]] = [
        ("id", _id),
        ("started", "started_at"),
        ("status", "status"),
        ("generator", "generator"),
        ("model", _model),
        ("prompt", prompt_excerpt),
    ]
    with contextlib.suppress(*([KeyboardInterrupt] if follow else [])):
        empty = "" if follow else partial(no_match, context.store, query)
        number = emit(generations, columns, as_json, show=_print_newest, empty=empty)
        if limit and number == limit and on_terminal() and not as_json:
            _note_earlier(context.store.count(query) - number)


def _note_earlier(number: int) -> None:
    if number:
        write_note(f"{pluralize(number, 'earlier generation')}; use -n for more")


def _print_newest(item: Generation) -> None:
    _print_line(item, prompt_excerpt(item))


_LEAST_EXCERPT = 16  # cells of a prompt on the line of its generation


def _print_line(item: Generation, text: str) -> None:
    """Print a generation and the beginning of a text, with the id last.

    On a narrow terminal the model and the generator are left out, and the text follows below. If
    the line is still too long, the seconds are left out, then the time.
    """
    from rich.cells import cell_len

    from muniment.cli.wrapping import shortened, terminal_width

    started, status, identifier = moment(item.started_at), status_text(item), _id(item)
    names = [one_line(name) for name in (item.generator, _model(item)) if name]
    whole = [started, status, *names]
    heads = [whole[:length] for length in range(len(whole), 1, -1)]
    heads += [[started.rpartition(":")[0], status], [status]]

    def room(head: list[str]) -> int:
        """Return the cells that are left between the parts of a line and the id."""
        parts = [*head, identifier]
        return terminal_width() - sum(map(cell_len, parts)) - 2 * len(parts)

    least = min(cell_len(text), _LEAST_EXCERPT)
    head = next((head for head in heads[: len(whole) - 1] if room(head) >= least), None)
    below = head is None
    if head is None:
        head = next((head for head in heads if room(head) >= -2), [status])
    parts = [coloured_status(part) if part == status else part for part in head]
    if text and not below:
        parts.append(shortened(text, room(head)))
    write_styled("  ".join([*parts, identifier]))
    if text and below:
        write_styled(f"    {shortened(text, terminal_width() - 4)}")


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
