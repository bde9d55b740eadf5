"""A verifier written from the reference alone agrees with `muniment-verify` about every proof."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from muniment.ledger.checkpoints import Checkpoint, sign_checkpoint
from muniment.ledger.keys import PrivateKey, PublicKey
from muniment.ledger.proofs import (
    FORMAT,
    Proof,
    ProofError,
    ProofFormatError,
    ProvenEntry,
    parse_proof,
)
from muniment.ledger.tree import Frontier, inclusion_proof, leaf_hash
from muniment.signing import KeyStore
from muniment.store import Query, Store
from muniment.types.generations import Failure, Generation
from muniment.types.inputs import Input
from muniment.types.outputs import Output, Text
from muniment.types.plugins import PluginRef
from muniment.types.replays import Difference, Replay
from muniment.types.scores import Score
from muniment.types.verdicts import Verdict
from support import outsider
from support.databases import ask
from support.golden import FOLDER

TEXTS = (
    "a prompt",
    "最近我国成功发射了新的卫星",
    "🛰️ 𠮷\u200b\u202e",
    'tab\there \\ " \x7f',
    "e\u0301",
)
NUMBERS = (0.1, 1.0, -0.0, 1e-7, 1e16, 1e22, 1e-5, 123456.789, 5e-324, 1.7976931348623157e308, -0.5)
INTEGERS = (0, -1, 2**53 - 1, 2**53, -(2**53), 10**30, True, False, None)
INPUTS = (Input("context", "text/plain", "一\0".encode()), Input("init", "image/png", b"\x89\xff"))
PLAIN_OUTPUT = ("media_type", "bytes", "finish_reason", "content")
KINDS = ("prompt", "output", "request", "trace", "detail", "actor", "policy")


def accepted(file: bytes, key: PublicKey) -> bool:
    """Return whether the outsider's verifier accepts a proof. Any error is a refusal."""
    try:
        outsider.verify(file, str(key))
    except Exception:
        return False
    return True


class Proven(NamedTuple):
    """Proofs of one store, the key that signed them, and the first entries of the store."""

    files: list[bytes]
    key: PrivateKey
    public: PublicKey
    entries: list[bytes]

    def check(self, file: bytes) -> bool:
        """Return whether a proof is valid. Both verifiers must agree."""
        try:
            parse_proof(file).verify(self.public)
            valid = True
        except (ProofFormatError, ProofError):
            valid = False
        assert accepted(file, self.public) == valid, file
        return valid

    def signed(self, entries: list[bytes], *numbers: int) -> bytes:
        """Return a proof of entries of a log that contains only these, signed with the key."""
        leaves = [leaf_hash(data) for data in entries]
        edge = Frontier()
        edge.extend(leaves)
        note = sign_checkpoint(Checkpoint(self.key.name, len(entries), edge.root()), self.key)

        def read(level: int, start: int, stop: int) -> list[bytes]:
            assert level == 0
            return leaves[start:stop]

        proven = [
            ProvenEntry.new(number, entries[number], inclusion_proof(number, len(entries), read))
            for number in numbers
        ]
        return Proof(FORMAT, str(note), tuple(proven), ()).write()


def requests(start: Callable[..., Generation], make_rich: Any) -> Iterator[Generation]:
    yield start("the first", parameters={}, plugins=(), policy="", seed=0)
    yield make_rich()[0]
    for number, value in enumerate((*NUMBERS, *INTEGERS)):
        yield start(
            TEXTS[number % len(TEXTS)],
            actor=("anna", "李雷", "👩‍🚀")[number % 3],
            parameters={"value": value, "words": TEXTS[:2]},
            seed=2**64 - 1 - number,
            policy=("default", "")[number % 2],
            line=number or None,
            inputs=(INPUTS, INPUTS[:1], ())[number % 3],
        )


