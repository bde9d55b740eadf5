"""Conditions on differences that fail a gate, such as `score<-0.02`."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import muniment
from muniment_analysis.recorded_scores import find_score

from .differences import ScoreDifference

Part = Literal["value", "low", "high"]

_CONDITION = re.compile(r"\s*(\S.*?)(?::(value|low|high))?\s*(<=|>=|<|>)\s*(\S+?)\s*")
_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Condition:
    """A condition that fails the gate where it holds.

    Attributes:
        text: The condition as the user wrote it.
        score: The score, as `find_score` takes it.
        part: The part of the difference that is compared: the value, or a bound of the interval.
        operator: `<`, `>`, `<=` or `>=`.
        limit: The number that it is compared with.
    """

    text: str
    score: str
    part: Part
    operator: str
    limit: float

    def holds(self, difference: ScoreDifference) -> bool:
        """Return whether a difference meets the condition. A rounding error does not count."""
        number = getattr(difference.difference, self.part)
        if math.isclose(number, self.limit, rel_tol=1e-9, abs_tol=1e-15):
            return "=" in self.operator
        return _OPERATORS[self.operator](number, self.limit)


@dataclass(frozen=True)
class GateResult:
    """The result of a condition: `failed`, and the reason as a sentence."""

    condition: Condition
    failed: bool
    reason: str

    def __str__(self) -> str:
        return f"{'FAIL' if self.failed else 'PASS'} {self.condition.text}: {self.reason}"

    def to_json(self) -> dict[str, Any]:
        """Return the condition, whether it passed, and the reason."""
        return {
            "condition": self.condition.text,
            "passed": not self.failed,
            "reason": self.reason,
        }


def parse_gate(text: str) -> Condition:
    """Return the condition that a text describes. Raise UsageError if it is malformed."""
    match = _CONDITION.fullmatch(text)
    if match and match[1].endswith("="):  # `score=<1`
        raise muniment.UsageError(
            f"--fail-on {text!r} has no operator; use {match[3]}= in place of ={match[3]}"
        )
    try:
        limit = float(match[4]) if match else math.nan
    except ValueError:
        limit = math.nan
    if match is None or not math.isfinite(limit):
        raise muniment.UsageError(
            f"--fail-on {text!r} is not a condition; use a score, one of < <= > >= and a number, "
            "as in 'score<-0.02'"
        )
    return Condition(text.strip(), match[1], cast(Part, match[2] or "value"), match[3], limit)


def check_gate(
    conditions: Sequence[Condition],
    differences: Mapping[str, ScoreDifference],
    *,
    allow_incomplete: bool = False,
) -> list[GateResult]:
    """Return the result of each condition on the differences by the full names of their scores.

    An item without a pair, or an output without a value, fails the gate too, unless
    `allow_incomplete`. Raises UnknownNameError for a score without a difference.
    """
    results = []
    for condition in conditions:
        difference = differences[find_score(condition.score, differences)]
        problem = "" if allow_incomplete else _problem(difference)
        _, low, high, items = difference.difference
        value = difference.difference.value
        reason = (
            problem
            or f"the difference is {value:.4g} ({low:.4g} to {high:.4g}) over {items:,} items"
        )
        failed = bool(problem) or condition.holds(difference)
        results.append(GateResult(condition, failed, reason))
    return results


def _problem(difference: ScoreDifference) -> str:
    """Return which values the score lacks, or an empty text."""
    problems = []
    if difference.left_out:
        reasons = ", ".join(dict.fromkeys(difference.left_out.values()))
        problems.append(f"items without a pair: {len(difference.left_out):,} ({reasons})")
    problems += [
        f"outputs of {name} without a value: {number:,}"
        for name, number in zip("AB", difference.missing, strict=True)
        if number
    ]
    remedy = "; repeat them, or use --allow-incomplete"
    return f"{', '.join(problems)}{remedy}" if problems else ""
