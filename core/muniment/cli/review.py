"""`muniment review`: the queue of flagged and blocked generations, and decisions on them."""

from __future__ import annotations

import click

from muniment.cli.audit_read import listing
from muniment.cli.context import CliContext
from muniment.cli.options import json_option, limit_option
from muniment.cli.output import write_json, write_note


@click.group
def review() -> None:
    """Review what filters flagged or blocked."""


@review.command
@limit_option(20)
@json_option
@click.pass_obj
def queue(context: CliContext, limit: int, as_json: bool) -> None:
    """List what filters flagged or blocked and nobody has reviewed yet, the newest first.

    Off a terminal the columns are those of `audit list`.
    """
    listing(context.store.review_queue(limit or None), as_json=as_json)


@review.command
@click.argument("reference", metavar="ID")
@click.option("--reason", metavar="TEXT", help="Why.")
@json_option
@click.pass_obj
def approve(context: CliContext, reference: str, reason: str | None, as_json: bool) -> None:
    """Record that what the filters' findings led to was right."""
    _review(context, reference, "approve", reason, as_json)


@review.command
@click.argument("reference", metavar="ID")
@click.option("--reason", metavar="TEXT", help="Why.")
@json_option
@click.pass_obj
def overturn(context: CliContext, reference: str, reason: str | None, as_json: bool) -> None:
    """Record that what the filters' findings led to was wrong.

    The verdicts and what was done stay on record as they are.
    """
    _review(context, reference, "overturn", reason, as_json)


def _review(
    context: CliContext, reference: str, decision: str, reason: str | None, as_json: bool
) -> None:
    session = context.session
    identifier = session.store.find(reference)
    session.review(identifier, decision, reason)
    if not as_json:
        write_note(f"recorded, of {identifier}")
        return
    from muniment.store.recording.events import to_json

    _, reviews = session.store.acts(identifier)
    write_json(to_json(reviews[-1]))
