"""`muniment feedback`: record a rating of a generation or a comment on it."""

from __future__ import annotations

import click

from muniment.cli.context import CliContext
from muniment.cli.options import json_option
from muniment.cli.output import write_json, write_note


@click.command
@click.argument("reference", metavar="ID")
@click.option(
    "--rating",
    type=click.Choice(("up", "down", "1", "2", "3", "4", "5")),
    help="What you think of it.",
)
@click.option("--comment", metavar="TEXT", help="Why.")
@json_option
@click.pass_obj
def feedback(
    context: CliContext, reference: str, rating: str | None, comment: str | None, as_json: bool
) -> None:
    """Say what you think of a generation.

    ID is a unique beginning or end of an id, or `last`. It is recorded beside what others said,
    with who said it; nothing is replaced. `audit show` shows it.
    """
    if rating is None and not comment:
        raise click.UsageError("say --rating or --comment.")
    session = context.session
    identifier = session.store.find(reference)
    session.feedback(identifier, rating, comment)
    if not as_json:
        write_note(f"recorded, of {identifier}")
        return
    from muniment.store.recording.events import to_json

    given, _ = session.store.acts(identifier)
    write_json(to_json(given[-1]))
