"""The command `muniment audit tail`."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from functools import partial
from typing import Any

import click

from muniment.cli.context import CliContext
from muniment.cli.generation_lines import id_of, model_of, print_line, prompt_excerpt
from muniment.cli.listing import Column, emit
from muniment.cli.options import filter_options, headers_option, json_option, no_match, query_of
from muniment.cli.output import on_terminal, write_note
from muniment.cli.values import pluralize
from muniment.types.generations import Generation


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
        ("id", id_of),
        ("started", "started_at"),
        ("status", "status"),
        ("generator", "generator"),
        ("model", model_of),
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
    print_line(item, prompt_excerpt(item))
