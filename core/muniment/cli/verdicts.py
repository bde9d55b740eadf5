"""The decision about a generation in words, from the verdicts of its filters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from muniment.cli.output import one_line
from muniment.cli.status_line import rule_counts
from muniment.errors import PolicyError
from muniment.types.generations import Generation
from muniment.types.verdicts import UNDECIDED, Decision, Verdict

if TYPE_CHECKING:
    from muniment.store import Store

_PARTICIPLES: dict[Decision, str] = {"allow": "allowed", "flag": "flagged", "block": "blocked"}


def status_text(generation: Generation) -> str:
    """Return the status for a terminal, and whether the generation was flagged."""
    flagged = generation.decision == "flag"
    return f"{generation.status}, flagged" if flagged else generation.status


def rule_names(document: str) -> Sequence[str]:
    """Return the names of the rules of a recorded policy, or none if it cannot be read."""
    from muniment.generation.policy import parse_policy

    try:
        return parse_policy(document, "").rule_names
    except PolicyError:  # erased, or of another version of Muniment
        return ()


def filters_of_rule(documents: Iterable[str], name: str) -> list[str]:
    """Return the filters of the rules with a name in recorded policies, sorted."""
    from muniment.generation.policy import parse_policy

    filters: set[str] = set()
    for document in documents:
        with suppress(PolicyError):  # erased, or of another version of Muniment
            policy = parse_policy(document, "")
            pairs = zip(policy.rule_names, policy.filters, strict=True)
            filters |= {rule.filter for rule_name, rule in pairs if rule_name == name}
    return sorted(filters)


def outcome_sentence(generation: Generation, store: Store) -> str:
    """Return why a generation was blocked or failed, without content of a blocked output.

    The store has the names of the rules.
    """
    if generation.status == "failed":
        reason = generation.failure.message if generation.failure else "no reason was recorded"
        return f"Error: {one_line(reason)}"
    if generation.status != "blocked":
        return f"{generation.status.capitalize()}: no output"
    rules = rule_names(store.policy_document(generation.id))
    # A list that cannot be read is blocked by rules that only observe, too.
    blocking = [verdict for verdict in generation.verdicts if verdict.action == "block"] or [
        verdict for verdict in generation.verdicts if verdict.failure is not None
    ]
    blocks = dict.fromkeys(_block(verdict, rules) for verdict in blocking)
    return one_line(f"Blocked: {'; '.join(blocks)} (policy {generation.policy})")


def _block(verdict: Verdict, rules: Sequence[str]) -> str:
    """Return which filter blocked what, and the causes."""
    content = {"system": "system prompt", "item": "items"}.get(verdict.stage, judged(verdict))
    if verdict.failure is not None:
        return f"the {content} could not be checked: {verdict.failure}"
    # A reason may quote the text it is about. For outputs and items only categories are printed.
    causes = dict.fromkeys(
        f"{reason.category} ({reason.message})"
        if reason.message and verdict.stage not in ("output", "item")
        else reason.category
        for reason in verdict.reasons
    ) or dict.fromkeys(name for name, score in verdict.categories.items() if score > 0)
    suffix = f" for {', '.join(causes)}" if causes else ""
    return f"{_source(verdict, rules)} blocked the {content}{suffix}"


def decision_text(generation: Generation, rules: Sequence[str]) -> str:
    """Return the decision, and below it a line for each verdict that is not a plain pass."""
    if generation.status == "started" and not generation.verdicts:
        return ""
    decision = generation.decision
    word = UNDECIDED if decision is None else _PARTICIPLES[decision]
    first = f"{word} · {rule_counts(generation) or 'no filter checked it'}"
    return "\n".join([first, *_findings(generation.verdicts, rules)])


def _findings(verdicts: Sequence[Verdict], rules: Sequence[str]) -> Iterator[str]:
    for verdict in verdicts:
        action = verdict.observed_action or verdict.action
        if action == verdict.decision == "allow" and verdict.failure is None:
            continue
        done = f"{'would be ' if verdict.observed_action else ''}{_PARTICIPLES[action]} by "
        done += _source(verdict, rules)
        if verdict.failure is not None:
            done += ", which failed"
        elif action != verdict.decision:
            done += f", which decided {verdict.decision}"
        if verdict.observed_action:
            done += "; the policy only observes"
        causes = ", ".join(
            cause if number == 1 else f"{cause} ({number} times)"
            for cause, number in Counter(_causes(verdict)).items()
        )
        yield f"{judged(verdict)}: {done}" + (f": {causes}" if causes else "")


def _causes(verdict: Verdict) -> Iterator[str]:
    """Yield the failure, the categories with their scores, and the messages of the reasons."""
    if verdict.failure is not None:
        yield verdict.failure
    yield from (f"{name} {score:.2f}" for name, score in verdict.categories.items() if score)
    named = [name for name, score in verdict.categories.items() if score]
    for reason in verdict.reasons:
        if reason.message:
            yield reason.message
        elif reason.category not in named:
            yield reason.category


def verdict_text(verdict: Verdict, rules: Sequence[str]) -> str:
    """Return all parts of a verdict in one line."""
    parts = [f"{judged(verdict)}: {verdict.filter} {verdict.version} {verdict.decision}"]
    if verdict.action != verdict.decision:
        parts.append(f"taken: {verdict.action}")
    if verdict.observed_action:
        parts.append(f"only observed: {verdict.observed_action}")
    if verdict.failure:
        parts.append(verdict.failure)
    parts += [f"{name} {score:.2f}" for name, score in verdict.categories.items() if score]
    parts += [reason.message for reason in verdict.reasons if reason.message]
    if verdict.policy_rule is not None:
        parts.append(f"rule {_rule(verdict, rules)}")
    return " · ".join(parts)


def _rule(verdict: Verdict, rules: Sequence[str]) -> str:
    """Return the name of a verdict's rule, its position if the name is unknown, or no text."""
    rule = verdict.policy_rule
    if rule is None:
        return ""
    return rules[rule] if rule < len(rules) else str(rule)


def _source(verdict: Verdict, rules: Sequence[str]) -> str:
    """Return the filter of a verdict, and its rule if that has another name."""
    rule = _rule(verdict, rules)
    named = rule not in ("", verdict.filter)
    return f"filter {verdict.filter}" + (f" (rule {rule})" if named else "")


def judged(verdict: Verdict) -> str:
    """Return which content of a request or its outputs a verdict is about."""
    if verdict.input is not None:
        return f"input {verdict.input}"
    if verdict.parameter is not None:
        return f"parameter {verdict.parameter}"
    return verdict.stage + (f" {verdict.item}" if verdict.item else "")
