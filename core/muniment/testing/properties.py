"""The contract suites for filters and evaluators, whose inputs Hypothesis generates."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from muniment.errors import ParameterError, PluginError
from muniment.failures import describe
from muniment.generation.evaluation import BoundEvaluator, bind_evaluator
from muniment.hookspecs import Evaluator, Filter, GroupEvaluator, ModelPowers
from muniment.ids import new_id
from muniment.plugins.invocation import validate_verdict
from muniment.testing.contract import Contract, broken, without_traceback
from muniment.testing.factories import generation
from muniment.types.generations import Generation
from muniment.types.media_types import accepts_media_type
from muniment.types.outputs import Output, Text
from muniment.types.replies import Trace
from muniment.types.scores import Score
from muniment.types.verdicts import Content, Stage, Verdict


def _png(size: tuple[int, int], shade: int) -> bytes:
    """Return a greyscale PNG image of one shade (0 to 255) with a size (width, height)."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", *size, 8, 0, 0, 0, 0)
    rows = (b"\0" + bytes([shade]) * size[0]) * size[1]
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


_SIZES = st.tuples(st.integers(1, 8), st.integers(1, 8))
_IMAGES = st.builds(_png, _SIZES, st.integers(0, 255))
_TRUNCATED_IMAGES = st.builds(lambda data, end: data[:end], _IMAGES, st.integers(0, 60))
_BYTES = st.one_of(_IMAGES, st.binary(), _TRUNCATED_IMAGES)
_STAGES: st.SearchStrategy[Stage] = st.sampled_from(("system", "prompt", "input", "output", "item"))


def _for_all(check: Callable[..., None], *inputs: st.SearchStrategy[Any]) -> None:
    """Run a check on inputs that Hypothesis generates."""
    options = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)
    options(given(*inputs)(check))()


class FilterContract(Contract):
    """Base class of a filter's test suite. Set `filter` to the filter's class.

    The filter is created with `parameters`. `samples` are texts in which it finds something. They
    are inserted into the generated texts. The spans of its reasons are replaced by `mask`, and
    must not be found again. Set `mask = None` for a filter that assesses a text as a whole.
    """

    kind = "filter"
    filter: ClassVar[type[Filter]]
    samples: ClassVar[Sequence[str]] = ()
    mask: ClassVar[str | None] = "█"

    @without_traceback
    def test_every_content_it_accepts_gets_a_verdict(self) -> None:
        """Check that any text and any image bytes get a verdict.

        A filter that raises blocks the whole generation.
        """
        subject = self._new_filter()

        def check(content: Content) -> None:
            verdict = self._verdict(subject, content)
            assert isinstance(verdict, Verdict), (
                f"check() of {_describe(content)} returned {type(verdict).__name__}; return "
                "content.allow(), content.flag(...) or content.block(...)"
            )

        _for_all(check, self._contents())

    @without_traceback
    def test_its_verdicts_are_valid_and_their_spans_lie_within_the_text(self) -> None:
        """Check that scores are from 0 to 1 and that spans lie within the content."""
        subject = self._new_filter()

        def check(content: Content) -> None:
            try:
                validate_verdict(self._verdict(subject, content), content)
            except (TypeError, ValueError) as error:
                broken(
                    f"the verdict on {_describe(content)} cannot be used: {error}; give spans in "
                    "characters of content.text, and scores from 0 to 1"
                )

        _for_all(check, self._contents())

    @without_traceback
    def test_redacted_spans_are_not_found_again(self) -> None:
        """Check that redacting a text twice has the same result as redacting it once."""
        mask = self.mask
        if mask is None:
            pytest.skip("the filter assesses a text as a whole (mask = None)")
        if not accepts_media_type(self.subject.media_types, "text/plain"):
            pytest.skip("it does not read text")
        subject = self._new_filter()
        span_count = 0

        def check(content: Content) -> None:
            nonlocal span_count
            spans = _spans(self._verdict(subject, content))
            span_count += len(spans)
            text = content.text
            for start, end in spans:
                text = text[:start] + mask * (end - start) + text[end:]
            redacted = Content(content.stage, content.media_type, text.encode())
            for start, end in _spans(self._verdict(subject, redacted)):
                assert set(text[start:end]) != {mask}, (
                    f"it found something in {text[:60]!r} at {start}-{end}, where its own "
                    "finding was redacted already; its spans must cover only its finding; "
                    "otherwise set `mask = None` in the suite if it assesses a text as a whole"
                )

        _for_all(check, self._texts())
        if not span_count:
            pytest.skip("no reason had a span; add `samples` that it finds to the suite")

    def _new_filter(self) -> Filter:
        subject: Filter = self.made(self.given())
        return subject

    def _verdict(self, subject: Filter, content: Content) -> Any:
        try:
            return subject.check(content)
        except (Exception, SystemExit) as error:
            broken(
                f"check() of {_describe(content)} raised {describe(error)}; return a verdict "
                "for any content, because an exception blocks"
            )

    def _texts(self) -> st.SearchStrategy[Content]:
        """Return texts of random strings and samples, joined with and without spaces.

        Many end with a sample after Chinese characters, where a span in bytes is outside the text.
        """
        words = st.text() if not self.samples else st.text() | st.sampled_from(self.samples)
        texts = st.lists(words, max_size=6).map("".join) | st.lists(words, max_size=6).map(" ".join)
        if self.samples:
            texts |= st.sampled_from([f"卫星 {sample}" for sample in self.samples])
        return st.builds(
            lambda stage, text: Content(stage, "text/plain", text.encode()), _STAGES, texts
        )

    def _contents(self) -> st.SearchStrategy[Content]:
        """Return contents of all media types that the filter declares."""
        kinds: list[st.SearchStrategy[Content]] = []
        if accepts_media_type(self.subject.media_types, "text/plain"):
            kinds.append(self._texts())
        kinds += [
            st.builds(Content, st.just("output"), st.just(media_type), _BYTES)
            for media_type in self.subject.media_types
            if not media_type.startswith("text/")
        ]
        return st.one_of(kinds)


