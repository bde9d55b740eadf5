"""The filters of a query for generations, which `planner.py` evaluates."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from muniment.errors import UsageError
from muniment.store.database.tables import generation
from muniment.types import Decision, Status

_CONDITION = re.compile(r"\s*([^<>=!]+?)\s*(<=|>=|!=|=|<|>)\s*(\S+)\s*")
_ORDER = re.compile(r"(-?)score:(.+)")


@dataclass(frozen=True, slots=True)
class Query:
    """Filters for generations. A generation matches if it passes all filters that are not None.

    Attributes:
        since: Earliest start, included.
        until: Latest start, excluded.
        status: The status. A started generation whose process has ended is interrupted.
        generator: The name of the generator.
        model: The model's name, its digest or a prefix of the digest.
        decision: The most severe action taken. With `filter`, the decision of that filter instead,
            whether or not the policy acted on it.
        filter: The name of a filter that returned a verdict.
        actor: The name of the actor.
        tag: A tag.
        run: The whole id of the run.
        seed: The seed.
        limit: Maximum number of generations.
        ids: The whole ids of generations.
        scores: Conditions on scores, such as `perplexity<20`. A score that failed or is missing
            meets none. `statistics.length>5` also names the evaluator, which is needed if several
            evaluators use the name.
        sort: The order of a list: `score:perplexity` for the lowest score first, or
            `-score:perplexity` for the highest. Generations without the score come last. By
            default the newest come first, as they always do outside of lists.
    """

    since: datetime | None = None
    until: datetime | None = None
    status: Status | None = None
    generator: str | None = None
    model: str | None = None
    decision: Decision | None = None
    filter: str | None = None
    actor: str | None = None
    tag: str | None = None
    run: str | None = None
    seed: int | None = None
    limit: int | None = None
    ids: Sequence[str] | None = None
    scores: Sequence[str] | None = None
    sort: str | None = None

    def __post_init__(self) -> None:
        """Raise UsageError if a condition or the order is malformed."""
        for condition in self.scores or ():
            parse_condition(condition)
        if self.sort is not None:
            parse_order(self.sort)


COLUMNS = (
    generation.c.seq,
    generation.c.outcome,
    generation.c.id,
    generation.c.status,
)


class GenerationRow(NamedTuple):
    """A row of `COLUMNS`: number, number of the outcome, id and stored status."""

    seq: int
    outcome: int | None
    id: str
    status: str


def parse_condition(text: str) -> tuple[str, str, float]:
    """Return the name of the score, the operator and the number of a condition.

    The operators are also operators of SQL. Raise UsageError if the text is malformed.
    """
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
    return match[1], match[2], value


def parse_order(text: str) -> tuple[str, bool]:
    """Return the name of the score of an order, and whether the highest come first.

    Raise UsageError if the text is malformed.
    """
    match = _ORDER.fullmatch(text)
    if match is None:
        raise UsageError(
            f"{text!r} is not an order; use score:NAME for the lowest score first, or -score:NAME "
            "for the highest"
        )
    return match[2], match[1] == "-"
