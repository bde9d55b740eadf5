"""Options that select generations, and the query built from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

import muniment
from muniment.cli.context import CliContext
from muniment.cli.options import Moment

_Command = TypeVar("_Command", bound=Callable[..., Any])

# Those of `muniment.types`, which takes too long to import for `--help`.
STATUSES = ("started", "completed", "blocked", "failed", "interrupted")
DECISIONS = ("allow", "flag", "block")

_STATUS_OPTION = click.option(
    "--status", type=click.Choice(STATUSES), help="Status of the generation."
)
_OPTIONS = (
    click.option(
        "--since", type=Moment(), help="Earliest start: a date, a time, or 7d, 2h, 30m ago."
    ),
    click.option(
        "--until", type=Moment(end=True), help="Latest start (a date includes the whole day)."
    ),
    _STATUS_OPTION,
    click.option("--generator", metavar="NAME", help="Name of the generator."),
    click.option("--model", metavar="MODEL", help="Name of the model, or beginning of its digest."),
    click.option(
        "--decision",
        type=click.Choice(DECISIONS),
        help="Most severe action taken, or with --filter the decision of that filter.",
    ),
    click.option("--filter", metavar="NAME", help="Name of a filter that checked the generation."),
    click.option("--actor", metavar="NAME", help="Name of the actor who requested the generation."),
    click.option("--tag", metavar="TAG", help="Tag of the generation."),
    click.option("--run", metavar="RUN", help="Run of the generation."),
    click.option("--seed", metavar="N", help="Seed of the generation."),
    click.option(
        "--score",
        "scores",
        metavar="CONDITION",
        multiple=True,
        callback=lambda context, parameter, values: list(values) or None,
        help="Condition on a score, such as 'perplexity<20' (may be repeated).",
    ),
)


def filter_options(command: _Command) -> _Command:
    """Add the filter options to a command, which passes them as `**filters` to `query_of`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def filter_options_without_status(command: _Command) -> _Command:
    """Add the filter options except `--status`, for a command with a `--status` of its own."""
    for option in reversed(_OPTIONS):
        if option is not _STATUS_OPTION:
            command = option(command)
    return command


def query_of(context: CliContext, filters: dict[str, Any], *, limit: int) -> muniment.Query:
    """Return the query for filters, all of which must match. A limit of 0 means no limit."""
    from muniment.generation.seeds import parse_seed

    values = {**filters, "limit": limit or None}
    if values["seed"] is not None:
        values["seed"] = parse_seed(values["seed"])
    if values["run"] is not None:
        values["run"] = context.store.find_run(values["run"])
    return muniment.Query(**values)
