"""The decision about a generation in words, from the verdicts of its filters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from muniment.cli.output import filter_counts
from muniment.errors import PolicyError
from muniment.types import Decision, Generation, Verdict

_PARTICIPLES: dict[Decision, str] = {"allow": "allowed", "flag": "flagged", "block": "blocked"}


def rule_names(document: str) -> Sequence[str]:
    """Return the names of the rules of a recorded policy, or none if it cannot be read."""
    from muniment.generation.policy import parse_policy

    try:
        return parse_policy(document, "").rule_names
    except PolicyError:  # erased, or of another version of Muniment
        return ()


def decision_text(generation: Generation, rules: Sequence[str]) -> str:
    """Return the decision, and below it a line for each verdict that is not a plain pass."""
    if not generation.verdicts:
        return "" if generation.status == "started" else "allowed · no filter checked it"
    decision: Decision = generation.decision
    first = f"{_PARTICIPLES[decision]} · {filter_counts(generation)}"
    return "\n".join([first, *_findings(generation.verdicts, rules)])


def _findings(verdicts: Sequence[Verdict], rules: Sequence[str]) -> Iterator[str]:
    for verdict in verdicts:
        action = verdict.observed_action or verdict.action
        if action == verdict.decision == "allow" and verdict.failure is None:
            continue
        source = f"filter {verdict.filter}"
        if (rule := _rule(verdict, rules)) not in ("", verdict.filter):
            source += f" (rule {rule})"
        done = f"{'would be ' if verdict.observed_action else ''}{_PARTICIPLES[action]} by {source}"
        if verdict.failure is not None:
            done += ", which failed"
        elif action != verdict.decision:
            done += f", which decided {verdict.decision}"
        if verdict.observed_action:
            done += "; the policy only observes"
        causes = ", ".join(_causes(verdict))
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


def judged(verdict: Verdict) -> str:
    """Return which content of a request or its outputs a verdict is about."""
    if verdict.input is not None:
        return f"input {verdict.input}"
    if verdict.parameter is not None:
        return f"parameter {verdict.parameter}"
    return verdict.stage + (f" {verdict.item}" if verdict.item else "")
