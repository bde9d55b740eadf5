"""The command `muniment feedback` and the group `muniment review`."""

from __future__ import annotations

import click

from muniment.cli.audit_list import print_generations
from muniment.cli.context import CliContext
from muniment.cli.lazy import LazyGroup
from muniment.cli.options import json_option, limit_option
from muniment.cli.output import short_id, write_json, write_note


@click.command
@click.argument("reference", metavar="ID")
@click.option(
    "--rating",
    type=click.Choice(("up", "down", "1", "2", "3", "4", "5")),
    help="Rating of the generation.",
)
@click.option("--comment", metavar="TEXT", help="Comment on the generation.")
@click.option(
    "--action",
    type=click.Choice(("impression", "click", "like", "dislike", "buy")),
    help="Action of a user.",
)
@click.option("--item", metavar="ITEM", help="Id of an item of a list that the feedback is about.")
@json_option
@click.pass_obj
def feedback(
    context: CliContext,
    reference: str,
    rating: str | None,
    comment: str | None,
    action: str | None,
    item: str | None,
    as_json: bool,
) -> None:
    """Rate a generation, comment on it, or record a user's action.

    ID is a unique beginning or end of an id, or `last`. Feedback is recorded with the actor's
    name and added to earlier feedback. `audit show` prints it. With --item it is about one item
    that the generation returned.
    """
    if rating is None and not comment and action is None:
        raise click.UsageError("the feedback is empty; use --rating, --comment or --action.")
    session = context.session
    identifier = session.store.find(reference)
    recorded = session.feedback(identifier, rating, comment, action=action, item=item)
    if as_json:
        write_json(recorded)
    else:
        write_note(f"Feedback recorded for {short_id(identifier, 'stderr')}.")


@click.group(cls=LazyGroup)
def review() -> None:
    """Review generations that filters flagged or blocked."""


@review.command
@limit_option(20)
@json_option
@click.pass_obj
def queue(context: CliContext, limit: int, as_json: bool) -> None:
    """List flagged and blocked generations without a review, newest first.

    Piped output has the columns of `audit list`.
    """
    queued = context.store.events.unreviewed(limit or None)
    print_generations(queued, as_json, "no generation needs a review", limit)


@review.command
@click.argument("reference", metavar="ID")
@click.option("--reason", metavar="TEXT", help="Reason for the decision.")
@json_option
@click.pass_obj
def approve(context: CliContext, reference: str, reason: str | None, as_json: bool) -> None:
    """Mark the filters' decision to flag or block as right."""
    _review(context, reference, "approve", reason, as_json)


@review.command
@click.argument("reference", metavar="ID")
@click.option("--reason", metavar="TEXT", help="Reason for the decision.")
@json_option
@click.pass_obj
def overturn(context: CliContext, reference: str, reason: str | None, as_json: bool) -> None:
    """Mark the filters' decision to flag or block as wrong.

    The recorded verdicts and output do not change.
    """
    _review(context, reference, "overturn", reason, as_json)


def _review(
    context: CliContext, reference: str, decision: str, reason: str | None, as_json: bool
) -> None:
    session = context.session
    identifier = session.store.find(reference)
    recorded = session.review(identifier, decision, reason)
    if as_json:
        write_json(recorded)
    else:
        participle = {"approve": "approved", "overturn": "overturned"}[decision]
        write_note(f"Marked as {participle}: {short_id(identifier, 'stderr')}")
