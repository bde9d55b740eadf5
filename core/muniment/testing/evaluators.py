"""The contract suite for evaluators, run by pytest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from hypothesis import HealthCheck, given, settings, strategies as st

from muniment.generation.assessment import compute_scores
from muniment.hookspecs import Evaluator
from muniment.ids import new_id
from muniment.testing.contract import Contract, broken
from muniment.testing.factories import generation
from muniment.types import Generation, Output, Score, Text, Trace

_WORDS = st.sampled_from(["the", "satellite", "卫星", "。", "\n", "the the the", "42", ""])
_TEXTS = st.text() | st.lists(_WORDS, max_size=30).map(" ".join)
_LOGPROBS = st.lists(st.floats(max_value=0, allow_infinity=False, allow_nan=False), max_size=20)
_TRACES = st.none() | _LOGPROBS.map(
    lambda logprobs: Trace(range(len(logprobs)), logprobs, [0.5] * len(logprobs))
)


class EvaluatorContract(Contract):
    """Base class of an evaluator's test suite. Set `evaluator` to the evaluator's class.

    `undirected` names the measures without a better direction. `texts` are outputs to measure in
    addition to generated ones.
    """

    kind = "evaluator"
    evaluator: ClassVar[type[Evaluator]]
    undirected: ClassVar[Sequence[str]] = ()
    texts: ClassVar[Sequence[str]] = (
        "The satellite was launched. The satellite is up.",
        "最近我国成功发射了新的卫星。卫星发射了。",
    )

    def test_its_measures_declare_their_direction(self) -> None:
        """Check that every measure declares which direction is better, for comparing scores."""
        measures = {measure.name: measure for measure in self.registered.load_class().measures}
        for name, measure in measures.items():
            if measure.higher_is_better is None and name not in self.undirected:
                broken(
                    f"the measure {name!r} does not say which direction is better; give "
                    "muniment.Measure higher_is_better=True or False, or add it to the suite's "
                    "`undirected` if neither is better"
                )
        for name in self.undirected:
            if name not in measures or measures[name].higher_is_better is not None:
                broken(
                    f"`undirected` names {name!r}, which is not a measure without a direction; "
                    "remove it"
                )

    def test_the_same_generation_gets_the_same_scores(self) -> None:
        """Check that scores do not depend on the order, the object or the generation's id."""
        first, second = self.made(), self.made()
        samples = [generation(Text(text)) for text in self.texts]
        forward = [self._scores(first, sample) for sample in samples]
        backward = [self._scores(first, sample) for sample in reversed(samples)][::-1]
        by_second = [self._scores(second, replace(sample, id=new_id())) for sample in samples]
        for text, one, other, new in zip(self.texts, forward, backward, by_second, strict=True):
            if not one == other == new:
                broken(
                    f"{self.registered.name} measured {text[:40]!r} as {_format(one)} and then as "
                    f"{_format(other if other != one else new)}; a score must depend only on the "
                    "generation's content"
                )

    def test_it_gives_finite_numbers_for_any_output(self) -> None:
        """Check that no output causes NaN, infinity or an exception.

        A measure that cannot be computed must be omitted.
        """
        evaluator = self.made()

        @settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(self._outputs(), _TRACES)
        def check(outputs: tuple[Output, ...], trace: Trace | None) -> None:
            self._scores(evaluator, replace(generation(*outputs), trace=trace))

        check()

    def _outputs(self) -> st.SearchStrategy[tuple[Output, ...]]:
        strategies: list[st.SearchStrategy[Output]] = []
        for media_type in self.subject.media_types:
            if media_type.startswith("text/"):
                strategies.append(st.builds(Text, _TEXTS))
            else:
                strategies.append(st.builds(Output, st.just(media_type), st.binary()))
        return st.lists(st.one_of(strategies), max_size=3).map(tuple)

    def _scores(self, evaluator: Evaluator, measured: Generation) -> tuple[Score, ...]:
        """Return the scores. Fail the test if one of them failed."""
        scores = tuple(compute_scores(self.registered, evaluator, measured))
        for score in scores:
            if score.failure is not None:
                broken(
                    f"{score.failure}, of the output {measured.text[:40]!r}; return finite "
                    "numbers for names in `measures`, and omit those that cannot be measured"
                )
        return scores


def _format(scores: Sequence[Score]) -> str:
    return ", ".join(f"{score.name} {score.value!r}" for score in scores) or "nothing"
