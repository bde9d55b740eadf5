"""Entries of every kind and version stay readable, and nothing but entries passes the schema.

`golden/entries_v1.jsonl` holds the canonical bytes of a small ledger, one entry a line, and
`golden/payloads_v1.json` the payloads they commit to. These files are never written again: a
change to what a kind holds is a new version with files of its own.
"""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from muniment.ledger import entries
from muniment.ledger.canonical import canonical, parse
from muniment.ledger.payloads import Kind, Payload, commitment
from muniment.ledger.schema import EntryError, check, known
from muniment.ledger.texts import detail_of, policy_of, request_of, restore, trace_of
from muniment.ledger.tree import Frontier, leaf_hash
from muniment.types import (
    Failure,
    Generation,
    Model,
    Output,
    PluginRef,
    Reason,
    Score,
    Text,
    Trace,
    Usage,
    Verdict,
)

GOLDEN = Path(__file__).parent / "golden"
LINES = (GOLDEN / "entries_v1.jsonl").read_bytes().splitlines()
BODIES = [json.loads(line) for line in LINES]

ACTOR, POLICY, RUN = "01JQ0000000000000000000AC7", "01JQ000000000000000000P0CY", "01JQ" + "R" * 22
WORDS = PluginRef("muniment-words", "0.1", "tree1-sha256:" + "1f" * 32)
STRICT = PluginRef("muniment-strict", "2.0.1", "tree1-sha256:" + "2e" * 32)
DECLARED = {"strict": frozenset({"violence", "hate"})}
ENVIRONMENT: dict[str, str | int] = {"python": "3.11.7", "threads": 2, "memory": 2**60}

RICH = Generation(
    id="01JQ0000000000000000000001",
    run_id=RUN,
    actor="安娜",
    status="blocked",
    generator="words",
    prompt="最近我国成功发射了新的卫星",
    seed=2**64 - 1,
    started_at=datetime(2026, 3, 1, 12, 0, 0, 123_000, UTC),
    finished_at=datetime(2026, 3, 1, 12, 0, 2, 5_000, UTC),
    system="be brief",
    model=Model("tiny", "tree1-sha256:" + "ab" * 32, "/models/tiny"),
    parameters={
        "big": 2**63,
        "cached": True,
        "joiner": "-",
        "ratio": 0.25,
        "small": 1e-07,
        "stop": ("\n", "。"),
        "times": 2,
        "top": None,
        "whole": 1.0,
    },
    policy="default",
    tags=("news", "卫星"),
    parents=("01JQ0000000000000000000000",),
    line=3,
    outputs=(Text("好的。", "length"), Output("image/png", b"\x89PNG\x00\xff")),
    verdicts=(
        Verdict(
            "flag",
            {"violence": 0.5, "my own": 1.0},
            (Reason("my own", "it says so", 0, 2),),
            "strict",
            "2.0.1",
            "output",
            "flag",
            "default",
            1.25,
        ),
        Verdict("block", {}, (), "slow", "0", "output", "block", "older", 10.0, "timed out"),
    ),
    scores=(
        Score("statistics", "0.1", "length", 3.0, "characters"),
        Score("perplexity", "0.1", "perplexity", None, "", False, "no trace"),
    ),
    usage=Usage(9, 2),
    trace=Trace((5, 6), (-0.5, -1.25), (0.125, float("inf"))),
    plugins=(WORDS, STRICT),
    environment=ENVIRONMENT,
)
BARE = Generation(
    id="01JQ0000000000000000000002",
    run_id=RUN,
    actor="安娜",
    status="failed",
    generator="no such generator",
    prompt="",
    seed=0,
    started_at=datetime(2026, 3, 1, 12, 0, 3, tzinfo=UTC),
    finished_at=datetime(2026, 3, 1, 12, 0, 3, tzinfo=UTC),
    parameters={"made up": 5},
    failure=Failure("invalid", "no generator named 'no such generator'"),
)


