"""The measures of a design: recorded scores, or a distance between outputs.

    text-statistics.words       one measure of an evaluator
    text-statistics             all measures of an evaluator
    wording                     the words and word pairs of texts
    ranking                     the order of the items of lists
    embedding(model=NAME)       the embedding of outputs by a generator

An evaluator can have parameters, as in `classifier(model=NAME).positive`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import muniment

Kind = Literal["score", "wording", "ranking", "embedding"]
DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "text": ("text-statistics.words", "wording"),
    "image": ("embedding",),
    "list": ("ranking",),
}
"""The measures of a design without any, by the kind of its outputs."""

_DISTANCES: tuple[Kind, ...] = ("wording", "ranking", "embedding")


@dataclass(frozen=True, slots=True)
class MeasureSpec:
    """A measure as a design names it.

    Attributes:
        name: The text of the design.
        kind: `score` for recorded scores, and else the kind of distance.
        reference: The evaluator with its parameters, as `Session.run` takes it. The distance for
            the other kinds.
        evaluator: The parsed reference.
        measure: The measure of the evaluator, or empty for all of them.
        requested: The setting whose value the measure should equal, or empty.
    """

    name: str
    kind: Kind
    reference: str
    evaluator: muniment.EvaluatorSpec
    measure: str = ""
    requested: str = ""

    def accepts(self, score: muniment.Score) -> bool:
        """Return whether a recorded score is one of this measure."""
        if self.kind != "score" or score.evaluator.partition("(")[0] != self.evaluator.name:
            return False
        if self.measure not in ("", score.name):
            return False
        requested = self.evaluator.parameters.items()
        return all(
            name in score.parameters and _written(score.parameters[name]) == _written(value)
            for name, value in requested
        )


def parse_measure(text: str, requested: str = "") -> MeasureSpec:
    """Return the measure that a text names. Raise UsageError if it is malformed."""
    evaluator, measure = text.strip(), ""
    head, dot, tail = evaluator.rpartition(".")
    if dot and ")" not in tail and '"' not in tail:
        evaluator, measure = head, tail
    specs = muniment.parse_evaluators(evaluator)
    if len(specs) != 1 or (dot and not evaluator):
        raise muniment.UsageError(
            f"{text!r} is not a measure; use EVALUATOR.MEASURE, wording, ranking or embedding"
        )
    [spec] = specs
    for kind in _DISTANCES:
        if spec.name == kind:
            known = {"generator", "model"} if kind == "embedding" else set()
            unknown = sorted({*spec.parameters} - known) or ([measure] if measure else [])
            if unknown:
                raise muniment.UsageError(
                    f"the measure {kind} has no {unknown[0]!r}; use "
                    + ("generator and model" if known else f"{kind} alone")
                )
            return MeasureSpec(text.strip(), kind, evaluator, spec, requested=requested)
    return MeasureSpec(text.strip(), "score", evaluator, spec, measure, requested)


def _written(value: object) -> str:
    """Return a value of a parameter as a person writes it, since names have only texts."""
    if isinstance(value, list | tuple):
        return ",".join(map(_written, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
