"""Entries of every kind and version stay readable, and nothing but entries passes the schema.

`golden/entries_v2.jsonl` holds the canonical bytes of a small ledger, one entry a line, and
`golden/payloads_v2.json` the payloads they commit to. `tests/support/golden.py` builds it. The
files of version 1 are evidence of the bytes that were once written, and never change.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import unicodedata
from hashlib import sha256
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import given, strategies as st
from msgspec.structs import replace

from muniment.ledger import canonical
from muniment.ledger.assembly import SharedEntries, Texts, assemble, plugin_ref
from muniment.ledger.canonical import SAFE, encode_number, is_key
from muniment.ledger.entries import (
    ActorEntry,
    Entry,
    EnvironmentEntry,
    InputEntry,
    OutcomeEntry,
    PluginEntry,
    PolicyEntry,
    StartedEntry,
)
from muniment.ledger.facts import OutputFact, ScoreFact, VerdictFact
from muniment.ledger.payload_texts import PolicyText, decode_text
from muniment.ledger.payloads import Payload, Payloads, commitment
from muniment.ledger.schema import (
    ENTRIES,
    OLD,
    UNSEEN,
    EntryError,
    decode,
    decode_all,
    encode,
    named,
    references,
)
from muniment.ledger.tree import Frontier, leaf_hash
from muniment.types.generations import Generation
from muniment.types.models import Model
from muniment.types.policies import policy_digest
from support.golden import BARE, FOLDER, NEWEST, RICH, RICH_V1, ledger

PayloadKey = tuple[int, str, int]


class Golden:
    """The golden files of a version, without a check of their contents.

    Attributes:
        lines: The canonical bytes of the entries.
        bodies: The JSON objects of the entries.
        decoded: The entries, of the newest classes.
        payloads: The payloads by entry, kind and position.
    """

    def __init__(self, version: int) -> None:
        self.lines = (FOLDER / f"entries_v{version}.jsonl").read_bytes().splitlines()
        self.bodies: list[dict[str, Any]] = [json.loads(line) for line in self.lines]
        self.decoded = [decode(line) for line in self.lines]
        self.root = (FOLDER / f"root_v{version}.txt").read_text().strip()
        self.payloads: dict[PayloadKey, Payload] = {
            (item["entry"], item["kind"], item["position"]): Payload(
                item["kind"],
                item["position"],
                bytes.fromhex(item["salt"]),
                bytes.fromhex(item["content"]),
            )
            for item in json.loads((FOLDER / f"payloads_v{version}.json").read_bytes())
        }

    def numbers_of(self, generation: Generation) -> tuple[int, ...]:
        """Return the numbers of the `started` and `outcome` entries, and those of the inputs."""
        started = self._number_of("started", generation.id)
        outcome = self._number_of("outcome", started)
        return started, outcome, *self.bodies[started].get("inputs", {}).values()

    def _number_of(self, kind: str, generation: str | int) -> int:
        return next(
            number
            for number, body in enumerate(self.bodies)
            if (body["kind"], body.get("generation")) == (kind, generation)
        )


OLD_FILES, FILES = Golden(1), Golden(NEWEST)
BODIES = [*FILES.bodies, *(b for b in OLD_FILES.bodies if (b["kind"], b["version"]) in OLD)]
GENERATIONS = [(FILES, RICH), (FILES, BARE), (OLD_FILES, RICH_V1), (OLD_FILES, BARE)]
NAMES = [f"{body['kind']}_v{body['version']}" for body in BODIES]
NEWEST_CLASSES = {key[0]: entry_class for key, entry_class in ENTRIES.items() if key not in OLD}
each_line = pytest.mark.parametrize("line", [rfc8785.dumps(body) for body in BODIES], ids=NAMES)
each_generation = pytest.mark.parametrize(
    ("files", "expected"), GENERATIONS, ids=["rich", "bare", "rich_v1", "bare_v1"]
)
each_version = pytest.mark.parametrize("files", [OLD_FILES, FILES], ids=["v1", "v2"])


# ---- golden bytes ------------------------------------------------------------------------------


def test_what_is_written_today_has_the_golden_bytes() -> None:
    made = ledger()
    assert [encode(entry) for entry in made.entries] == FILES.lines
    assert made.payloads == FILES.payloads


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("entries_v1.jsonl", "37a9a786df7122808b46e520cfe8364648bb6b033a5c39d440e7ba274e2ce924"),
        ("payloads_v1.json", "9d4a7493eca3809a8b163a1c0671cd38c13ddc2972dedb66094570f3610c54d4"),
        ("root_v1.txt", "6d96f8103e7cc007aa57231f439d02e5b6e27137958f9771c84a3b8ba21c5544"),
    ],
)
def test_the_files_of_version_1_never_change(name: str, digest: str) -> None:
    assert sha256((FOLDER / name).read_bytes()).hexdigest() == digest


@each_version
def test_golden_entries_are_canonical_and_fit_the_schema(files: Golden) -> None:
    for line, body, entry in zip(files.lines, files.bodies, files.decoded, strict=True):
        assert rfc8785.dumps(body) == line
        written = ENTRIES[body["kind"], body["version"]]
        assert canonical.encode(msgspec.json.decode(line, type=written)) == line
        assert encode(msgspec.json.decode(line, type=written)) == line
        assert type(entry) is NEWEST_CLASSES[body["kind"]]
        assert decode_all([line], [(body["kind"], body["version"])]) == [entry]


def test_every_kind_and_version_has_a_golden_entry() -> None:
    assert {(body["kind"], body["version"]) for body in BODIES} == set(ENTRIES)
    assert {(body["kind"], body["version"]) for body in FILES.bodies} == set(ENTRIES) - OLD


def test_every_field_is_in_a_golden_entry() -> None:
    for (kind, version), entry_class in ENTRIES.items():
        bodies = [b for b in BODIES if (b["kind"], b["version"]) == (kind, version)]
        assert set(entry_class.__struct_fields__) == set().union(*bodies), (kind, version)
    for part in (OutputFact, VerdictFact, ScoreFact):
        names = {name for body in BODIES for item in parts(body) for name in item}
        assert set(part.__struct_fields__) <= names


def parts(value: Any) -> list[dict[str, Any]]:
    """Return the objects in the lists of an entry."""
    lists = [item for item in value.values() if isinstance(item, list)]
    return [item for items in lists for item in items if isinstance(item, dict)]


@each_version
def test_the_golden_ledger_has_the_golden_root(files: Golden) -> None:
    frontier = Frontier()
    frontier.extend(leaf_hash(line) for line in files.lines)
    assert frontier.root().hex() == files.root


def texts_of(
    files: Golden, *numbers: int, payloads: dict[PayloadKey, Payload] | None = None
) -> Texts:
    """Return the golden payloads of entries, or other ones."""
    texts = Texts()
    for number in numbers:
        stored = {
            (kind, position): (payload.salt, payload.content)
            for (entry, kind, position), payload in (
                files.payloads if payloads is None else payloads
            ).items()
            if entry == number
        }
        texts.add(files.decoded[number], stored)
    return texts


def shared(files: Golden) -> SharedEntries:
    """Return the golden entries that others refer to."""
    entries = SharedEntries()
    for number, entry in enumerate(files.decoded):
        match entry:
            case ActorEntry():
                entries.actors[number] = texts_of(files, number).text("actor") or ""
            case PolicyEntry():
                text = decode_text(PolicyText, texts_of(files, number).get("policy"))
                entries.policies[number] = text.name, policy_digest(text.document)
            case EnvironmentEntry():
                entries.environments[number] = entry.facts
            case PluginEntry():
                entries.plugins[number] = plugin_ref(entry.plugin)
    return entries


def assembled(
    files: Golden, expected: Generation, payloads: dict[PayloadKey, Payload] | None = None
) -> Generation:
    """Return a golden generation with the golden payloads, or other ones."""
    first, second, *others = files.numbers_of(expected)
    started, outcome = files.decoded[first], files.decoded[second]
    assert isinstance(started, StartedEntry)
    assert isinstance(outcome, OutcomeEntry)
    inputs = {}
    for number in others:
        entry = files.decoded[number]
        assert isinstance(entry, InputEntry)
        inputs[number] = entry, texts_of(files, number, payloads=payloads)
    texts = texts_of(files, first, second, payloads=payloads)
    return assemble(started, outcome, texts, shared(files), status="started", inputs=inputs)


@each_generation
def test_golden_entries_and_payloads_give_the_generation(
    files: Golden, expected: Generation
) -> None:
    facts = {
        name: fact if isinstance(fact, str) else encode_number(fact)
        for name, fact in expected.environment.items()
    }
    assert assembled(files, expected) == dataclasses.replace(expected, environment=facts)


KEYS_OF_PAYLOADS = [key for key in FILES.payloads if key[0] in FILES.numbers_of(RICH)]


@pytest.mark.parametrize(
    "key", KEYS_OF_PAYLOADS, ids=[f"{k}-{p}-{n}" for n, k, p in KEYS_OF_PAYLOADS]
)
@pytest.mark.parametrize("change", ["content", "salt"])
def test_an_altered_payload_is_reported_and_not_read(key: PayloadKey, change: str) -> None:
    payload = FILES.payloads[key]
    altered = {"content": payload.content + b" ", "salt": bytes(32)}
    payloads = FILES.payloads | {key: payload._replace(**{change: altered[change]})}
    assert texts_of(FILES, key[0], payloads=payloads).get(*key[1:]) is None
    read = assembled(FILES, RICH, payloads)
    assert read.altered == (key[1],)
    assert read.erased == ()


@each_version
def test_golden_payloads_are_those_that_the_entries_commit_to(files: Golden) -> None:
    committed = {
        (number, reference.kind, reference.position): reference
        for number, entry in enumerate(files.decoded)
        for reference in references(entry)
    }
    assert committed.keys() == files.payloads.keys()
    for key, payload in files.payloads.items():
        assert committed[key].commitment == payload.commitment
        assert committed[key].size in (None, len(payload.content))


@each_version
def test_golden_entries_name_earlier_entries_of_the_right_kind(files: Golden) -> None:
    for number, entry in enumerate(files.decoded):
        for kind, other in named(entry):
            assert other < number
            assert files.bodies[other]["kind"] == kind


def test_a_commitment_binds_kind_salt_and_content() -> None:
    for payload in FILES.payloads.values():
        expected = payload.commitment
        assert commitment(payload.kind, payload.salt, payload.content).hex() == expected
        assert commitment("x" + payload.kind, payload.salt, payload.content).hex() != expected
        assert commitment(payload.kind, bytes(32), payload.content).hex() != expected
        assert commitment(payload.kind, payload.salt, payload.content + b"x").hex() != expected


@pytest.mark.parametrize(("files", "rich"), [(FILES, RICH), (OLD_FILES, RICH_V1)], ids=["v2", "v1"])
def test_a_generation_without_its_payloads_is_still_told(files: Golden, rich: Generation) -> None:
    """Everything that cannot be erased remains."""
    remaining = assembled(files, rich, payloads={})
    assert {output.data for output in remaining.outputs} == {b""}
    assert (remaining.prompt, remaining.tags, remaining.trace) == ("", (), None)
    assert (remaining.seed, remaining.status, remaining.usage) == (rich.seed, "blocked", rich.usage)
    texts = ("adapter", "joiner", "stop")
    assert remaining.parameters == {
        name: value for name, value in rich.parameters.items() if name not in texts
    }
    for attribute in ("action", "item", "input", "parameter"):
        assert [getattr(verdict, attribute) for verdict in remaining.verdicts] == [
            getattr(verdict, attribute) for verdict in rich.verdicts
        ]
    assert remaining.model == Model("", rich.model.digest, "")  # type: ignore[union-attr]
    assert remaining.models == {
        name: Model("", model.digest, "") for name, model in rich.models.items()
    }
    assert [(s.evaluator, s.parameters, s.models) for s in remaining.scores] == [
        (score.evaluator.partition("(")[0], {}, score.models) for score in rich.scores
    ]
    assert [(item.name, item.media_type, item.data) for item in remaining.inputs] == [
        (item.name, item.media_type, b"") for item in rich.inputs
    ]
    assert [output.kept for output in remaining.outputs] == [item.kept for item in rich.outputs]
    assert {output.fingerprint for output in remaining.outputs} == {None}
    assert ("input" in remaining.erased) == bool(rich.inputs)


def test_two_payloads_of_the_same_text_have_nothing_in_common() -> None:
    payloads = Payloads()
    for _ in range(2):
        payloads.add("prompt", b"the same")
    one, two = payloads
    assert one.salt != two.salt
    assert one.commitment != two.commitment


# ---- versions ----------------------------------------------------------------------------------

NEW_FIELDS: dict[str, dict[str, Any]] = {
    "started": {
        "inputs": {"context": 6},
        "models": {"adapter": "tree1-sha256:" + "cd" * 32},
        "cell": [0, 0, 0, 0],
    },
    "outcome": {"fingerprints": []},
    "feedback": {"action": "click", "item": 1},
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "started": {"inputs": {}, "models": {}, "cell": None},
    "outcome": {"fingerprints": []},
    "feedback": {"action": None, "item": None},
}
PARTS: dict[str, dict[str, Any]] = {
    "outputs": {"kept": [1, 0], "wanted": 2, "selection": "ab" * 32},
    "verdicts": {"item": 1, "input": "context", "parameter": "joiner"},
    "scores": {"models": {"scorer": "tree1-sha256:" + "cd" * 32}},
}


def fields_of(fields: dict[str, dict[str, Any]]) -> list[tuple[str, str, Any]]:
    return [(kind, name, value) for kind, some in fields.items() for name, value in some.items()]


@pytest.mark.parametrize(("kind", "field", "value"), fields_of(NEW_FIELDS))
def test_an_entry_of_version_1_with_a_field_of_version_2_is_refused(
    kind: str, field: str, value: Any
) -> None:
    body = of_kind(kind, 1) | {field: value}
    with pytest.raises(ValueError, match="unknown field"):
        read(body)


@pytest.mark.parametrize(("field", "name", "value"), fields_of(PARTS))
def test_an_outcome_of_version_1_with_a_part_of_version_2_is_refused(
    field: str, name: str, value: Any
) -> None:
    body = of_kind("outcome", 1)
    body[field][0][name] = value
    with pytest.raises(EntryError, match=f"its field {field} "):
        read(body)
    if name == "selection":
        body[field][0]["kept"] = [0]
    assert read(body | {"version": 2})


@pytest.mark.parametrize("stage", ["input", "item"])
def test_an_outcome_of_version_1_with_a_stage_of_version_2_is_refused(stage: str) -> None:
    body = of_kind("outcome", 1)
    body["verdicts"][0]["stage"] = stage
    with pytest.raises(EntryError, match="its field verdicts "):
        read(body)


@pytest.mark.parametrize(("kind", "field", "value"), fields_of(DEFAULTS))
def test_an_entry_that_contains_a_default_value_is_not_canonical(
    kind: str, field: str, value: Any
) -> None:
    body = of_kind(kind)
    body.pop(field, None)
    assert read(body)
    with pytest.raises(ValueError, match="not in canonical form"):
        read(body | {field: value})


@pytest.mark.parametrize(
    ("field", "name", "value"),
    [
        ("outputs", "kept", None),
        ("outputs", "wanted", None),
        ("outputs", "selection", None),
        ("verdicts", "item", None),
        ("verdicts", "input", None),
        ("scores", "models", {}),
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_a_part_that_contains_a_default_value_is_not_canonical(
    version: int, field: str, name: str, value: Any
) -> None:
    body = of_kind("outcome", version)
    body[field][0].pop(name, None)
    assert read(body)
    body[field][0][name] = value
    with pytest.raises(ValueError, match="not in canonical form"):
        read(body)


@pytest.mark.parametrize("kind", sorted({kind for kind, _ in OLD}))
def test_an_old_entry_has_the_fields_of_the_newest_class(kind: str) -> None:
    body = of_kind(kind, 1)
    entry = read(body)
    assert type(entry) is NEWEST_CLASSES[kind]
    assert msgspec.to_builtins(entry) == body | {"version": entry.version}
    assert encode(entry) == rfc8785.dumps(body | {"version": entry.version})


# ---- the closed schema -------------------------------------------------------------------------


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in an entry, from the whole to each leaf."""
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    return [path, *(deeper for key, item in inner for deeper in paths(item, (*path, key)))]


