"""The commands `muniment audit list` and `muniment audit runs`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click

from muniment.cli.context import CliContext
from muniment.cli.filters import filter_options, query_of
from muniment.cli.options import json_option, limit_option
from muniment.cli.output import excerpt, moment, on_terminal, short_id, table, write_json
from muniment.times import iso
from muniment.types import Generation


@click.command("list")
@filter_options
@click.option(
    "--sort",
    metavar="ORDER",
    help="Order by a score: score:NAME for the lowest first, -score:NAME for the highest first.",
)
@limit_option(20)
@json_option
@click.pass_obj
def list_(context: CliContext, /, limit: int, as_json: bool, **filters: Any) -> None:
    """List generations, newest first.

    A generation must match all given options. Piped output has tab-separated columns:
    id, start, status, decision, generator, model, seed, actor, tags, prompt.
    """
    query = query_of(context, filters, limit=limit)
    print_generations(context.store.generations(query), as_json=as_json)


def print_generations(generations: Iterable[Generation], *, as_json: bool) -> None:
    """Print a line or a JSON object for each generation."""
    if as_json:
        for generation in generations:
            write_json(generation.to_json())
        return
    headers = ("id", "started", "status", "model", "actor", "tags", "prompt")
    table(headers, map(_row, generations), cut="prompt")


@click.command
@limit_option(20)
@json_option
@click.pass_obj
def runs(context: CliContext, limit: int, as_json: bool) -> None:
    """List runs, newest first.

    A run is the generations of one command. A resumed batch remains one run. Piped output has
    tab-separated columns: id, start, end, counts by status, lines, generators, actor.
    """
    recent = context.store.runs(limit or None)
    if as_json:
        for run in recent:
            write_json(
                {
                    "id": run.id,
                    "started_at": iso(run.started_at),
                    "finished_at": run.finished_at and iso(run.finished_at),
                    "counts": dict(run.counts),
                    "lines": run.lines,
                    "generators": list(run.generators),
                    "actor": run.actor,
                }
            )
        return
    rows = (
        (
            short_id(run.id),
            moment(run.started_at),
            *(() if on_terminal() else (moment(run.finished_at),)),
            " · ".join(f"{number:,} {status}" for status, number in run.counts.items()),
            str(run.lines or ""),
            ", ".join(run.generators),
            run.actor,
        )
        for run in recent
    )
    table(("run", "started", "generations", "lines", "generators", "actor"), rows)


def _row(generation: Generation) -> tuple[str, ...]:
    return _row_on_terminal(generation) if on_terminal() else _row_in_pipe(generation)


def _row_in_pipe(generation: Generation) -> tuple[str, ...]:
    return (
        short_id(generation.id),
        moment(generation.started_at),
        generation.status,
        generation.decision,
        generation.generator,
        generation.model.name if generation.model else "",
        str(generation.seed),
        generation.actor,
        ", ".join(generation.tags),
        excerpt(generation.prompt),
    )


def _row_on_terminal(generation: Generation) -> tuple[str, ...]:
    flagged = ", flagged" if generation.decision == "flag" else ""
    return (
        short_id(generation.id),
        moment(generation.started_at),
        generation.status + flagged,
        generation.model.name if generation.model else generation.generator,
        generation.actor,
        ", ".join(generation.tags),
        excerpt(generation.prompt),
    )
