"""`muniment audit search`: generations by what stands in them."""

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
@click.argument("wanted", metavar="QUERY")
@click.option("--rank", is_flag=True, help="The best first, of the newest 10,000 with all words.")
@filter_options
@limit_option(20)
@json_option
@click.pass_obj
def search(
    context: CliContext, /, wanted: str, rank: bool, limit: int, as_json: bool, **filters: Any
) -> None:
    """Search prompts, outputs and reasons, the newest first.

    System prompts and failures are searched, too.

    All words of QUERY must be found; case does not matter. Words between double quotes must stand
    together, and so must what is written without spaces, as Chinese is. Nothing else in QUERY has
    a meaning. All filters given must hold, too.

    Off a terminal the columns are, separated by tabs: id, start, status, where it was found, and
    the text around it.
    """
    from muniment.store.search.engine import RANKED, searchable

    query = query_of(context, filters, limit=limit)
    if not searchable(wanted):
        write_note("There is no letter and no digit in the query, so nothing can be found by it.")
        return
    for hit in context.store.search(wanted, query, ranked=rank):
        if as_json:
            write_json({"generation": hit.generation.to_json(), "snippets": _snippets_json(hit)})
        elif on_terminal():
            _show(hit)
        else:
            for snippet in hit.snippets:
                cells = (*_cells(hit.generation), snippet.source, snippet.text)
                write_data("\t".join(map(one_line, cells)))
    if rank:
        write_note(f"Ranked among the newest {RANKED:,} generations with all words.")


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


def _show(hit: Hit) -> None:
    generation = hit.generation
    made_by = generation.model.name if generation.model else generation.generator
    write_data("  ".join([*_cells(generation), one_line(made_by)]))
    for snippet in hit.snippets:
        shown, done = "", 0
        for start, end in snippet.highlights:
            shown += one_line(snippet.text[done:start])
            shown += coloured(one_line(snippet.text[start:end]), "yellow")
            done = end
        shown += one_line(snippet.text[done:])
        click.echo(f"    {snippet.source}: {shown}")
