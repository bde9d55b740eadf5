"""The protocol of worker processes: valid messages are decoded unchanged, others are refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import msgspec
import pytest
from hypothesis import given, strategies as st

import muniment
from muniment.plugins.discovery import Plugin
from muniment.plugins.invocation import MissingReply
from muniment.plugins.isolation import protocol
from muniment.plugins.isolation.protocol import ErrorResult, PowerCall, Progress, Result
from muniment.plugins.isolation.service import (
    METHODS,
    Attributes,
    Declaration,
    NextResult,
    Registration,
    ResolveResult,
    Stamp,
)
from muniment.types.generations import Generation
from muniment.types.models import Model, PackagedModel
from muniment.types.outputs import Comparison, Item, Output, Text
from muniment.types.provenance import Provenance
from muniment.types.replies import Chunk, Reply, Trace, Usage
from muniment.types.requests import Request
from muniment.types.scores import Measure, Score, TokenScores
from muniment.types.verdicts import Content, Reason, Verdict

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
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
    started_at=NOW,
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
REQUEST = Request("id", "最近\n𠮷", 2**64 - 1, '{"n": 1}', None, MODEL, True, NOW)
STAMP = Stamp.of(
    Provenance(
        "id",
        "echo",
        "最近",
        2**64 - 1,
        {"n": 10**19},
        "m",
        "d",
        NOW,
        {"core": "1"},
        {"a": "d"},
        "91",
    )
)
SCORES = TokenScores([1, 2], [-0.5, -1e-300], [(0, 1), (1, 3)])
CALLS: dict[str, tuple[object, ...]] = {
    "start": (Plugin("d", "1", "n", "m", "/x.py"), ["", "/site"], 2**40),
    "describe": ("filter", "words"),
    "create": (1, "evaluator", "words", '{"terms": ["a"]}', {"clip": MODEL}),
    "resolve": (1, REQUEST),
    "load": (1, MODEL, "/home/cache/plugin-1"),
    "retest": (1,),
    "environment": (1,),
    "generate": (1, 2, [REQUEST]),
    "next": (2,),
    "score": (1, [REQUEST], ["最"]),
    "embed": (1, [Text("好"), Output("image/png", b"\x89PNG\x00\xff")]),
    "check": (1, Content("output", "image/png", b"\x00\xff")),
    "evaluate": (1, GENERATION, '{"n": 1}'),
    "evaluate_group": (1, [GENERATION, GENERATION], ['{"n": 1}', "{}"], {"id": ["最", ""]}),
    "matches": (1, b"\x00\xff"),
    "matches_file": (1, b"\x00\xff"),
    "describe_output": (1, b"\x00\xff"),
    "preview": (1, b"\x00\xff", 80),
    "to_text": (1, b"\x00\xff"),
    "compare": (1, b"\x00\xff", b""),
    "export": (1, b"\x00\xff", STAMP, ".png", '{"n": 1}'),
    "combine": (1, [b"\x00\xff", b""], [STAMP, STAMP], ".png", "{}"),
    "read_provenance": (1, b"\x00\xff"),
    "fingerprint": (1, b"\x00\xff"),
    "items": (1, b"\x00\xff"),
    "select": (1, b"\x00\xff", [2, 0]),
    "packaged_models": (1,),
    "find_model": (1, "org/name"),
    "add_model": (1, "org/name", "/models/x"),
    "close": (1,),
}
RESULTS: list[tuple[str, object]] = [
    ("start", [Registration("generator", "echo", "text/plain", "[]", "optional")]),
    ("describe", Declaration(Attributes("exact", "optional", True), "[]", True, True)),
    (
        "describe",
        Declaration(
            Attributes(
                version="1",
                media_types=("text/plain",),
                measures=(Measure("words", "1", True),),
                default=True,
            ),
            "[]",
            False,
            False,
        ),
    ),
    (
        "describe",
        Declaration(
            Attributes(suffixes=(".png",), implemented=frozenset({"export", "items"})), "[]", False
        ),
    ),
    ("create", Attributes(media_types=("text/plain",))),
    ("load", None),
    ("resolve", ResolveResult('{"steps": 4}', {"words": b"a"})),
    ("retest", None),
    ("environment", {"threads": 2, "library": "1.0"}),
    ("generate", None),
    ("next", NextResult(chunk=Chunk("id", "最"))),
    ("next", NextResult(reply=Reply("id", (Text("好"),), Usage(1, 2), GENERATION.trace))),
    ("next", NextResult(reply=Reply("id", (Text("好"),), wanted=3))),
    ("next", NextResult(missing=MissingReply("id", "why"))),
    ("next", NextResult(error="why")),
    ("score", [SCORES]),
    ("embed", [[0.1 + 0.2, 5e-324]]),
    ("check", VERDICT),
    ("evaluate", {"words": 2.5}),
    ("evaluate_group", {"id": {"words": 2.5}}),
    ("matches", True),
    ("matches_file", True),
    ("describe_output", "PNG"),
    ("preview", None),
    ("preview", "\x1b[0m"),
    ("to_text", None),
    ("to_text", "1\tred"),
    ("compare", Comparison(0.5, "pixel", "17")),
    ("export", b"\x00\xff"),
    ("combine", b""),
    ("read_provenance", None),
    ("read_provenance", "id"),
    ("fingerprint", b"\xff"),
    ("items", (Item("a", "最近"), Item("b", ""))),
    ("select", b"[]"),
    ("packaged_models", [PackagedModel("gemma", "package:gemma", "terms")]),
    ("find_model", "/models/x"),
    ("add_model", '{"name": "x"}'),
    ("close", None),
]
OTHER_REPLIES = [
    Progress("converting", 0.5),
    ErrorResult("ModelError", "no", "gemma", "Trace"),
    PowerCall("judge", ["最"], ["𠮷"]),
    PowerCall("judge", outputs=[Output("image/png", b"\x89PNG\x00\xff")]),
]
# Results of the same shape, which cannot be told apart.
ALIKE = [
    {"load", "retest", "generate", "close", "preview", "to_text", "read_provenance"}
    | {"packaged_models", "find_model"},
    {"find_model", "add_model", "describe_output", "preview", "to_text", "read_provenance"},
    {"matches", "matches_file"},
    {"export", "combine", "fingerprint", "select"},
]


_INVALID = r"Expected|unknown field|missing required|Invalid enum value"


def body(message: object) -> bytes:
    frame = protocol.frame(message)
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    return frame[4:]


def decoded(name: str, reply: bytes) -> object:
    return protocol.reply_decoder(METHODS[name]).decode(reply)


@pytest.mark.parametrize("name", METHODS)
def test_a_call_is_decoded_as_it_was_encoded(name: str) -> None:
    frame = protocol.frame((name, CALLS[name]))
    assert protocol.decode_call(frame[4:], METHODS) == (name, CALLS[name])


@pytest.mark.parametrize(("name", "result"), RESULTS)
def test_a_result_is_decoded_as_it_was_encoded(name: str, result: object) -> None:
    assert decoded(name, body(Result(result))) == Result(result)


@pytest.mark.parametrize("name", METHODS)
def test_an_exception_and_progress_are_decoded_as_they_were_encoded(name: str) -> None:
    for reply in OTHER_REPLIES:
        assert decoded(name, body(reply)) == reply


@pytest.mark.parametrize(
    ("decoder", "answer", "other"),
    [
        (protocol.scores_decoder, [SCORES], [[0.5]]),
        (protocol.vectors_decoder, [[0.5, -1.0]], [SCORES]),
    ],
)
def test_the_answer_to_a_power_is_decoded_as_it_was_encoded(
    decoder: msgspec.msgpack.Decoder[object], answer: object, other: object
) -> None:
    assert decoder.decode(body(Result(answer))) == Result(answer)
    assert decoder.decode(body(OTHER_REPLIES[1])) == OTHER_REPLIES[1]
    call = decoder.decode(body(("embed", CALLS["embed"])))  # comes before the answer
    assert isinstance(call, tuple)
    for wrong in (Result(other), 5):
        with pytest.raises(ValueError, match=_INVALID):
            decoder.decode(body(wrong))


def test_every_method_is_tried() -> None:
    assert CALLS.keys() == METHODS.keys()
    assert {name for name, _ in RESULTS} == METHODS.keys()


def test_only_the_methods_of_the_service_can_be_called() -> None:
    for name in ("__init__", "objects", "_object", "sys", "exit", ""):
        with pytest.raises(KeyError):
            protocol.decode_call(body((name, (1,))), METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_arguments_of_other_types_are_refused(name: str) -> None:
    for arguments in [(), (None,), ("1",), (*CALLS[name], 1)]:
        with pytest.raises(ValueError, match="Expected"):
            protocol.decode_call(body((name, arguments)), METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_the_result_of_another_method_is_refused(name: str) -> None:
    for other, result in RESULTS:
        if other == name or any({name, other} <= names for names in ALIKE):
            continue
        if name == "environment" and result == NextResult(error="why"):
            continue  # encoded as a mapping of texts, like an environment
        with pytest.raises(ValueError, match=_INVALID):
            decoded(name, body(Result(result)))


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("check", {"decision": "maybe"}),
        ("check", {"decision": "allow", "categories": {"a": "high"}}),
        ("check", {"decision": "allow", "reasons": [{"category": 5}]}),
        ("next", {"chunk": {"request_id": 5, "text": "a"}}),
        ("next", {"reply": {"request_id": "id", "outputs": [{"media_type": "a", "data": 5}]}}),
        ("next", {"reply": {"request_id": "id", "usage": {"prompt_tokens": -1.5}}}),
        ("next", {"missing": ["id", "why"]}),
        ("next", {"error": 5}),
        ("evaluate", {"words": "many"}),
        ("evaluate", {"words": True}),
        ("environment", {"threads": 2.5}),
        ("create", {"uses_model": 1}),
        ("create", {"media_types": "text/plain"}),
        ("create", {"name": "other"}),
        ("next", {"end": True}),
        ("start", [{"kind": "store", "name": "a", "media_type": "", "parameters": "[]"}]),
        ("packaged_models", [{"name": "gemma"}]),
        ("find_model", 5),
        ("load", 1),
    ],
)
def test_a_result_with_a_field_of_another_type_is_refused(name: str, result: object) -> None:
    with pytest.raises(ValueError, match=_INVALID):
        decoded(name, body(Result(result)))


@given(st.sampled_from(sorted(METHODS)), st.binary(max_size=64))
def test_any_other_bytes_are_refused_as_a_value(name: str, reply: bytes) -> None:
    try:
        decoded(name, reply)
    except ValueError:
        return


@pytest.mark.parametrize("name", METHODS)
def test_a_call_is_no_reply(name: str) -> None:
    with pytest.raises(ValueError, match="Expected `object`"):
        decoded(name, protocol.frame((name, CALLS[name]))[4:])


def test_a_message_longer_than_a_frame_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LONGEST", 10)
    with pytest.raises(ValueError, match="are more than a frame holds"):
        protocol.frame(Result("x" * 100))


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
