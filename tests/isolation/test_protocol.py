"""The protocol of worker processes: every message comes back as it was sent."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

import muniment
from muniment.plugins.isolation import protocol
from muniment.plugins.registry import Plugin
from muniment.types import (
    Chunk,
    Content,
    Generation,
    Measure,
    Model,
    Output,
    PackagedModel,
    Reason,
    Reply,
    Score,
    Text,
    Trace,
    Usage,
    Verdict,
)

MODEL = Model("gemma", "tree1-sha256:ab", "/models/gemma")
VERDICT = Verdict("flag", {"rude": 0.5}, (Reason("rude", "so", 0, 2),), "words", "1")
GENERATION = Generation(
    id="01M81Y7QD63SVKJ6082W96W2BV",
    run_id="01M81Y7QD63SVKJ6082W96W2BV",
    actor="小明",
    status="completed",
    generator="echo",
    prompt="最近",
    seed=2**64 - 1,
    started_at=datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
    system="s",
    model=MODEL,
    tags=("a", "b"),
    outputs=(Text("好", "stop"), Output("image/png", b"\x89PNG\x00\xff")),
    verdicts=(VERDICT,),
    scores=(Score("length", "1", "words", 2.0), Score("length", "1", "none", None, failure="x")),
    usage=Usage(2, 3),
    trace=Trace([1, 2], [-0.5, -1e-300], [0.1 + 0.2, 5e-324]),
    environment={"threads": 2, "library": "1.0"},
)
QUESTIONS = [
    protocol.Start(Plugin("d", "1", "n", "m", "/x.py"), ["", "/site"], 2**40),
    protocol.Describe("filter", "words"),
    protocol.Make(1, "filter", "words", '{"terms": ["a"]}'),
    protocol.Load(1, MODEL),
    protocol.Facts(1),
    protocol.Generate(
        1, 2, [protocol.WireRequest("id", "最近\n𠮷", 2**64 - 1, "{}", None, MODEL, True)]
    ),
    protocol.Next(2),
    protocol.Stop(2),
    protocol.Check(1, Content("output", "image/png", b"\x00\xff")),
    protocol.Evaluate(1, GENERATION, '{"n": 1}'),
    protocol.ListPackaged(1),
    protocol.FindModel(1, "org/name"),
    protocol.AddModel(1, "org/name", "/models/x"),
    protocol.Close(1),
]
ANSWERS = [
    protocol.Registered([protocol.Registration("generator", "echo", "text/plain", "[]")]),
    protocol.Described("[]", measures=[Measure("words", "1", True)], default=True),
    protocol.MakeResult("exact", True, ["text/plain"]),
    protocol.Done(),
    protocol.FactsResult({"threads": 2, "library": "1.0"}),
    protocol.NextResult(chunk=Chunk("id", "最")),
    protocol.NextResult(reply=Reply("id", (Text("好"),), Usage(1, 2), GENERATION.trace)),
    protocol.NextResult(unanswered=("id", "why")),
    protocol.NextResult(over=True, error="why"),
    protocol.VerdictResult(VERDICT),
    protocol.EvaluateResult({"words": 2.5}),
    protocol.Packaged([PackagedModel("gemma", "package:gemma", "terms")]),
    protocol.Found("/models/x"),
    protocol.Progressed("converting", 0.5),
    protocol.Added('{"name": "x"}'),
    protocol.ErrorResult("ModelError", "no", "gemma", "Traceback"),
]


@pytest.mark.parametrize("message", QUESTIONS, ids=lambda item: type(item).__name__)
def test_a_question_is_read_as_it_was_asked(message: protocol.Question) -> None:
    frame = protocol.framed(message)
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    assert protocol.question(frame[4:]) == message


@pytest.mark.parametrize("message", ANSWERS, ids=lambda item: type(item).__name__)
def test_an_answer_is_read_as_it_was_given(message: protocol.Answer) -> None:
    assert protocol.answer(protocol.framed(message)[4:]) == message


def test_every_message_is_tried() -> None:
    assert {type(item) for item in QUESTIONS} == set(protocol.Question.__args__)  # type: ignore[attr-defined]
    assert {type(item) for item in ANSWERS} == set(protocol.Answer.__args__)  # type: ignore[attr-defined]


@given(st.binary(max_size=64))
def test_what_is_no_answer_is_refused_as_a_value(body: bytes) -> None:
    try:
        protocol.answer(body)
    except ValueError:
        return


def test_a_question_is_no_answer() -> None:
    with pytest.raises(ValueError, match="Invalid value"):
        protocol.answer(protocol.framed(protocol.Next(1))[4:])


class Every(muniment.Parameters):
    times: int = muniment.param(1, ge=1, le=10**19, help="how often")
    big: int = muniment.param(10**19 * 9)
    warmth: float | None = muniment.param(0.1, ge=0, le=2.5)
    loud: bool = muniment.param(False)
    mood: Literal["happy", "sad"] = muniment.param("happy")
    words: list[str] = muniment.param(["最", "近"])
    note: str | None = muniment.param(None)


def test_parameters_are_declared_elsewhere_as_they_are_here() -> None:
    there = protocol.parameters_class(protocol.fields_json(Every))
    assert there.schema() == Every.schema()
    assert dict(there.fields()) == dict(Every.fields())
    assert dict(there()) == dict(Every())


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "times": st.integers(1, 10**19),
            "big": st.integers(-(10**19), 10**19),
            "warmth": st.none() | st.floats(0, 2.5),
            "loud": st.booleans(),
            "mood": st.sampled_from(["happy", "sad"]),
            "words": st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
            "note": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
        },
    )
)
def test_values_travel_exactly(given_values: dict[str, object]) -> None:
    made = Every(**given_values)
    assert Every(**protocol.values(protocol.values_json(made))) == made
    assert dict(Every(**protocol.values(protocol.values_json(made)))) == dict(made)
