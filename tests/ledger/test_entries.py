"""Entries of every kind and version stay readable, and nothing but entries passes the schema.

`golden/entries_v1.jsonl` holds the canonical bytes of a small ledger, one entry a line, and
`golden/payloads_v1.json` the payloads they commit to; `tests/support/golden.py` builds it.
"""

from __future__ import annotations

import copy
import json
import math
import re
import unicodedata
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from muniment.ledger.canonical import SAFE, decode_number
from muniment.ledger.kinds import FIELDS
from muniment.ledger.payloads import Payload, commitment
from muniment.ledger.schema import UNSEEN, EntryError, named, read, references, write
from muniment.ledger.texts import facts_of, plugin_of, policy_name, restore
from muniment.ledger.tree import Frontier, leaf_hash
from muniment.types import Generation, Model
from support.golden import BARE, FOLDER, RICH, ledger

LINES = (FOLDER / "entries_v1.jsonl").read_bytes().splitlines()
BODIES = [json.loads(line) for line in LINES]


def golden_payloads() -> dict[tuple[int, str, int], Payload]:
    return {
        (held["entry"], held["kind"], held["position"]): Payload(
            held["kind"],
            held["position"],
            bytes.fromhex(held["salt"]),
            bytes.fromhex(held["content"]),
        )
        for held in json.loads((FOLDER / "payloads_v1.json").read_bytes())
    }


def numbers_of(generation: Generation) -> tuple[int, int]:
    """The numbers of the entries of a generation."""
    started = next(n for n, body in enumerate(BODIES) if body.get("generation") == generation.id)
    return started, next(n for n, body in enumerate(BODIES) if body.get("generation") == started)


# ---- golden bytes ------------------------------------------------------------------------------


def test_what_is_written_today_has_the_golden_bytes() -> None:
    made = ledger()
    assert [write(body) for body in made.bodies] == LINES
    assert made.payloads == golden_payloads()


@pytest.mark.parametrize("line", LINES, ids=[body["kind"] for body in BODIES])
def test_golden_entries_are_canonical_and_fit_the_schema(line: bytes) -> None:
    assert rfc8785.dumps(dict(read(line))) == line


def test_every_kind_and_version_has_a_golden_entry() -> None:
    assert {(body["kind"], body["version"]) for body in BODIES} == set(FIELDS)


def test_the_golden_ledger_has_the_golden_root() -> None:
    frontier = Frontier()
    frontier.extend(leaf_hash(line) for line in LINES)
    assert frontier.root().hex() == (FOLDER / "root_v1.txt").read_text().strip()


@pytest.mark.parametrize("expected", [RICH, BARE], ids=["rich", "bare"])
def test_golden_entries_and_payloads_tell_the_generation(expected: Generation) -> None:
    started, outcome = numbers_of(expected)
    payloads = golden_payloads()
    environment, policy = BODIES[outcome]["environment"], BODIES[started]["policy"]

    def content(kind: str, position: int) -> bytes | None:
        for number in (started, outcome):
            if held := payloads.get((number, kind, position)):
                return held.content
        return None

    read = restore(
        BODIES[started],
        BODIES[outcome],
        content,
        actor=payloads[BODIES[started]["actor"], "actor", 0].content.decode(),
        policy="" if policy is None else policy_name(payloads[policy, "policy", 0].content),
        environment=expected.environment,
        plugins={n: plugin_of(body) for n, body in enumerate(BODIES) if body["kind"] == "plugin"},
        status="started",
    )
    assert read == expected
    if environment is not None:
        told = facts_of(BODIES[environment])
        assert {
            name: decode_number(fact) if name == "memory" else fact for name, fact in told.items()
        } == (expected.environment)


def test_golden_payloads_are_those_that_the_entries_commit_to() -> None:
    committed = {
        (number, held.kind, held.position): held
        for number, body in enumerate(BODIES)
        for held in references(body)
    }
    payloads = golden_payloads()
    assert committed.keys() == payloads.keys()
    for key, payload in payloads.items():
        assert committed[key].commitment == payload.commitment
        assert committed[key].size in (None, len(payload.content))


def test_golden_entries_name_earlier_entries_of_the_right_kind() -> None:
    for number, body in enumerate(BODIES):
        for kind, other in named(body):
            assert other < number
            assert BODIES[other]["kind"] == kind


