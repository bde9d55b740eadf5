"""Entries of every kind and version stay readable, and nothing but entries passes the schema.

`golden/entries_v1.jsonl` holds the canonical bytes of a small ledger, one entry a line, and
`golden/payloads_v1.json` the payloads they commit to; `tests/support/golden.py` builds it.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import unicodedata
from typing import Any

import pytest
import rfc8785
from hypothesis import given, strategies as st
from msgspec.structs import replace

from muniment.ledger.canonical import SAFE, encode_number, is_key
from muniment.ledger.entries import (
    ActorEntry,
    Entry,
    EnvironmentEntry,
    OutcomeEntry,
    PluginEntry,
    PolicyEntry,
    StartedEntry,
)
from muniment.ledger.generations import (
    PolicyText,
    SharedEntries,
    Texts,
    assemble,
    decode_text,
    plugin_ref,
)
from muniment.ledger.payloads import Payload, Payloads, commitment
from muniment.ledger.schema import (
    ENTRIES,
    UNSEEN,
    EntryError,
    decode,
    encode,
    named,
    references,
)
from muniment.ledger.tree import Frontier, leaf_hash
from muniment.types import Generation, Model
from support.golden import BARE, FOLDER, RICH, ledger

LINES = (FOLDER / "entries_v1.jsonl").read_bytes().splitlines()
BODIES = [json.loads(line) for line in LINES]
DECODED = [decode(line) for line in LINES]


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
    assert [encode(entry) for entry in made.entries] == LINES
    assert made.payloads == golden_payloads()


@pytest.mark.parametrize("line", LINES, ids=[body["kind"] for body in BODIES])
def test_golden_entries_are_canonical_and_fit_the_schema(line: bytes) -> None:
    assert rfc8785.dumps(json.loads(line)) == line
    assert encode(decode(line)) == line


def test_every_kind_and_version_has_a_golden_entry() -> None:
    assert {(body["kind"], body["version"]) for body in BODIES} == set(ENTRIES)


def test_the_golden_ledger_has_the_golden_root() -> None:
    frontier = Frontier()
    frontier.extend(leaf_hash(line) for line in LINES)
    assert frontier.root().hex() == (FOLDER / "root_v1.txt").read_text().strip()


def texts_of(*numbers: int, payloads: dict[tuple[int, str, int], Payload] | None = None) -> Texts:
    """Return the golden payloads of entries, or other ones."""
    texts = Texts()
    for number in numbers:
        stored = {
            (kind, position): (payload.salt, payload.content)
            for (entry, kind, position), payload in (
                golden_payloads() if payloads is None else payloads
            ).items()
            if entry == number
        }
        texts.add(DECODED[number], stored)
    return texts


def shared() -> SharedEntries:
    """Return the golden entries that others refer to."""
    entries = SharedEntries()
    for number, entry in enumerate(DECODED):
        match entry:
            case ActorEntry():
                entries.actors[number] = texts_of(number).text("actor") or ""
            case PolicyEntry():
                text = decode_text(PolicyText, texts_of(number).get("policy"))
                entries.policies[number] = text.name
            case EnvironmentEntry():
                entries.environments[number] = entry.facts
            case PluginEntry():
                entries.plugins[number] = plugin_ref(entry.plugin)
    return entries


def assembled(expected: Generation, texts: Texts) -> Generation:
    """Return a golden generation with the given texts."""
    started, outcome = (DECODED[number] for number in numbers_of(expected))
    assert isinstance(started, StartedEntry)
    assert isinstance(outcome, OutcomeEntry)
    return assemble(started, outcome, texts, shared(), status="started")


@pytest.mark.parametrize("expected", [RICH, BARE], ids=["rich", "bare"])
def test_golden_entries_and_payloads_give_the_generation(expected: Generation) -> None:
    facts = {
        name: fact if isinstance(fact, str) else encode_number(fact)
        for name, fact in expected.environment.items()
    }
    read = assembled(expected, texts_of(*numbers_of(expected)))
    assert read == dataclasses.replace(expected, environment=facts)


KINDS = sorted(
    {(kind, position) for number, kind, position in golden_payloads() if number in numbers_of(RICH)}
)


@pytest.mark.parametrize(("kind", "position"), KINDS)
@pytest.mark.parametrize("change", ["content", "salt"])
def test_an_altered_payload_is_reported_and_not_read(kind: str, position: int, change: str) -> None:
    payloads = golden_payloads()
    key = next(
        key for key in payloads if key[0] in numbers_of(RICH) and key[1:] == (kind, position)
    )
    altered = {"content": payloads[key].content + b" ", "salt": bytes(32)}
    payloads[key] = payloads[key]._replace(**{change: altered[change]})
    texts = texts_of(*numbers_of(RICH), payloads=payloads)
    assert texts.get(kind, position) is None
    read = assembled(RICH, texts)
    assert read.altered == (kind,)
    assert read.erased == ()


def test_golden_payloads_are_those_that_the_entries_commit_to() -> None:
    committed = {
        (number, held.kind, held.position): held
        for number, entry in enumerate(DECODED)
        for held in references(entry)
    }
    payloads = golden_payloads()
    assert committed.keys() == payloads.keys()
    for key, payload in payloads.items():
        assert committed[key].commitment == payload.commitment
        assert committed[key].size in (None, len(payload.content))


def test_golden_entries_name_earlier_entries_of_the_right_kind() -> None:
    for number, entry in enumerate(DECODED):
        for kind, other in named(entry):
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
    left = assembled(RICH, texts_of(*numbers_of(RICH), payloads={}))
    assert (left.prompt, left.text, left.tags, left.trace) == ("", "", (), None)
    assert (left.seed, left.status, left.usage) == (RICH.seed, "blocked", RICH.usage)
    assert left.parameters == {
        name: value for name, value in RICH.parameters.items() if name not in ("joiner", "stop")
    }
    assert [verdict.action for verdict in left.verdicts] == ["flag", "block"]
    assert left.model == Model("", RICH.model.digest, "")  # type: ignore[union-attr]


def test_two_payloads_of_the_same_text_have_nothing_in_common() -> None:
    payloads = Payloads()
    for _ in range(2):
        payloads.add("prompt", b"the same")
    one, two = payloads
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
        if isinstance(old, int) and wrong == -1:
            continue  # a number for a number; ranges have tests below
        if path[-1] in ("facts", "parameters", "categories") and isinstance(wrong, dict):
            continue  # these have names of their own
        if path[0] == "facts" and isinstance(wrong, str | int):
            continue  # a fact may be any text or integer
        if path[0] == "parameters" and isinstance(wrong, int):
            continue
        at(body, path[:-1])[path[-1]] = wrong
        with pytest.raises(ValueError):  # noqa: PT011  the first problem is reported
            read(body)


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
        with pytest.raises(ValueError):  # noqa: PT011  the first problem is reported
            read(body)
        body = copy.deepcopy(BODIES[number])
        at(body, path[:-1])["comment"] = "hello"
        with pytest.raises(ValueError):  # noqa: PT011  the first problem is reported
            read(body)


OUTPUT = {"media_type": "text/plain", "bytes": 1, "finish_reason": None, "content": "ab" * 32}


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
        ("started", "run", "01JQ000000000000000000000I"),
        ("started", "parents", ["01JQ"]),
        ("started", "prompt", "AB" * 32),
        ("started", "request", ""),
        ("started", "request", "0" * 65),
        ("started", "at", 1.5),
        ("started", "line", -1),
        ("started", "parameters", {"times": "two"}),
        ("started", "parameters", {"times": "12"}),
        ("started", "parameters", {"times": "nan"}),
        ("started", "parameters", {"times": "inf"}),
        ("started", "parameters", {"times": "0.50"}),
        ("started", "parameters", {"times": "-0.0"}),
        ("started", "parameters", {"times": "5e-1"}),
        ("started", "parameters", {"times": "9007199254740991"}),
        ("started", "parameters", {"times": "09007199254740993"}),
        ("started", "parameters", {"times": 0.5}),
        ("started", "parameters", {"times": 2**53}),
        ("started", "parameters", {"what I want": 1}),
        ("started", "parameters", {"times": [1]}),
        ("started", "model", "my model"),
        ("started", "generator", ""),
        ("started", "generator", "x" * 256),
        ("outcome", "status", "started"),
        ("outcome", "failure", "my fault"),
        ("outcome", "outputs", [OUTPUT | {"media_type": "text"}]),
        ("outcome", "outputs", [OUTPUT, OUTPUT | {"content": "ab"}]),
        ("outcome", "trace", ""),
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
    with pytest.raises(ValueError):  # noqa: PT011  the first problem is reported
        read(body)


@pytest.mark.parametrize(
    "change",
    [{"seed": "18446744073709551616"}, {"generator": "a\nb"}, {"line": -1}, {"at": 2**53}],
)
def test_an_entry_with_an_invalid_field_is_not_encoded(change: dict[str, Any]) -> None:
    entry = replace(decode(rfc8785.dumps(of_kind("started"))), **change)
    with pytest.raises(EntryError) as caught:
        encode(entry)
    assert caught.value.kind == "started"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": ["started"], "version": 1},
        {"kind": "started", "version": "1"},
        {"kind": "begun", "version": 1},
        {"kind": "started", "version": 99},
    ],
)
def test_an_unknown_kind_or_version_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"kind|version|str|int"):
        read(body)


# ---- canonical bytes ---------------------------------------------------------------------------

FINITE = st.floats(allow_nan=False, allow_infinity=False)
INTEGERS = st.integers(-SAFE, SAFE)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
PRINTABLE = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(str.isprintable)
KEYS = PRINTABLE.filter(is_key)
NUMBERS = (FINITE | st.integers(-(2**70), 2**70)).map(encode_number)
FLOATS = FINITE.map(encode_number)


def of_kind(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = next(body for body in BODIES if body["kind"] == kind)
    return copy.deepcopy(found)


def read(body: Any) -> Entry:
    """Return the entry with these fields, read from the bytes that rfc8785 writes."""
    return decode(rfc8785.dumps(body))


@given(st.dictionaries(KEYS, TEXTS | INTEGERS, max_size=5))
def test_facts_are_written_as_rfc8785_writes_them(facts: dict[str, Any]) -> None:
    body = of_kind("environment") | {"facts": facts}
    assert encode(EnvironmentEntry(facts=facts)) == rfc8785.dumps(body)
    assert read(body) == EnvironmentEntry(facts=facts)


@given(
    st.dictionaries(
        st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,63}\Z"),
        st.none() | st.booleans() | NUMBERS,
        max_size=5,
    )
)
def test_parameters_are_written_as_rfc8785_writes_them(parameters: dict[str, Any]) -> None:
    body = of_kind("started") | {"parameters": parameters}
    assert encode(read(body)) == rfc8785.dumps(body)


@given(PRINTABLE, PRINTABLE, st.dictionaries(KEYS, FLOATS, max_size=5), FLOATS)
def test_names_and_numbers_of_an_outcome_are_written_as_rfc8785_writes_them(
    filter: str, evaluator: str, categories: dict[str, str], value: str
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
            "latency_us": 0,
            "failed": False,
        }
    ]
    assert encode(read(body)) == rfc8785.dumps(body)


@given(FINITE, st.sampled_from(["{!r}", "{:.1f}", "{:e}", "{:g}", "{:.17g}", "{:.0f}"]))
def test_a_number_is_read_only_in_its_one_form(value: float, form: str) -> None:
    text = form.format(value)
    body = of_kind("started") | {"parameters": {"it": text}}
    number = float(text) if "." in text or "e" in text else int(text)
    if encode_number(number) == text:
        entry = read(body)
        assert isinstance(entry, StartedEntry)
        assert entry.parameters == {"it": text}
    else:
        with pytest.raises(ValueError):  # noqa: PT011  the first problem is reported
            read(body)


@pytest.mark.parametrize("character", ["\U0001f600", "\U00010000"])
def test_a_key_has_no_character_above_ffff(character: str) -> None:
    with pytest.raises(EntryError):
        read(of_kind("environment") | {"facts": {character: 1}})
    body = of_kind("started") | {"generator": character}
    assert encode(read(body)) == rfc8785.dumps(body)


def test_a_name_has_no_character_that_cannot_be_seen() -> None:
    unseen = (0x7F, 0x85, 0xAD, 0x61C, 0x180E, 0x200B, 0x202E, 0x2028, 0x2066, 0xFEFF)
    for code in (*range(0x20), *unseen, 0x13430, 0x1BCA0, 0x1D173, 0xE0041):
        body = of_kind("started") | {"generator": f"a{chr(code)}b"}
        with pytest.raises(ValueError):  # noqa: PT011  the first problem is reported
            read(body)
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
        decode(huge)


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
        decode(spoil(line))
