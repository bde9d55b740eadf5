"""The command `muniment audit runs`."""

from __future__ import annotations

import click

import muniment.store
from muniment.cli.context import CliContext
from muniment.cli.listing import Column, emit
from muniment.cli.options import headers_option, json_option, limit_option
from muniment.cli.output import on_terminal
from muniment.cli.values import actor_cell, short_id

_RUN = ("id", "started_at", "finished_at", "counts", "lines", "generators", "actor")


@click.command
@limit_option(20)
@headers_option
@json_option
@click.pass_obj
def runs(context: CliContext, limit: int, as_json: bool) -> None:
    """List runs, newest first.

    A run is the generations of one command. A resumed batch remains one run. Piped output has
    tab-separated columns: id, start, end, counts by status, lines, generators, actor.
    """
    columns: list[Column[muniment.store.Run]] = [
        ("run", lambda run: short_id(run.id)),
        ("started", "started_at"),
        ("finished", "finished_at"),
        ("generations", lambda run: " · ".join(f"{n:,} {what}" for what, n in run.counts.items())),
        ("lines", lambda run: run.lines or None),
        ("generators", "generators"),
        ("actor", lambda run: actor_cell(run.actor)),
    ]
    if on_terminal():
        del columns[2]
    emit(
        context.store.runs(limit or None),
        columns,
        as_json,
        to_json=lambda run: {name: getattr(run, name) for name in _RUN},
        empty="no run is recorded",
        drop=("actor", "generators", "lines"),
        limit=limit,
        total=context.store.run_count,
    )