def test_a_commitment_binds_kind_salt_and_content() -> None:
    for held in golden_payloads().values():
        found = held.commitment
        assert commitment(held.kind, held.salt, held.content).hex() == found
        assert commitment("x" + held.kind, held.salt, held.content).hex() != found
        assert commitment(held.kind, bytes(32), held.content).hex() != found
        assert commitment(held.kind, held.salt, held.content + b"x").hex() != found


def test_a_generation_without_its_payloads_is_still_told() -> None:
    """What remains once everything that can be erased is gone."""
    started, outcome = numbers_of(RICH)
    left = restore(
        BODIES[started],
        BODIES[outcome],
        lambda kind, position: None,
        actor="",
        policy="",
        environment={},
        plugins={n: plugin_of(body) for n, body in enumerate(BODIES) if body["kind"] == "plugin"},
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
    one, two = (Payload.new("prompt", b"the same") for _ in range(2))
    assert one.salt != two.salt
    assert one.commitment != two.commitment


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
            write(body)


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
            write(body)
        body = copy.deepcopy(BODIES[number])
        at(body, path[:-1])["comment"] = "hello"
        with pytest.raises(EntryError):
            write(body)


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
        ("started", "model", "my model"),
        ("started", "generator", ""),
        ("started", "generator", "x" * 256),
        ("outcome", "status", "started"),
        ("outcome", "failure", "my fault"),
        ("outcome", "usage", {"prompt_tokens": -1, "output_tokens": 0}),
        ("outcome", "environment", "AB" * 32),
        ("outcome", "environment", -1),
        ("outcome", "generation", True),
        ("started", "plugins", [0.5]),
        ("environment", "facts", {"python": 3.11}),
        ("environment", "facts", {"python": "3\x00"}),
        ("genesis", "log", "me"),
    ],
)
def test_a_value_out_of_its_range_is_refused(kind: str, field: str, value: Any) -> None:
    body = of_kind(kind)
    body[field] = value
    with pytest.raises(EntryError) as caught:
        write(body)
    assert caught.value.kind in (kind, "begun")


def test_a_missing_kind_is_refused_as_such() -> None:
    for body in ({}, {"kind": ["started"], "version": 1}, {"kind": "started", "version": "1"}):
        with pytest.raises(EntryError, match="kind and version"):
            write(body)


# ---- canonical bytes ---------------------------------------------------------------------------

FINITE = st.floats(allow_nan=False, allow_infinity=False)
INTEGERS = st.integers(-SAFE, SAFE)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
PRINTABLE = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(str.isprintable)
AMOUNTS = FINITE | INTEGERS


def of_kind(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(body for body in BODIES if body["kind"] == kind)
    return copy.deepcopy(found)


@given(st.dictionaries(PRINTABLE, TEXTS | INTEGERS, max_size=5))
def test_facts_are_written_as_rfc8785_writes_them(facts: dict[str, Any]) -> None:
    body = of_kind("environment") | {"facts": facts}
    assert write(body) == rfc8785.dumps(body)
    assert read(write(body)) == body


@given(
    st.dictionaries(
        st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,63}\Z"),
        st.none() | st.booleans() | AMOUNTS,
        max_size=5,
    )
)
def test_parameters_are_written_as_rfc8785_writes_them(parameters: dict[str, Any]) -> None:
    body = of_kind("started") | {"parameters": parameters}
    assert write(body) == rfc8785.dumps(body)
    assert read(write(body)) == body


@given(PRINTABLE, PRINTABLE, st.dictionaries(PRINTABLE, AMOUNTS, max_size=5), AMOUNTS)
def test_names_and_numbers_of_an_outcome_are_written_as_rfc8785_writes_them(
    filter: str, evaluator: str, categories: dict[str, float], value: float
) -> None:
    body = of_kind("outcome")
    body["verdicts"][0] |= {"filter": filter, "version": filter, "categories": categories}
    body["scores"] = [
        {
            "evaluator": evaluator,
            "version": "",
            "name": evaluator,
            "value": value,
            "unit": "",
            "higher_is_better": None,
            "failed": False,
        }
    ]
    assert write(body) == rfc8785.dumps(body)
    assert read(write(body)) == body


