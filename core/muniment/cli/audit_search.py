"""The command `muniment audit search`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

import muniment.store
from muniment.cli.context import CliContext
from muniment.cli.generation_lines import print_line
from muniment.cli.listing import emit
from muniment.cli.options import (
    filter_options,
    headers_option,
    json_option,
    limit_option,
    no_match,
    query_of,
)
from muniment.cli.output import on_terminal, one_line, write_note, write_styled
from muniment.cli.values import altered_mark, coloured, content_marks, short_id

if TYPE_CHECKING:
    from muniment.store.search.engine import Hit


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
    print_line(hit.generation, content_marks(hit.generation))
    for snippet in hit.snippets:
        line, position = "", 0
        for start, end in snippet.highlights:
            line += one_line(snippet.text, position, start)
            line += coloured(one_line(snippet.text, start, end), "yellow")
            position = end
        write_styled(f"    {one_line(snippet.source)}: {line}{one_line(snippet.text, position)}")