OBJECTS = ("facts", "parameters", "categories", "inputs", "counts")  # with names of their own
OPTIONAL = set(
    "inputs models cell kept wanted selection fingerprints item input parameter action".split()
)
PLACES = [(number, path) for number, body in enumerate(BODIES) for path in paths(body) if path]


def at(body: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        body = body[key]
    return body


@pytest.mark.parametrize(
    ("number", "path"),
    PLACES,
    ids=[f"{NAMES[number]}.{'.'.join(map(str, path))}" for number, path in PLACES],
)
def test_nothing_else_fits_in_any_place(number: int, path: tuple[Any, ...]) -> None:
    original = BODIES[number]
    for wrong in ({"x": 1}, ["x"], "line one\nline two", 0.5, -1):
        body = copy.deepcopy(original)
        old = at(body, path)
        if isinstance(old, int) and wrong == -1:
            continue  # a number for a number; ranges have tests below
        if path[-1] in OBJECTS and isinstance(wrong, dict):
            continue  # these have names of their own
        if path[0] == "facts" and isinstance(wrong, str | int):
            continue  # a fact may be any text or integer
        if path[0] == "parameters" and isinstance(wrong, int):
            continue
        at(body, path[:-1])[path[-1]] = wrong
        with pytest.raises(ValueError):  # noqa: PT011  the first problem is reported
            read(body)


@pytest.mark.parametrize("number", range(len(BODIES)), ids=NAMES)
def test_a_field_too_many_or_too_few_is_refused(number: int) -> None:
    for path in [p for n, p in PLACES if n == number]:
        parent = at(BODIES[number], path[:-1])
        if not isinstance(parent, dict) or path[-2:-1] in [(name,) for name in OBJECTS]:
            continue
        body = copy.deepcopy(BODIES[number])
        del at(body, path[:-1])[path[-1]]
        if path[-1] not in OPTIONAL and path[-2:-1] != ("models",):
            with pytest.raises(ValueError):  # noqa: PT011  the first problem is reported
                read(body)
        body = copy.deepcopy(BODIES[number])
        at(body, path[:-1])["comment"] = "hello"
        with pytest.raises(ValueError):  # noqa: PT011  the first problem is reported
            read(body)


DIGEST = "tree1-sha256:" + "cd" * 32
FINGERPRINT = {"output": 0, "bytes": 1, "content": "ab" * 32}
VERDICT = FILES.bodies[FILES.numbers_of(RICH)[1]]["verdicts"][0]
SCORE = FILES.bodies[FILES.numbers_of(RICH)[1]]["scores"][0]
OUTPUT = {"media_type": "text/plain", "bytes": 1, "finish_reason": None, "content": "ab" * 32}


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("started", "version", 3),
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
        ("started", "inputs", {"a name": 6}),
        ("started", "inputs", {"": 6}),
        ("started", "inputs", {"context": -1}),
        ("started", "inputs", {"context": "6"}),
        ("started", "models", {"a name": DIGEST}),
        ("started", "models", {"adapter": "my model"}),
        ("started", "cell", [0, 0, 0]),
        ("started", "cell", [0, 0, 0, 0, 0]),
        ("started", "cell", [0, 0, 0, -1]),
        ("started", "cell", [0, 0, 0, True]),
        ("started", "cell", ["0", 0, 0, 0]),
        ("outcome", "outputs", [OUTPUT | {"kept": [0, 0]}]),
        ("outcome", "outputs", [OUTPUT | {"kept": [-1]}]),
        ("outcome", "outputs", [OUTPUT | {"kept": ["a"]}]),
        ("outcome", "outputs", [OUTPUT | {"selection": "ab" * 32}]),
        ("outcome", "outputs", [OUTPUT | {"kept": [0], "selection": "AB" * 32}]),
        ("outcome", "outputs", [OUTPUT | {"wanted": 0}]),
        ("outcome", "outputs", [OUTPUT | {"wanted": "2"}]),
        ("outcome", "verdicts", [VERDICT | {"item": 0}]),
        ("outcome", "verdicts", [VERDICT | {"item": 2**53}]),
        ("outcome", "verdicts", [VERDICT | {"item": True}]),
        ("outcome", "verdicts", [VERDICT | {"input": ""}]),
        ("outcome", "verdicts", [VERDICT | {"input": "a name"}]),
        ("outcome", "verdicts", [VERDICT | {"stage": "image"}]),
        ("outcome", "scores", [SCORE | {"models": {"a name": DIGEST}}]),
        ("outcome", "scores", [SCORE | {"models": {"scorer": "my model"}}]),
        ("outcome", "fingerprints", [FINGERPRINT | {"output": 3}]),
        ("outcome", "fingerprints", [FINGERPRINT | {"output": -1}]),
        ("outcome", "fingerprints", [FINGERPRINT, FINGERPRINT]),
        ("outcome", "fingerprints", [FINGERPRINT | {"output": 1}, FINGERPRINT]),
        ("outcome", "fingerprints", [FINGERPRINT | {"content": "ab"}]),
        ("feedback", "item", 0),
        ("feedback", "item", -1),
        ("feedback", "item", "a song"),
        ("feedback", "action", "share"),
        ("input", "media_type", "text"),
        ("input", "content", None),
        ("input", "bytes", -1),
        ("training", "status", "started"),
        ("training", "counts", {"my_steps": 1}),
        ("training", "counts", {"steps": -1}),
        ("training", "result", "my model"),
        ("training", "detail", None),
        ("experiment", "run", "my run"),
        ("experiment", "items", 0),
        ("experiment", "replicates", None),
        ("experiment", "design", None),
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
    entry = replace(read(of_kind("started")), **change)
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


def of_kind(kind: str, version: int | None = None) -> dict[str, Any]:
    """Return a copy of the first golden entry of a kind, of the newest version by default."""
    bodies = [body for body in BODIES if body["kind"] == kind]
    return copy.deepcopy(
        next(body for body in bodies if version is None or body["version"] == version)
    )


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
        lambda line: line.replace(b'"version":', b'"version":1.'),
        lambda line: line.replace(b'"version":', b'"version": '),
        lambda line: line.replace(b'{"', b'{"kind":"genesis","', 1),
        lambda line: line.replace(b'"kind"', b'"k\\u0069nd"'),
        lambda line: b"[" + line + b"]",
        lambda line: line[:-1],
        lambda line: b"",
    ],
)
@each_line
def test_what_is_not_canonical_is_refused(line: bytes, spoil: Any) -> None:
    assert spoil(line) != line
    with pytest.raises(ValueError):  # noqa: PT011  whatever the parser says
        decode(spoil(line))
