"""Conditions on scores, such as `perplexity<20`, and the order of generations by a score.

A score is named by its measure, or by `EVALUATOR.NAME` if several evaluators use that name.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from sqlalchemy import Connection

from muniment.errors import AmbiguousNameError, UnknownNameError, UsageError
from muniment.store.queries.origins import distinct

_CONDITION = re.compile(r"\s*([^<>=!]+?)\s*(<=|>=|!=|=|<|>)\s*(\S+)\s*")
_ORDER = re.compile(r"(-?)score:(.+)")


@dataclass(frozen=True, slots=True)
class ScoreCondition:
    """A comparison of a score with a number.

    Attributes:
        score: The name of the score.
        operator: `<`, `<=`, `>`, `>=`, `=` or `!=`, which are also operators of SQL.
        value: The number.
    """

    score: str
    operator: str
    value: float


@dataclass(frozen=True, slots=True)
class ScoreOrder:
    """An order by the score with this name, the lowest first or the highest first."""

    score: str
    descending: bool


def parse_condition(text: str) -> ScoreCondition:
    """Return the condition in a text. Raise UsageError if the text is malformed."""
    match = _CONDITION.fullmatch(text)
    try:
        value = float(match[3]) if match else math.nan
    except ValueError:
        value = math.nan
    if match is None or not math.isfinite(value):
        raise UsageError(
            f"{text!r} is not a condition on a score; use a name, one of < <= > >= = != and a "
            "number, as in 'perplexity<20'"
        )
    return ScoreCondition(match[1], match[2], value)


def parse_order(text: str) -> ScoreOrder:
    """Return the order in a text. Raise UsageError if the text is malformed."""
    match = _ORDER.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{text!r} is not an order; use score:NAME for the lowest score first, or -score:NAME "
            "for the highest"
        )
    return ScoreOrder(match[2], match[1] == "-")


def find_score(connection: Connection, reference: str) -> tuple[str, str]:
    """Return the evaluator and the measure of a recorded score.

    Raise UnknownNameError if no recorded score has this name, and AmbiguousNameError if several
    evaluators use it.
    """
    pairs = [
        (evaluator, name)
        for name in distinct(connection, "score", "name")
        for evaluator in distinct(connection, "score", "evaluator", ("name", name))
    ]
    matches = [(one, name) for one, name in pairs if reference in (name, f"{one}.{name}")]
    if not matches:
        raise UnknownNameError("score", reference, sorted({name for _, name in pairs}))
    if len(matches) > 1:
        raise AmbiguousNameError("score", reference, sorted(map(".".join, matches)))
    return matches[0]
