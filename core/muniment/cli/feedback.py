"""The command `muniment feedback`."""

from __future__ import annotations

import click

from muniment.cli.context import CliContext
from muniment.cli.options import json_option
from muniment.cli.output import short_id, write_json, write_note


@click.command
@click.argument("reference", metavar="ID")
@click.option(
    "--rating",
    type=click.Choice(("up", "down", "1", "2", "3", "4", "5")),
    help="Rating of the generation.",
)
@click.option("--comment", metavar="TEXT", help="Comment on the generation.")
@json_option
@click.pass_obj
def feedback(
    context: CliContext, reference: str, rating: str | None, comment: str | None, as_json: bool
) -> None:
    """Rate a generation or comment on it.

    ID is a unique beginning or end of an id, or `last`. Feedback is recorded with the actor's
    name and added to earlier feedback. `audit show` prints it.
    """
    if rating is None and not comment:
        raise click.UsageError("the feedback is empty; use --rating or --comment.")
    session = context.session
    identifier = session.store.find(reference)
    recorded = session.feedback(identifier, rating, comment)
    if as_json:
        write_json(recorded)
    else:
        write_note(f"Feedback recorded for {short_id(identifier, 'stderr')}.")
