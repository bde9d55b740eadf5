"""The command `muniment audit search`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from muniment.cli.context import CliContext
from muniment.cli.filters import filter_options, query_of
from muniment.cli.options import json_option, limit_option
from muniment.cli.output import (
    coloured,
    moment,
    on_terminal,
    one_line,
    short_id,
    write_data,
    write_json,
    write_note,
)

if TYPE_CHECKING:
    from muniment.store.search.engine import Hit
    from muniment.types import Generation


@click.command
@click.argument("words", metavar="QUERY")
@click.option("--rank", is_flag=True, help="Best matches first, among the newest 10,000 matches.")
@filter_options
@limit_option(20)
@json_option
@click.pass_obj
def search(
    context: CliContext, /, words: str, rank: bool, limit: int, as_json: bool, **filters: Any
) -> None:
    """Search prompts, outputs and reasons, newest first.

    System prompts and failure messages are searched too.

    All words of QUERY must occur, in upper or lower case. Words in double quotes must occur as a
    phrase, and so must text without spaces, such as Chinese. There are no other operators. All
    filters must match too.

    Piped output has tab-separated columns: id, start, status, name of the text, excerpt.
    """
    from muniment.store.search.engine import RANKED, searchable

    query = query_of(context, filters, limit=limit)
    if not searchable(words):
        write_note("the query has no letter or digit, so it cannot match; add a word")
        return
    for hit in context.store.search(words, query, ranked=rank):
        if as_json:
            write_json({"generation": hit.generation.to_json(), "snippets": _snippets_json(hit)})
        elif on_terminal():
            _print_hit(hit)
        else:
            for snippet in hit.snippets:
                cells = (*_cells(hit.generation), snippet.source, snippet.text)
                write_data("\t".join(map(one_line, cells)))
    if rank:
        write_note(f"ranked among the newest {RANKED:,} matches")


def _cells(generation: Generation) -> tuple[str, ...]:
    return short_id(generation.id), moment(generation.started_at), generation.status


def _snippets_json(hit: Hit) -> list[dict[str, Any]]:
    return [
        {
            "source": snippet.source,
            "text": snippet.text,
            "highlights": [list(span) for span in snippet.highlights],
        }
        for snippet in hit.snippets
    ]


def _print_hit(hit: Hit) -> None:
    generation = hit.generation
    source = generation.model.name if generation.model else generation.generator
    write_data("  ".join([*_cells(generation), one_line(source)]))
    for snippet in hit.snippets:
        line, position = "", 0
        for start, end in snippet.highlights:
            line += one_line(snippet.text[position:start])
            line += coloured(one_line(snippet.text[start:end]), "yellow")
            position = end
        line += one_line(snippet.text[position:])
        click.echo(f"    {snippet.source}: {line}")
