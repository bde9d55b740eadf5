"""The command `muniment audit list`, and lists of generations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import click

from muniment.cli.context import CliContext
from muniment.cli.generation_lines import id_of, model_of, prompt_excerpt
from muniment.cli.listing import Column, emit
from muniment.cli.options import (
    filter_options,
    headers_option,
    json_option,
    limit_option,
    no_match,
    query_of,
)
from muniment.cli.output import on_terminal
from muniment.cli.values import actor_cell, generator_name, model_name
from muniment.cli.verdicts import status_text
from muniment.types.generations import Generation


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


def _model_or_generator(generation: Generation) -> str:
    """Return the name of the model, or of the generator if it runs no model."""
    if generation.model is None:
        return generator_name(generation)
    return model_name(generation.model, generation)


_PIPED: list[Column[Generation]] = [
    ("id", id_of),
    ("started", "started_at"),
    ("status", "status"),
    ("decision", "decision"),
    ("generator", "generator"),
    ("model", model_of),
    ("seed", "seed"),
    ("actor", lambda generation: actor_cell(generation.actor, generation.altered)),
    ("tags", "tags"),
    ("prompt", prompt_excerpt),
]
_ON_TERMINAL: list[Column[Generation]] = [
    ("id", id_of),
    ("started", "started_at"),
    ("status", status_text),
    ("model", _model_or_generator),
    ("actor", lambda generation: actor_cell(generation.actor, generation.altered)),
    ("tags", "tags"),
    ("prompt", prompt_excerpt),
]