def ledger() -> tuple[list[entries.Body], list[Payload]]:
    """Build the golden ledger anew; payloads have fixed ids and salts."""
    payloads: list[Payload] = []

    def ref(owner: str, kind: Kind, content: bytes | None, position: int = 0) -> Any:
        if content is None:
            return None
        random = sha256(f"{owner} {kind} {position}".encode()).digest()
        payloads.append(Payload(owner, kind, position, random[:16], random, content))
        return payloads[-1].ref

    def started(g: Generation, policy: str | None) -> entries.Body:
        prompt = ref(g.id, "prompt", g.prompt.encode())
        request = ref(g.id, "request", request_of(g))
        return entries.started(g, actor=ACTOR, policy=policy, prompt=prompt, request=request)

    def outcome(g: Generation) -> entries.Body:
        return entries.outcome(
            g,
            declared=DECLARED,
            outputs=[ref(g.id, "output", o.data, n) for n, o in enumerate(g.outputs)],
            trace=ref(g.id, "trace", trace_of(g)),
            detail=ref(g.id, "detail", detail_of(g, DECLARED, g.policy)),
            environment=entries.environment_id(g.environment) if g.environment else None,
        )

    document = policy_of("default", "rules: []\n")
    bodies = [
        entries.genesis("0123456789abcdef" * 2),
        entries.actor(ACTOR, ref(ACTOR, "actor", "安娜".encode())),
        entries.policy(POLICY, ref(POLICY, "policy", document)),
        entries.environment(ENVIRONMENT),
        started(RICH, POLICY),
        started(BARE, None),
        outcome(RICH),
        outcome(BARE),
    ]
    return bodies, payloads


def golden_payloads() -> dict[tuple[str, str, int], Payload]:
    return {
        (held["owner"], held["kind"], held["position"]): Payload(
            held["owner"],
            held["kind"],
            held["position"],
            bytes.fromhex(held["id"]),
            bytes.fromhex(held["salt"]),
            bytes.fromhex(held["content"]),
        )
        for held in json.loads((GOLDEN / "payloads_v1.json").read_bytes())
    }


# ---- golden bytes ------------------------------------------------------------------------------


def test_what_is_written_today_has_the_golden_bytes() -> None:
    bodies, payloads = ledger()
    assert [canonical(dict(body)) for body in bodies] == LINES
    assert {(p.owner, p.kind, p.position): p for p in payloads} == golden_payloads()


@pytest.mark.parametrize("line", LINES, ids=[body["kind"] for body in BODIES])
def test_golden_entries_are_canonical_and_fit_the_schema(line: bytes) -> None:
    check(parse(line))


def test_every_kind_and_version_has_a_golden_entry() -> None:
    assert {body["kind"] for body in BODIES} == {
        "genesis",
        "actor",
        "policy",
        "environment",
        "started",
        "outcome",
    }
    assert all(known(body["kind"], body["version"]) for body in BODIES)
    assert not known("started", 2)  # a new version needs golden files of its own


def test_the_golden_ledger_has_the_golden_root() -> None:
    frontier = Frontier()
    frontier.extend(leaf_hash(line) for line in LINES)
    assert frontier.root().hex() == (GOLDEN / "root_v1.txt").read_text().strip()


@pytest.mark.parametrize("expected", [RICH, BARE], ids=["rich", "bare"])
def test_golden_entries_and_payloads_tell_the_generation(expected: Generation) -> None:
    mine = [body for body in BODIES if body.get("generation") == expected.id]
    payloads = golden_payloads()

    def content(kind: str, position: int) -> bytes | None:
        held = payloads.get((expected.id, kind, position))
        return held.content if held else None

    read = restore(
        *mine,
        content,
        actor="安娜",
        policy=expected.policy,
        environment=expected.environment,
        status="started",
    )
    assert read == expected


def test_golden_commitments_hold_and_bind_kind_salt_and_content() -> None:
    for held in golden_payloads().values():
        found = held.ref["commitment"]
        assert any(found.encode() in line for line in LINES)
        assert commitment(held.kind, held.salt, held.content).hex() == found
        assert commitment("x" + held.kind, held.salt, held.content).hex() != found
        assert commitment(held.kind, bytes(32), held.content).hex() != found
        assert commitment(held.kind, held.salt, held.content + b"x").hex() != found


def test_a_generation_without_its_payloads_is_still_told() -> None:
    """What remains once everything that can be erased is gone."""
    started, outcome = (body for body in BODIES if body.get("generation") == RICH.id)
    left = restore(
        started,
        outcome,
        lambda kind, position: None,
        actor="",
        policy="",
        environment={},
        status="started",
    )
    assert (left.prompt, left.text, left.tags, left.trace) == ("", "", (), None)
    assert (left.seed, left.status, left.usage) == (RICH.seed, "blocked", RICH.usage)
    assert left.parameters == {
        name: value for name, value in RICH.parameters.items() if name not in ("joiner", "stop")
    }
    assert [verdict.action for verdict in left.verdicts] == ["flag", "block"]
    assert left.model == Model("", RICH.model.digest, "")  # type: ignore[union-attr]


