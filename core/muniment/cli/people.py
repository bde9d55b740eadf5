"""`muniment feedback` and `muniment review`: what people think of generations, and decide."""

from __future__ import annotations

from typing import Any

import click

from muniment.cli.audit_read import listing
from muniment.cli.context import Settings
from muniment.cli.options import json_option, limit_option
from muniment.cli.output import data_json, message


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
    settings: Settings, reference: str, rating: str | None, comment: str | None, as_json: bool
) -> None:
    """Say what you think of a generation.

    ID is a unique beginning or end of an id, or `last`. It is recorded beside what others said,
    with who said it; nothing is replaced. `audit show` shows it.
    """
    if rating is None and not comment:
        raise click.UsageError("say --rating or --comment.")
    session = settings.session
    identifier = session.store.find(reference)
    session.feedback(identifier, rating, comment)
    _recorded(settings, identifier, 0, as_json)


@click.group
def review() -> None:
    """Review what filters flagged or blocked."""


@review.command
@limit_option(20)
@json_option
@click.pass_obj
def queue(settings: Settings, limit: int, as_json: bool) -> None:
    """List what filters flagged or blocked and nobody has reviewed yet, the newest first.

    Off a terminal the columns are those of `audit list`.
    """
    listing(settings.store.review_queue(limit or None), as_json=as_json)


@review.command
@click.argument("reference", metavar="ID")
@click.option("--reason", metavar="TEXT", help="Why.")
@json_option
@click.pass_obj
def approve(settings: Settings, reference: str, reason: str | None, as_json: bool) -> None:
    """Record that what the filters' findings led to was right."""
    _review(settings, reference, "approve", reason, as_json)


@review.command
@click.argument("reference", metavar="ID")
@click.option("--reason", metavar="TEXT", help="Why.")
@json_option
@click.pass_obj
def overturn(settings: Settings, reference: str, reason: str | None, as_json: bool) -> None:
    """Record that what the filters' findings led to was wrong.

    The verdicts and what was done stay on record as they are.
    """
    _review(settings, reference, "overturn", reason, as_json)


def _review(
    settings: Settings, reference: str, decision: str, reason: str | None, as_json: bool
) -> None:
    session = settings.session
    identifier = session.store.find(reference)
    session.review(identifier, decision, reason)
    _recorded(settings, identifier, 1, as_json)


def _recorded(settings: Settings, identifier: str, which: int, as_json: bool) -> None:
    from muniment.store.recording.events import to_json

    if not as_json:
        message(f"recorded, of {identifier}")
        return
    acts: tuple[Any, Any] = settings.session.store.acts(identifier)
    data_json(to_json(acts[which][-1]))
