"""The line about a generation that `generate` prints on stderr."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from muniment.cli.output import on_terminal, one_line, write_styled
from muniment.cli.values import coloured_status, pluralize, short_id

if TYPE_CHECKING:
    from muniment.types.generations import Generation
    from muniment.types.verdicts import Decision, Verdict


_SEVERITY: dict[Decision, int] = {"allow": 0, "flag": 1, "block": 2}
# Outcomes from mild to severe. The second and third are those of a rule that only observes.
_OUTCOMES = {
    "rule": ("passed", "would flag", "would block", "flagged", "blocked"),
    "item": ("passed", "would be flagged", "would be blocked", "flagged", "blocked"),
}


def write_status(generation: Generation, loading: float = 0.0) -> None:
    """Write the summary of a generation that `generate` prints to stderr, in one line if it fits.

    The time has a part of its own for the seconds in which models were loaded.
    """
    parts: list[str] = []
    if generation.model is not None:
        parts.append(generation.model.name)
    parts.append(f"seed {generation.seed}")
    if counts := rule_counts(generation):
        parts.append(counts)
    if generation.finished_at is not None:
        seconds = (generation.finished_at - generation.started_at).total_seconds()
        took = f"{max(seconds - loading, 0):.1f} s"
        usage = generation.usage
        parts.append(f"{pluralize(usage.output_tokens, 'token')} in {took}" if usage else took)
        if loading >= 0.05:
            parts.append(f"loading {loading:.1f} s")
    identifier = short_id(generation.id, "stderr")
    parts = [generation.status, *map(one_line, parts)]
    lines = [" · ".join(parts)]
    if on_terminal("stderr"):
        lines = _lines(parts, len(identifier) + 2)
    status = coloured_status(generation.status)
    lines[0] = f"{identifier}  {status}{lines[0].removeprefix(generation.status)}"
    write_styled("\n".join(lines), "stderr")


def _lines(parts: Sequence[str], indent: int) -> list[str]:
    """Return the parts in lines that fit the terminal after the id, divided between two parts."""
    from rich.cells import cell_len

    from muniment.cli.wrapping import terminal_width

    width = terminal_width() - indent
    lines = [parts[0]]
    for part in parts[1:]:
        if cell_len(f"{lines[-1]} · {part}") > width:
            lines.append(f"· {part}")
        else:
            lines[-1] += f" · {part}"
    return [lines[0], *(" " * indent + line for line in lines[1:])]


def rule_counts(generation: Generation) -> str:
    """Return how many of the policy's rules, and of a list's items, passed or not.

    A rule counts once, by its most severe action, however many contents its filter checked.
    """
    worst: dict[tuple[str, object], int] = {}
    for verdict in generation.verdicts:
        rule = verdict.filter if verdict.policy_rule is None else verdict.policy_rule
        key = ("item", verdict.item) if verdict.item else ("rule", rule)
        worst[key] = max(worst.get(key, 0), _outcome(verdict))
    numbers = Counter((noun, outcome) for (noun, _), outcome in worst.items())
    return " · ".join(
        f"{pluralize(number, noun)} {words}"
        for noun, outcomes in _OUTCOMES.items()
        for outcome, words in enumerate(outcomes)
        if (number := numbers[noun, outcome])
    )


def _outcome(verdict: Verdict) -> int:
    """Return the position in `_OUTCOMES` of what a verdict led to, or would have led to."""
    if action := _SEVERITY[verdict.action]:
        return action + 2
    return _SEVERITY[verdict.observed_action or "allow"]
