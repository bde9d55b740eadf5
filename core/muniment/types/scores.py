"""Measures, scores of evaluators and log-probabilities of texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from muniment.parameters import Value
from muniment.representation import showing


@dataclass(frozen=True, slots=True)
class Measure:
    """A quantity that an evaluator measures.

    `higher_is_better` is None if neither direction is better.

    Example:
        >>> muniment.Measure("perplexity", higher_is_better=False).name
        'perplexity'
    """

    name: str
    unit: str = ""
    higher_is_better: bool | None = None

    __repr__ = showing()


@dataclass(frozen=True, slots=True)
class Score:
    """One value that an evaluator measured.

    Attributes:
        evaluator: The name of the evaluator, with the parameters that differ from its defaults,
            as in `similarity(scale=2)`. Only the name remains after an erasure.
        version: Its version.
        name: The name of the measure.
        value: None if the evaluator failed.
        unit: The unit of the measure.
        higher_is_better: None if neither direction is better.
        failure: The reason why the evaluator failed, or None.
        parameters: The effective parameters of the evaluator, defaults included.
        models: The digests of the models of parameters, by the name of the parameter.
        latency_ms: The running time of the evaluator, which several values can share. Scores
            that differ only in it are equal.

    Example:
        >>> muniment.Score("words", "1", "words", 5.0, "words").value
        5.0
    """

    evaluator: str
    version: str
    name: str
    value: float | None
    unit: str = ""
    higher_is_better: bool | None = None
    failure: str | None = None
    parameters: Mapping[str, Value] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    latency_ms: float = field(default=0.0, compare=False)

    __repr__ = showing("evaluator", "name", "value", "unit", "failure")


@dataclass(frozen=True, slots=True)
class TokenScores:
    """The probabilities that a model assigns to the tokens of a text.

    The three sequences have equal length. `logprobs` are natural logarithms of the probability of
    each token, given the prompt and the tokens before it, at temperature 1 without truncation.
    `offsets` are the first character of each token in the text, and the one after its last.

    Example:
        >>> scores = muniment.TokenScores([12, 7], [-0.5, -1.5], [(0, 3), (3, 8)])
        >>> sum(scores.logprobs) / len(scores.logprobs)
        -1.0
    """

    token_ids: Sequence[int]
    logprobs: Sequence[float]
    offsets: Sequence[tuple[int, int]]

    __repr__ = showing()
