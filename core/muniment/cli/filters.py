"""The filters that every command takes which picks generations, and the query they make."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from muniment.cli.context import CliContext
from muniment.cli.options import Moment
from muniment.types import DECISIONS

if TYPE_CHECKING:
    from muniment.store import Query

_Command = TypeVar("_Command", bound=Callable[..., Any])

STATUSES = ("started", "completed", "blocked", "failed", "interrupted")

_STATUS_OPTION = click.option("--status", type=click.Choice(STATUSES), help="What became of it.")
_OPTIONS = (
    click.option(
        "--since", type=Moment(), help="From then on: a date, a time, or 7d, 2h, 30m ago."
    ),
    click.option(
        "--until", type=Moment(end=True), help="Before then; a date counts as a whole day."
    ),
    _STATUS_OPTION,
    click.option("--generator", metavar="NAME", help="Made by this generator."),
    click.option("--model", metavar="MODEL", help="The model's name, or its digest's beginning."),
    click.option(
        "--decision",
        type=click.Choice(DECISIONS),
        help="The most severe action taken; with --filter, what that filter decided.",
    ),
    click.option("--filter", "filter_", metavar="NAME", help="Judged by this filter."),
    click.option("--actor", "by", metavar="NAME", help="Asked for by this actor."),
    click.option("--tag", metavar="TAG", help="Marked with this tag."),
    click.option("--run", metavar="RUN", help="Part of this run."),
    click.option("--seed", metavar="N", help="Generated with this seed."),
)


def filter_options(command: _Command) -> _Command:
    """Give a command the filters; it takes them as `**filters`, for `query_of`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def filter_options_without_status(command: _Command) -> _Command:
    """Give a command the filters but `--status`, which there has a meaning of its own."""
    for option in reversed(_OPTIONS):
        if option is not _STATUS_OPTION:
            command = option(command)
    return command


def query_of(context: CliContext, filters: dict[str, Any], *, limit: int) -> Query:
    """Return the query that filters make; all given must hold, and a limit of 0 is none."""
    from muniment.generation import seeds
    from muniment.store import Query

    given = dict(filters)
    seed, run = given.pop("seed"), given.pop("run")
    return Query(
        filter=given.pop("filter_"),
        actor=given.pop("by"),
        seed=None if seed is None else seeds.parse(seed),
        run=None if run is None else context.store.find_run(run),
        limit=limit or None,
        **given,
    )