def ended(started: Generation, number: int, finish: Callable[..., Generation]) -> Generation:
    """Return an outcome, another kind for each number."""
    if number % 5 == 0:
        failure = Failure("generator", "it broke: 𠮷")
        return finish(started, status="failed", failure=failure, outputs=(), verdicts=(), scores=())
    if number % 5 == 1:
        images = (
            Output("image/png", bytes(range(256)), fingerprint=b"\0pixels"),
            Text("𠮷\0", "length"),
            Output("application/json", b"[1,2]", kept=(1, 0), fingerprint="两".encode()),
        )
        return finish(started, outputs=images, usage=None)
    value = NUMBERS[number % len(NUMBERS)]
    scores = (
        Score("statistics", "1", "length", value, "字/𠮷", None, None),
        Score("s", "", "n", None),
    )
    verdicts = (
        Verdict(
            "block", {"暴力": 1e-7, "own": 0.5}, (), "words", "", "output", "block", "default", 0.1
        ),
        Verdict("block", {}, (), "words", "1", "item", "block", "default", item=2),
        Verdict("allow", {}, (), "words", "1", "input", "allow", "default", input="context"),
    )
    status = "blocked" if number % 5 == 2 else "completed"
    return finish(started, TEXTS[number % 4], verdicts=verdicts, scores=scores, status=status)


@pytest.fixture(scope="module")
def proven(
    tmp_path_factory: pytest.TempPathFactory, start: Any, finish: Any, make_rich: Any
) -> Proven:
    folder = tmp_path_factory.mktemp("proven")
    url = f"sqlite:///{folder}/muniment.db"
    with Store.open(url, create=True) as store:
        keys = KeyStore(folder / "home")
        keys.generate(store.log)
        files: list[bytes] = []
        ids: list[str] = []

        def prove(*generations: str) -> None:
            note = keys.newest_checkpoint(store)
            for id in generations:
                files.append(store.prove(id, note).write())
                for kinds in (KINDS[:1], KINDS[:2], KINDS[5:6]):
                    generation = store.generation(id)
                    if "prompt" not in generation.erased and (generation.outputs or len(kinds) < 2):
                        files.append(store.prove(id, note, kinds).write())

        for number, started in enumerate(requests(start, make_rich)):
            ids.append(started.id)
            store.record_started([started], policy_document="rules: []\n")
            if number < 2:
                prove(started.id)
            outcome = make_rich()[1] if number == 1 else ended(started, number, finish)
            store.record_outcomes(
                [finish(started, outputs=outcome.outputs, verdicts=outcome.verdicts,
                        scores=outcome.scores, trace=outcome.trace, status=outcome.status,
                        failure=outcome.failure, usage=outcome.usage)],
                declared_categories={"words": frozenset({"暴力", "violence"})},
            )  # fmt: skip
            prove(started.id)
        note = keys.newest_checkpoint(store)
        files.append(store.prove(ids[1], note, KINDS).write())
        files.append(store.prove(ids[1], note, ("input", "fingerprint")).write())
        store.events.add_feedback(ids[1], "bert", "up", "说得好")
        store.events.add_review(ids[2], "bert", "overturn", "𠮷")
        core = PluginRef("muniment", "0.1", "unknown")
        replay = Replay(ids[3], "diverged", "3", (Difference("a", "b", "c"),), {"x": 2}, (core,))
        store.events.add_replay(replay, "审计员")
        store.erasures.erase(Query(ids=ids[2:4]), "keeper")
        prove(*ids[1:4])
        more = [start(f"more {number}") for number in range(150)]
        store.record_started(more, policy_document="")
        prove(more[7].id)
        store.record_outcomes([finish(generation) for generation in more])
        prove(ids[0], *(generation.id for generation in more[::25]))
        key = keys.private_key(store.log)
        assert key is not None
    rows = ask(url, "SELECT canonical_bytes FROM entry WHERE seq < 16 ORDER BY seq")
    return Proven(files, key, key.public, [bytes(row[0]) for row in rows])


def test_the_outsider_is_short_and_imports_nothing_of_the_product() -> None:
    source = Path(outsider.__file__).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 180
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).partition(".")[0])
    assert imported - sys.stdlib_module_names == {"cryptography"}


def test_both_verifiers_accept_every_proof_of_a_store(proven: Proven) -> None:
    assert len(set(proven.files)) >= 100
    assert all(map(proven.check, proven.files))
    sizes = {json.loads(file)["checkpoint"].split("\n")[1] for file in proven.files}
    assert int(min(sizes, key=int)) <= 4
    assert int(max(sizes, key=int)) >= 300


