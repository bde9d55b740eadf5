"""The command `muniment feedback` and the group `muniment review`."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from muniment.cli.audit_list import print_generations
from muniment.cli.context import CliContext
from muniment.cli.generation_lines import prompt_excerpt
from muniment.cli.lazy import LazyGroup
from muniment.cli.listing import Column, emit
from muniment.cli.options import (
    filter_options,
    headers_option,
    json_option,
    limit_option,
    no_match,
    query_of,
)
from muniment.cli.output import on_terminal, one_line, write_json, write_note
from muniment.cli.values import excerpt, moment, short_id
from muniment.ledger.events import ReviewEntry
from muniment.types.generations import Generation
from muniment.types.verdicts import DECISIONS, Verdict


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
@partial(filter_options, without=("decision", "filter", "reviewed"))
@limit_option(20)
@headers_option
@json_option
@click.pass_obj
def queue(context: CliContext, /, limit: int, as_json: bool, **filters: Any) -> None:
    """List flagged and blocked generations without a review, newest first.

    A generation must match all given options.

    The reason is that of the most severe verdict, with its category. Piped output has the columns
    of `audit list`, and then filter, category and reason.
    """
    events, query = context.store.events, query_of(context, filters, limit=limit)
    queued, total = events.unreviewed(query), partial(events.unreviewed_count, query)
    empty = partial(no_match, context.store, query, "no generation needs a review")
    if on_terminal() and not as_json:
        emit(
            queued,
            _QUEUE,
            as_json,
            empty=empty,
            cut="prompt",
            limit=limit,
            total=total,
        )
    else:
        print_generations(queued, as_json, empty, limit, total, further=_FINDING)


_SHOWN = 400  # characters of a category with its reason on a terminal, which wraps them


def _worst(generation: Generation) -> Verdict:
    """Return the most severe verdict of a generation, the first of several."""
    return max(
        generation.verdicts,
        key=lambda verdict: (DECISIONS.index(verdict.action), DECISIONS.index(verdict.decision)),
        default=Verdict("allow"),
    )


def _category(generation: Generation) -> str:
    """Return the category of the most severe verdict with the highest score."""
    verdict = _worst(generation)
    found = {name: score for name, score in verdict.categories.items() if score > 0}
    if verdict.reasons:
        return verdict.reasons[0].category
    return max(found, key=lambda name: found[name], default="")


def _message(generation: Generation) -> str:
    verdict = _worst(generation)
    return verdict.failure or next((one.message for one in verdict.reasons if one.message), "")


def _reason(generation: Generation) -> str:
    """Return the category and the message of a finding, or the filter if it has neither."""
    parts = filter(None, (_category(generation), _message(generation)))
    return excerpt(": ".join(parts) or _worst(generation).filter, _SHOWN)


_FINDING: list[Column[Generation]] = [
    ("filter", lambda item: _worst(item).filter),
    ("category", _category),
    ("reason", lambda item: excerpt(_message(item))),
]
_QUEUE: list[Column[Generation]] = [
    ("id", lambda item: short_id(item.id)),
    ("started", "started_at"),
    ("decision", "decision"),
    ("reason", _reason),
    ("prompt", prompt_excerpt),
]


_PARTICIPLES = {"approve": "approved", "overturn": "overturned"}
_JUDGEMENTS = {"approve": "right", "overturn": "wrong"}


@review.command
@click.argument("reference", metavar="ID")
@click.option("--reason", metavar="TEXT", help="Reason for the decision.")
@json_option
@click.pass_obj
def approve(context: CliContext, reference: str, reason: str | None, as_json: bool) -> None:
    """Mark the filters' decision to flag or block as right.

    A review is added to earlier ones. A note on standard error names one by the same person.
    """
    _review(context, reference, "approve", reason, as_json)


@review.command
@click.argument("reference", metavar="ID")
@click.option("--reason", metavar="TEXT", help="Reason for the decision.")
@json_option
@click.pass_obj
def overturn(context: CliContext, reference: str, reason: str | None, as_json: bool) -> None:
    """Mark the filters' decision to flag or block as wrong.

    The recorded verdicts and output do not change.

    A review is added to earlier ones. A note on standard error names one by the same person.
    """
    _review(context, reference, "overturn", reason, as_json)


def _review(
    context: CliContext, reference: str, decision: str, reason: str | None, as_json: bool
) -> None:
    session = context.session
    identifier = session.store.find(reference)
    earlier = [
        event
        for event in session.store.events.of(identifier, ReviewEntry)
        if event.actor == session.actor
    ]
    recorded = session.review(identifier, decision, reason)
    if as_json:
        write_json(recorded)
    else:
        reviewed = session.store.generation(identifier).decision
        verdict, shown = _JUDGEMENTS[decision], short_id(identifier, "stderr")
        write_note(f"Marked the decision to {reviewed} as {verdict}: {shown}")
    if earlier:
        last = earlier[-1]
        write_note(
            f"{one_line(session.actor)} had {_PARTICIPLES[last.entry.decision]} it already, at "
            f"{moment(last.at)}; both reviews are recorded"
        )
