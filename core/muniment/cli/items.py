"""Print the items of outputs that are lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from muniment.cli.context import CliContext, context_of
from muniment.cli.listing import emit
from muniment.cli.output import write_data, write_note
from muniment.cli.values import excerpt, pluralize
from muniment.errors import MunimentError, PolicyError
from muniment.types.generations import Generation

if TYPE_CHECKING:
    from muniment.generation.lists import Candidate
    from muniment.store import Store


def candidates_of(context: CliContext, generation: Generation) -> list[Candidate]:
    """Return the candidates of a recorded generation, or none and a note if they are unreadable.

    No plugin is loaded for text.
    """
    if all(output.media_type.startswith("text/") for output in generation.outputs):
        return []
    try:
        return context.session.candidates(generation)
    except MunimentError as error:
        write_note(f"Warning: {error}")
        return []


def selection_of(context: CliContext, generation: Generation) -> Generation:
    """Return a recorded generation with the outputs that its caller got. Raises MunimentError."""
    if all(output.kept is None for output in generation.outputs):
        return generation
    return context.session.selection(generation)


def print_candidates(
    candidates: Sequence[Candidate], generation: Generation, rules: Sequence[str]
) -> None:
    """Print the candidates that were kept or blocked by rules of the policy, and count the others.

    If none was kept or blocked, all are printed.
    """
    blocked = _blocking_rules(generation, rules)

    def state(candidate: Candidate) -> str:
        if candidate.kept:
            return "kept"
        names = blocked.get(candidate.position)
        return f"blocked by {', '.join(names)}" if names else "not selected"

    used = [item for item in candidates if item.kept or item.position in blocked] or candidates
    write_data("\nitems")
    emit(
        used,
        (
            ("item", "position"),
            ("state", state),
            ("id", "id"),
            ("text", lambda candidate: excerpt(" ".join(candidate.text.split()))),
        ),
        False,
        cut="text",
    )
    if others := len(candidates) - len(used):
        write_data(f"{pluralize(others, 'more candidate')} not selected; --json lists them")


def _blocking_rules(generation: Generation, rules: Sequence[str]) -> Mapping[int, dict[str, None]]:
    """Return the names of the rules that blocked each item, in their order."""
    names: dict[int, dict[str, None]] = {}
    for verdict in generation.verdicts:
        if verdict.item is not None and verdict.action == "block":
            rule = verdict.policy_rule
            known = rule is not None and rule < len(rules)
            name = rules[rule] if known and rule is not None else verdict.filter
            names.setdefault(verdict.item, {})[name] = None
    return names


def unread_of(store: Store, generation: Generation) -> Sequence[str]:
    """Return the unread content of a recorded generation for whose stage its policy has rules."""
    if not generation.unread:
        return ()
    from muniment.generation.policy import parse_policy

    try:
        rules = parse_policy(store.policy_document(generation.id), "").filters
    except PolicyError:  # erased, or of another version of Muniment
        return generation.unread
    judged = {
        "input": any(rule.applies("input") for rule in rules),
        "output": any(rule.applies("item") for rule in rules),  # rules for outputs read items too
    }
    return [content for content in generation.unread if judged[_stage(content)]]


def _stage(content: str) -> str:
    return "input" if content.startswith("input ") else "output"


def write_notes(generation: Generation) -> None:
    """Print a note for each list with fewer items than wanted, and for content that is unread.

    The same unread content is noted once a command, as all images of a run are alike in this.
    """
    ctx = click.get_current_context()
    noted: set[str] = ctx.meta.setdefault(__name__, set())
    if not noted.issuperset(generation.unread):
        for content in unread_of(context_of(ctx).session.store, generation):
            write_note(f"Note: no filter read the {content}")
        noted.update(generation.unread)
    place = f"line {generation.line}: " if generation.line else ""
    for output in generation.outputs:
        if output.kept is not None and output.wanted and len(output.kept) < output.wanted:
            write_note(
                f"Note: {place}{len(output.kept)} of {output.wanted} wanted items; "
                f"{_reason_of_few(generation)}"
            )


def _reason_of_few(generation: Generation) -> str:
    blocked = {verdict.item for verdict in generation.verdicts if verdict.action == "block"}
    count = len(blocked - {None})
    return f"the policy blocked {pluralize(count, 'other')}" if count else "the list has no more"