def _spans(verdict: Verdict) -> list[tuple[int, int]]:
    """Return the non-empty spans of a verdict's reasons."""
    return [
        (reason.start, reason.end)
        for reason in verdict.reasons
        if reason.start is not None and reason.end is not None and reason.start < reason.end
    ]


def _describe(content: Content) -> str:
    if content.media_type.startswith("text/"):
        return f"the text {content.text[:60]!r}"
    return f"{len(content.data)} bytes of {content.media_type}"


_WORDS = st.sampled_from(["the", "satellite", "卫星", "。", "\n", "the the the", "42", ""])
_TEXTS = st.text() | st.lists(_WORDS, max_size=30).map(" ".join)
_LOGPROBS = st.lists(st.floats(max_value=0, allow_infinity=False, allow_nan=False), max_size=20)
_TRACES = st.none() | _LOGPROBS.map(
    lambda logprobs: Trace(range(len(logprobs)), logprobs, [0.5] * len(logprobs))
)


class EvaluatorContract(Contract):
    """Base class of an evaluator's test suite. Set `evaluator` to the evaluator's class.

    The suite creates it with `parameters`.
    `undirected` names the measures without a better direction. `texts` are outputs to measure in
    addition to generated ones. `powers` are those of an evaluator that uses them.
    """

    kind = "evaluator"
    evaluator: ClassVar[type[Evaluator]]
    undirected: ClassVar[Sequence[str]] = ()
    powers: ClassVar[ModelPowers | None] = None
    texts: ClassVar[Sequence[str]] = (
        "The satellite was launched. The satellite is up.",
        "最近我国成功发射了新的卫星。卫星发射了。",
    )

    @without_traceback
    def test_its_measures_declare_their_direction(self) -> None:
        """Check that every measure declares which direction is better, for comparing scores."""
        measures = {measure.name: measure for measure in self.registered.load_class().measures}
        for name, measure in measures.items():
            assert measure.higher_is_better is not None or name in self.undirected, (
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

    @without_traceback
    def test_the_same_generation_gets_the_same_scores(self) -> None:
        """Check that scores do not depend on the order, the object or the generation's id."""
        first, second = self._bound(), self._bound()
        samples = [generation(Text(text)) for text in self.texts]
        forward = [self._scores(first, sample) for sample in samples]
        backward = [self._scores(first, sample) for sample in reversed(samples)][::-1]
        by_second = [self._scores(second, replace(sample, id=new_id())) for sample in samples]
        for text, one, other, new in zip(self.texts, forward, backward, by_second, strict=True):
            assert one == other == new, (
                f"{self.registered.name} measured {text[:40]!r} as {_format(one)} and then as "
                f"{_format(other if other != one else new)}; a score must depend only on the "
                "generation's content"
            )

    @without_traceback
    def test_it_gives_finite_numbers_for_any_output(self) -> None:
        """Check that no output causes NaN, infinity or an exception.

        A measure that cannot be computed must be omitted.
        """
        evaluator = self._bound()

        def check(outputs: tuple[Output, ...], trace: Trace | None) -> None:
            self._scores(evaluator, replace(generation(*outputs), trace=trace))

        _for_all(check, self._outputs(), _TRACES)

    @without_traceback
    def test_a_group_gets_the_same_scores_in_any_order(self) -> None:
        """Check that scores do not depend on the order or the ids of the group's generations."""
        if not issubclass(self.subject, GroupEvaluator):
            return
        evaluator = self._bound()
        group = [generation(Text(text)) for text in (*self.texts, *self.texts[:1])]
        for references in ((), self.texts):
            forward = self._group_scores(evaluator, group, references)
            renamed = [replace(member, id=new_id()) for member in reversed(group)]
            backward = self._group_scores(evaluator, renamed, references)[::-1]
            for member, one, other in zip(group, forward, backward, strict=True):
                assert one == other, (
                    f"{self.registered.name} measured {member.text[:40]!r} in a group as "
                    f"{_format(one)}, and as {_format(other)} after a change of the order; a score "
                    "must depend only on the contents of the group and the references"
                )

    @without_traceback
    def test_a_group_gets_finite_numbers_for_any_outputs(self) -> None:
        """Check that no group and no references cause NaN, infinity or an exception."""
        if not issubclass(self.subject, GroupEvaluator):
            return
        evaluator = self._bound()

        def check(outputs: list[tuple[Output, ...]], references: list[str]) -> None:
            group = [generation(*members) for members in outputs]
            self._group_scores(evaluator, group, references)

        outputs = st.lists(self._outputs(), min_size=1, max_size=4)
        _for_all(check, outputs, st.lists(_TEXTS, max_size=2))

    def _group_scores(
        self, evaluator: BoundEvaluator, group: Sequence[Generation], references: Sequence[str]
    ) -> list[list[Score]]:
        """Return the scores of each generation. Fail the test if one of them failed."""
        by_id = {member.id: references for member in group if references}
        scores = evaluator.group_scores(group, by_id)
        for member in group:
            self._check_measured(scores[member.id], member)
        return [scores[member.id] for member in group]

    def _outputs(self) -> st.SearchStrategy[tuple[Output, ...]]:
        strategies = [
            st.builds(Text, _TEXTS)
            if media_type.startswith("text/")
            else st.builds(Output, st.just(media_type), st.binary())
            for media_type in self.subject.media_types
        ]
        return st.lists(st.one_of(strategies), max_size=3).map(tuple)

    def _bound(self) -> BoundEvaluator:
        """Return a new evaluator with the suite's parameters and their models."""
        try:
            bound = bind_evaluator(self.registered, self.given(), self.parameter_models)
        except (PluginError, ParameterError) as error:
            broken(f"{error}; let it be made with what the suite's `parameters` give")
        if self.powers is not None:
            bound.evaluator.powers = self.powers
        return bound

    def _scores(self, evaluator: BoundEvaluator, measured: Generation) -> tuple[Score, ...]:
        """Return the scores. Fail the test if one of them failed."""
        scores = tuple(evaluator.scores(measured))
        self._check_measured(scores, measured)
        return scores

    def _check_measured(self, scores: Sequence[Score], measured: Generation) -> None:
        for score in scores:
            assert score.failure is None, (
                f"{score.failure}, of the output {measured.text[:40]!r}; return finite "
                "numbers for names in `measures`, and omit those that cannot be measured"
            )


def _format(scores: Sequence[Score]) -> str:
    return ", ".join(f"{score.name} {score.value!r}" for score in scores) or "nothing"