@settings(max_examples=300)
@given(st.floats(allow_nan=False, allow_infinity=False))
@example(1e15)
@example(1e16)
@example(1e21)
@example(1e22)
@example(0.0001)
@example(0.00001)
@example(1e-6)
@example(1e-7)
@example(-0.0)
@example(5e-324)
@example(1.7976931348623157e308)
@example(float(SAFE))
@example(2.0**53)
@example(123456789012345.6)
@example(1234567890123456.5)
def test_every_double_is_written_as_rfc8785_writes_it(number: float) -> None:
    body = of_kind("started") | {"parameters": {"it": number}}
    assert write(body) == rfc8785.dumps(body)


@given(AMOUNTS, st.sampled_from(["{!r}", "{:.1f}", "{:e}", "{:g}", "{:.17g}", "{:.0f}"]))
def test_a_number_is_read_only_as_rfc8785_writes_it(value: float, form: str) -> None:
    body = of_kind("started") | {"parameters": {"it": 0}}
    text = form.format(value).encode()
    data = rfc8785.dumps(body).replace(b'"it":0', b'"it":' + text)
    number = json.loads(text)
    if isinstance(number, float) or -SAFE <= number <= SAFE:
        canonical = rfc8785.dumps(number) == text
    else:
        canonical = abs(number) < 1e21 and rfc8785.dumps(float(number)) == text
    if canonical:
        assert read(data)["parameters"]["it"] == number
    else:
        with pytest.raises(ValueError):  # noqa: PT011  whatever is said first
            read(data)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, SAFE + 1, "1", [1], (1,)])
def test_what_is_no_number_is_refused(value: Any) -> None:
    body = of_kind("started") | {"parameters": {"it": value}}
    with pytest.raises(EntryError):
        write(body)


def test_a_name_has_no_character_that_cannot_be_seen() -> None:
    unseen = (0x7F, 0x85, 0xAD, 0x61C, 0x180E, 0x200B, 0x202E, 0x2028, 0x2066, 0xFEFF)
    for code in (*range(0x20), *unseen, 0x13430, 0x1BCA0, 0x1D173, 0xE0041):
        body = of_kind("started") | {"generator": f"a{chr(code)}b"}
        with pytest.raises(EntryError):
            write(body)
        with pytest.raises(ValueError):  # noqa: PT011  whatever is said first
            read(rfc8785.dumps(body))


def test_every_printable_character_may_be_in_a_name() -> None:
    printable = [chr(code) for code in range(0x110000) if chr(code).isprintable()]
    assert [c for c in printable if UNSEEN.search(c)] == []


def test_every_control_and_formatting_character_that_shows_nothing_is_refused() -> None:
    shown = "[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]"  # around digits
    formats = [c for c in map(chr, range(0x110000)) if unicodedata.category(c) in ("Cc", "Cf")]
    assert [c for c in formats if not UNSEEN.search(c) and not re.match(shown, c)] == []


@pytest.mark.parametrize("digits", [26, 400, 5000])
@pytest.mark.parametrize("field", ["it", "at"])
def test_a_number_of_any_length_is_refused_like_any_other(field: str, digits: int) -> None:
    data = rfc8785.dumps(of_kind("started") | {"at": 0, "parameters": {"it": 0}})
    huge = data.replace(f'"{field}":0'.encode(), f'"{field}":{"1" * digits}'.encode())
    assert huge != data
    with pytest.raises(ValueError):  # noqa: PT011  whatever is said first
        read(huge)


def test_large_and_small_numbers_are_read_back_as_they_were() -> None:
    body = of_kind("started")
    for value in (2.0**53, 1e20, 1e21, 5e-324, -0.5, str(2**63)):
        body["parameters"] = {"it": value}
        assert read(write(body))["parameters"] == {"it": value}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda line: line + b"\n",
        lambda line: line.replace(b'"version":1', b'"version":1.0'),
        lambda line: line.replace(b'"version":1', b'"version": 1'),
        lambda line: line.replace(b'{"', b'{"kind":"genesis","', 1),
        lambda line: line.replace(b'"kind"', b'"k\\u0069nd"'),
        lambda line: b"[" + line + b"]",
        lambda line: line[:-1],
        lambda line: b"",
    ],
)
@pytest.mark.parametrize("line", LINES, ids=[body["kind"] for body in BODIES])
def test_what_is_not_canonical_is_refused(line: bytes, spoil: Any) -> None:
    assert spoil(line) != line
    with pytest.raises(ValueError):  # noqa: PT011  whatever the parser says
        read(spoil(line))