def test_two_payloads_of_the_same_text_have_nothing_in_common() -> None:
    one, two = (Payload.new("01JQ", "prompt", b"the same") for _ in range(2))
    assert one.salt != two.salt
    assert one.ref["payload"] != two.ref["payload"]
    assert one.ref["commitment"] != two.ref["commitment"]


# ---- the closed schema -------------------------------------------------------------------------


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in an entry, from the whole to each leaf."""
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    return [path, *(deeper for key, item in inner for deeper in paths(item, (*path, key)))]


PLACES = [(number, path) for number, body in enumerate(BODIES) for path in paths(body) if path]


def at(body: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        body = body[key]
    return body


@pytest.mark.parametrize(
    ("number", "path"),
    PLACES,
    ids=[f"{BODIES[number]['kind']}.{'.'.join(map(str, path))}" for number, path in PLACES],
)
def test_nothing_else_fits_in_any_place(number: int, path: tuple[Any, ...]) -> None:
    original = BODIES[number]
    for wrong in ({"x": 1}, ["x"], "line one\nline two", 0.5, -1):
        body = copy.deepcopy(original)
        old = at(body, path)
        if isinstance(old, float | int) and isinstance(wrong, float | int):
            continue  # a number for a number; ranges have tests below
        if path[-1] in ("facts", "parameters", "categories") and isinstance(wrong, dict):
            continue  # these have names of their own
        if path[0] == "facts" and isinstance(wrong, str | int):
            continue  # a fact may be any text or integer
        if path[0] == "parameters" and isinstance(wrong, float | int):
            continue
        if path[-1] == "value" and isinstance(wrong, float | int):
            continue  # a score
        at(body, path[:-1])[path[-1]] = wrong
        with pytest.raises(EntryError):
            check(body)


@pytest.mark.parametrize("number", range(len(BODIES)), ids=[body["kind"] for body in BODIES])
def test_a_field_too_many_or_too_few_is_refused(number: int) -> None:
    for path in [p for n, p in PLACES if n == number]:
        parent = at(BODIES[number], path[:-1])
        if not isinstance(parent, dict) or path[0] in ("facts", "parameters"):
            continue
        if path[-2:-1] == ("categories",):
            continue
        body = copy.deepcopy(BODIES[number])
        del at(body, path[:-1])[path[-1]]
        with pytest.raises(EntryError):
            check(body)
        body = copy.deepcopy(BODIES[number])
        at(body, path[:-1])["comment"] = "hello"
        with pytest.raises(EntryError):
            check(body)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("started", "version", 2),
        ("started", "version", True),
        ("started", "kind", "begun"),
        ("started", "seed", "18446744073709551616"),
        ("started", "seed", "007"),
        ("started", "seed", 7),
        ("started", "generation", "01jq0000000000000000000001"),
        ("started", "generation", "81JQ0000000000000000000001"),
        ("started", "at", 1.5),
        ("started", "line", -1),
        ("started", "parameters", {"times": "two"}),
        ("started", "parameters", {"times": "12"}),
        ("started", "parameters", {"times": float("nan")}),
        ("started", "parameters", {"what I want": 1}),
        ("started", "parameters", {"times": [1]}),
        ("started", "model", {"digest": "my model"}),
        ("started", "generator", ""),
        ("started", "generator", "x" * 256),
        ("outcome", "status", "started"),
        ("outcome", "failure", "my fault"),
        ("outcome", "usage", {"prompt_tokens": -1, "output_tokens": 0}),
        ("outcome", "environment", "AB" * 32),
        ("environment", "facts", {"python": 3.11}),
        ("environment", "facts", {"python": "3\x00"}),
        ("genesis", "log", "me"),
    ],
)
def test_a_value_out_of_its_range_is_refused(kind: str, field: str, value: Any) -> None:
    body = copy.deepcopy(next(body for body in BODIES if body["kind"] == kind))
    body[field] = value
    with pytest.raises(EntryError) as caught:
        check(body)
    assert caught.value.kind in (kind, "begun")