def places(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the place of every value of a JSON document."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in items:
        yield (*at, name)
        if isinstance(item, dict | list):
            yield from places(item, (*at, name))


def changed(document: Any, place: tuple[str | int, ...], value: Any) -> Any:
    """Return a copy of the document with another value at a place. `...` removes the value."""
    copy = json.loads(json.dumps(document))
    *way, last = place
    part = copy
    for name in way:
        part = part[name]
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return copy


def test_both_verifiers_refuse_every_changed_field_of_a_proof(proven: Proven) -> None:
    document = json.loads(max(proven.files[:40], key=len))
    refused = 0
    for place in places(document):
        value: Any = document
        for name in place:
            value = value[name]
        other = value + 1 if isinstance(value, int) else value[1:] if isinstance(value, str) else []
        for new in (other, None, ..., [value], 1.0, float("nan"), "\ud800"):
            refused += not proven.check(json.dumps(changed(document, place, new)).encode())
    for part in ("entries", "disclosed"):
        for first in range(len(document[part])):
            for second in range(len(document[part])):
                items = list(document[part])
                items[first], items[second] = items[second], items[first]
                same = first == second or part == "disclosed"
                assert proven.check(json.dumps(document | {part: items}).encode()) == same
                items = [*document[part], document[part][first]]
                assert not proven.check(json.dumps(document | {part: items}).encode())
    assert refused >= 300
    assert proven.check(json.dumps(document).encode())
    for bad in (b"", b"\xef\xbb\xbf" + json.dumps(document).encode(), b'{"format":1,"format":2}'):
        assert not proven.check(bad)


def test_both_verifiers_refuse_two_proofs_spliced(proven: Proven) -> None:
    by_checkpoint: dict[str, list[Any]] = {}
    for file in proven.files:
        document = json.loads(file)
        by_checkpoint.setdefault(document["checkpoint"], []).append(document)
    spliced = 0
    for documents in by_checkpoint.values():
        for one in documents[:8]:
            for other in documents[::4]:
                if one["entries"][0] == other["entries"][0]:
                    continue
                known = {item["number"] for item in one["entries"]}
                new = [item for item in other["entries"] if item["number"] not in known]
                for entries in (
                    [one["entries"][0], *other["entries"][1:]],
                    [*one["entries"], *new],
                    [*one["entries"][:2], *new],
                ):
                    file = json.dumps(one | {"entries": entries}).encode()
                    assert not proven.check(file)
                    spliced += 1
    assert spliced >= 100


COMMON: tuple[Any, ...] = (None, True, -1, 2**53 - 1, 2**53, 1.0, "", "x", [], {}, [[]], ...)
OTHERS: dict[type, tuple[Any, ...]] = {
    int: (0, 1, "1", -(2**53), -(2**53) + 1),
    str: (
        "𠮷" * 255, "a" * 256, "x ", "0" * 26, "7" + "Z" * 26, "8" + "0" * 25,
        "01jq0000000000000000000001", "01JQ0000000000000000000I01", "0" * 64, "A" * 64, "0" * 63,
        "tree1-sha256:" + "0" * 64, "tree1-sha256:0", "x:" + "0" * 128, "x:" + "0" * 129,
        "text/plain; charset=utf-8", "Text/plain", "image/svg+xml", "a/b;c=d", "a/b;  c=d", "stop",
        "blocked", "allow",
    ),
    dict: (
        {"a": 1}, {"a": "1.0"}, {"": "1.0"}, {"𠮷": "1.0"}, {"é": "1.0"}, {"a-b": True},
        {"9": True}, {"a" * 64: 1}, {"a" * 65: 1}, {"a" * 256: "1.0"}, {"a": "x\0"},
        {"a": "\u200b𠮷"}, {"a": None},
    ),
    list: ([1], [0, 0], ["0" * 26], [{}]),
}  # fmt: skip
FORMS = (
    "1", "01", "-1", "+1", " 1", "1_0", "١", "0.0", "-0.0", "0", "0.1", "0.10", ".1", "1.", "1.0\n",
    "1e-07", "1e-7", "1E-07", "1e16", "1e+16", "1e+016", "10000000000000000.0",
    "9999999999999998.0", "0.0001", "0.00001", "1e-05", "1.5e+300", "1e+400", "inf", "-inf", "nan",
    "0x10", "9007199254740991", "9007199254740992", "-9007199254740991",
    "-9007199254740992",
    "18446744073709551615", "18446744073709551616", "09007199254740993", "9" * 4300, "9" * 4301,
)  # fmt: skip
EDGES = (
    0, 0x1F, 0x20, 0x7E, 0x7F, 0x80, 0x9F, 0xA0, 0xAC, 0xAD, 0xAE, 0x600, 0x61B, 0x61C, 0x61D,
    0x180D, 0x180E, 0x180F, 0x200A, 0x200B, 0x200F, 0x2010, 0x2027, 0x2028, 0x202E, 0x202F, 0x205F,
    0x2060, 0x206F, 0x2070, 0xFEFE, 0xFEFF, 0xFF00, 0xFFF8, 0xFFF9, 0xFFFB, 0xFFFC, 0xFFFD,
    0xFFFE, 0xFFFF, 0x10000, 0x1342F, 0x13430, 0x1343F, 0x13440, 0x1BC9F, 0x1BCA0, 0x1BCA3,
    0x1BCA4, 0x1D172, 0x1D173, 0x1D17A, 0x1D17B, 0xDFFFF, 0xE0000, 0xE0001, 0xE007F, 0xE0080,
    0xE0100, 0x10FFFF,
)  # fmt: skip


NUMERIC = (("seed",), ("parameters", "ratio"), ("parameters", "times"), ("scores", "value"))
NAMED = (("generator",), ("scores", "unit"))


def test_both_verifiers_agree_on_the_form_of_signed_entries(proven: Proven) -> None:
    document = json.loads(
        next(file for file in proven.files if b"violence" in file and b'\\"outcome\\"' in file)
    )
    numbers = [item["number"] for item in document["entries"]]
    entries = proven.entries[: max(numbers) + 1]
    assert proven.check(proven.signed(entries, *numbers))
    counts = {True: 0, False: 0}

    seen = set()

    def check(number: int, data: bytes) -> bool:
        log = list(entries)
        log[number] = data
        valid = proven.check(proven.signed(log, *numbers))
        counts[valid] += 1
        return valid

    def canonical(value: Any) -> bytes:
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode(
            "utf-8"
        )

    for number in numbers:
        entry = json.loads(entries[number])
        for place in places(entry):
            shape = (entry["kind"], *(name for name in place if isinstance(name, str)))
            if shape in seen:
                continue
            seen.add(shape)
            value = entry
            for name in place:
                value = value[name]
            values = COMMON + OTHERS.get(type(value), ())
            if shape[1:] in NUMERIC:
                values += FORMS
            if shape[1:] in NAMED:
                values += tuple(f"x{chr(code)}" for code in EDGES)
            if shape[-1] == "facts":
                values += tuple({f"x{chr(code)}": chr(code)} for code in EDGES)
            for other in values:
                check(number, canonical(changed(entry, place, other)))
        for field in ("note", "a"):
            check(number, canonical({**entry, field: None}))
        text = entries[number].decode()
        for other in (
            json.dumps(entry, ensure_ascii=False, sort_keys=True),
            json.dumps(dict(reversed(entry.items())), ensure_ascii=False, separators=(",", ":")),
            text + " ", text + "\n", text.replace("/", "\\/"), text.replace("a", "\\u0061"),
            text.replace("1", "1.0", 1), text.replace("{", '{"version":1,', 1), "[]", "1", "null",
        ):  # fmt: skip
            check(number, other.encode())
    assert counts[True] >= 100
    assert counts[False] >= 500


@pytest.mark.parametrize("version", [1, 2])
def test_both_verifiers_agree_on_a_golden_generation(proven: Proven, version: int) -> None:
    lines = (FOLDER / f"entries_v{version}.jsonl").read_bytes().splitlines()
    bodies = [json.loads(line) for line in lines]
    started = next(n for n, body in enumerate(bodies) if body["kind"] == "started")
    outcome = next(n for n, body in enumerate(bodies) if body["kind"] == "outcome")
    shared = [n for n in range(1, started) if bodies[n]["kind"] != "genesis"]
    numbers = (started, outcome, *shared)
    assert proven.check(proven.signed(lines, *numbers))

    def check(number: int, body: Any) -> bool:
        data = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        log = [*lines[:number], data.encode(), *lines[number + 1 :]]
        return proven.check(proven.signed(log, *numbers))

    for number in (started, outcome):
        body = bodies[number]
        for other in (1, 2, 3, 0):
            assert check(number, body | {"version": other}) == (
                other == version or (version, other) == (1, 2)
            )
        new = {"inputs": {"x": 1}, "models": {"x": "tree1-sha256:" + "0" * 64}, "fingerprints": []}
        for name, value in new.items():
            if name not in body:
                assert not check(number, body | {name: value})
    parts = {
        "outputs": ("kept", ([], [0], [1, 0], [0, 0], [-1], ["a"], None, {})),
        "verdicts": ("item", (1, 0, -1, None, True, 2**53)),
        "scores": ("models", ({}, {"x": "tree1-sha256:" + "0" * 64}, {"a b": "x:" + "0" * 16})),
    }
    accepted = 0
    for field, (name, values) in parts.items():
        for value in values:
            accepted += check(outcome, changed(bodies[outcome], (field, 0, name), value))
    for value in ("context", "a b", "", None):
        place = ("verdicts", 0, "input")
        accepted += check(outcome, changed(bodies[outcome], place, value))
    plain = {name: bodies[outcome]["outputs"][0][name] for name in PLAIN_OUTPUT}
    for kept, selection in ({"kept": [0]}, "0" * 64), ({"kept": [0]}, "0" * 63), ({}, "0" * 64):
        output = plain | kept | {"selection": selection}
        accepted += check(outcome, changed(bodies[outcome], ("outputs", 0), output))
    for stage in ("system", "prompt", "input", "output", "item", "image"):
        accepted += check(outcome, changed(bodies[outcome], ("verdicts", 0, "stage"), stage))
    assert accepted == (3 if version == 1 else 3 + 1 + 1 + 1 + 1 + 5)


def test_a_fingerprint_is_of_an_output_in_order(proven: Proven) -> None:
    lines = (FOLDER / "entries_v2.jsonl").read_bytes().splitlines()
    bodies = [json.loads(line) for line in lines]
    started = next(n for n, body in enumerate(bodies) if body["kind"] == "started")
    outcome = next(n for n, body in enumerate(bodies) if body["kind"] == "outcome")
    numbers = (started, outcome, *range(1, started))
    prints = bodies[outcome]["fingerprints"]
    for positions, valid in {(0, 1): True, (0, 2): True, (1, 1): False, (2, 1): False,
                             (1, 3): False, (): False, (2,): True}.items():  # fmt: skip
        facts = [fact | {"output": n} for fact, n in zip(prints, positions, strict=False)]
        body = bodies[outcome] | {"fingerprints": facts}
        data = json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        log = [*lines[:outcome], data.encode(), *lines[outcome + 1 :]]
        assert proven.check(proven.signed(log, *numbers)) == valid, positions


def test_a_proof_discloses_inputs_and_fingerprints(proven: Proven) -> None:
    kinds = set()
    for file in proven.files:
        kinds |= {payload["kind"] for payload in json.loads(file)["disclosed"]}
    assert kinds >= {*KINDS, "input", "fingerprint"}


def test_another_key_and_another_note_are_refused_by_both(proven: Proven) -> None:
    document = json.loads(proven.files[5])
    text, signature = document["checkpoint"].split("\n\n")
    other = PrivateKey(proven.key.name, bytes(32))
    head = text.split("\n")
    notes = {
        f"{text}\n\n{signature}": True,
        f"{text}\n\n— example.com/witness AAAAAAAA\n{signature}": True,
        f"{text}\n\n{signature}{signature}": True,
        f"{text}\n\n{signature}— {proven.key.name} {'A' * 96}\n": True,
        f"{text}\n\n{signature.replace('=', '')}": False,
        f"{text}\n\n{signature[:-1]}": False,
        f"{text}\n\n{signature}\n": False,
        f"{text}\n\n": False,
        f"{text}\n{signature}": False,
        f"{head[0]}\n0{head[1]}\n{head[2]}\n\n{signature}": False,
        f"{text}\nextension\n\n{signature}": False,
        f"{text}\r\n\r\n{signature}": False,
        str(sign_checkpoint(Checkpoint(head[0], int(head[1]), bytes(32)), proven.key)): False,
    }
    for note, valid in notes.items():
        assert proven.check(json.dumps(document | {"checkpoint": note}).encode()) == valid, note
    with pytest.raises(ProofError):
        parse_proof(proven.files[5]).verify(other.public)
    for key in (other.public, PublicKey("muniment/x", proven.key.public.key)):
        assert not accepted(proven.files[5], key)
