"""Proofs and the program that checks them: accepted as written, refused with anything altered."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace
from rich.cells import cell_len

from muniment import verifier
from muniment.ledger import proofs, schema
from muniment.ledger.checkpoints import Checkpoint, origin, sign_checkpoint
from muniment.ledger.division import finish, plugin_fact, start
from muniment.ledger.entries import ActorEntry, Entry, GenesisEntry, PluginEntry
from muniment.ledger.keys import PrivateKey
from muniment.ledger.payloads import Payload
from muniment.ledger.proofs import (
    DisclosedPayload,
    Proof,
    ProofError,
    ProofFormatError,
    ProvenEntry,
)
from muniment.ledger.tree import Frontier, Read, inclusion_proof, leaf_hash
from muniment.types.generations import Generation
from muniment.types.outputs import Output, Text
from muniment.types.plugins import PluginRef
from support.commands import check_shape

LOG = "ab" * 16
KEY = PrivateKey(origin(LOG), bytes(range(32)))
OTHER = PrivateKey(origin(LOG), bytes(range(1, 33)))
PLUGIN = PluginRef("muniment-words", "0.1", "tree1-sha256:" + "1" * 64)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STARTED, OUTCOME = 3, 4
NUMBERS = (STARTED, OUTCOME, 1, 2)  # the entries of the generation: its own, the actor, the plugin

PROMPT = Payload("prompt", 0, bytes(range(32)), "最近我国成功发射了\n新的卫星".encode())
TEXT = Payload("output", 0, bytes(range(32, 64)), "好的".encode())
PICTURE = Payload("output", 1, bytes(range(64, 96)), b"\x89PNG\x00\xff")


def ledger(size: int, before: int = 0) -> list[bytes]:
    """Entries of a small ledger, one generation among them, which goes on to that size.

    `before` is the number of other entries between the plugin and the generation.
    """
    generation = Generation(
        id="01JQ0000000000000000000001",
        run_id="01JQ0000000000000000000002",
        actor="anna",
        status="started",
        generator="words",
        prompt="",
        seed=7,
        started_at=NOON,
        plugins=(PLUGIN,),
    )
    ended = dataclasses.replace(
        generation,
        status="completed",
        finished_at=NOON,
        outputs=(Text("好的", "stop"), Output("image/png", PICTURE.content)),
    )
    actor = ActorEntry(name=Payload("actor", 0, bytes(32), b"anna").commitment)
    started, _ = start(generation, actor=1, policy=None, plugins=[2], inputs={})
    outcome, _ = finish(ended, started=STARTED + before, declared={}, environment=None, plugins=[2])
    commitments = (TEXT.commitment, PICTURE.commitment)
    outputs = [
        replace(output, content=content)
        for output, content in zip(outcome.outputs, commitments, strict=True)
    ]
    made: list[Entry] = [
        GenesisEntry(log=LOG),
        actor,
        PluginEntry(plugin=plugin_fact(PLUGIN)),
        *[actor] * before,
        replace(started, prompt=PROMPT.commitment),
        replace(outcome, outputs=outputs),
    ]
    made += [actor] * (size - len(made))
    return [schema.encode(entry) for entry in made]


def reading(data: Sequence[bytes]) -> Read:
    leaves = [leaf_hash(one) for one in data]
    nodes = {(node.level, node.index): node.hash for node in Frontier().extend(leaves)}

    def read(level: int, start: int, stop: int) -> list[bytes]:
        if level == 0:
            return leaves[start:stop]
        return [nodes[level, index] for index in range(start, stop)]

    return read


def proof_of(
    numbers: Sequence[int],
    size: int,
    *disclosed: DisclosedPayload,
    data: list[bytes] | None = None,
    key: PrivateKey = KEY,
) -> Proof:
    data = data or ledger(size)
    edge = Frontier()
    edge.extend(map(leaf_hash, data[:size]))
    return Proof(
        proofs.FORMAT,
        str(sign_checkpoint(Checkpoint(key.name, size, edge.root()), key)),
        tuple(
            ProvenEntry.new(number, data[number], inclusion_proof(number, size, reading(data)))
            for number in numbers
        ),
        disclosed,
    )


def laid_open(entry: int, payload: Payload) -> DisclosedPayload:
    return DisclosedPayload.new(
        entry, payload.kind, payload.position, payload.salt, payload.content
    )


WHOLE = proof_of(
    NUMBERS,
    300,
    laid_open(STARTED, PROMPT),
    laid_open(OUTCOME, TEXT),
    laid_open(OUTCOME, PICTURE),
)
FILE = WHOLE.write()


def test_a_proof_says_what_its_entries_say() -> None:
    head, entries = proofs.parse_proof(FILE).verify(KEY.public)
    assert proofs.parse_proof(FILE) == WHOLE
    assert (head.origin, head.size) == (KEY.name, 300)
    assert entries[STARTED].seed == "7"
    assert entries[OUTCOME].generation == STARTED
    assert entries[2].kind == "plugin"


@given(st.integers(5, 700), st.data())
def test_a_generation_at_every_place_of_every_size_can_be_proven(
    size: int, data: st.DataObject
) -> None:
    before = data.draw(st.integers(0, size - 5))
    numbers = [STARTED + before, OUTCOME + before, 1, 2]
    written = proof_of(numbers, size, data=ledger(size, before)).write()
    assert list(proofs.parse_proof(written).verify(KEY.public)[1]) == numbers


def test_another_key_of_the_same_log_proves_nothing() -> None:
    with pytest.raises(ProofError, match="is not signed by the key"):
        WHOLE.verify(OTHER.public)
    with pytest.raises(ProofError, match="is not signed by the key"):
        proof_of(NUMBERS, 300, key=OTHER).verify(KEY.public)


def test_a_path_to_the_root_of_an_earlier_size_is_refused() -> None:
    earlier = proof_of(NUMBERS, 200)
    with pytest.raises(ProofError, match="entry 3 is not in the ledger"):
        replace(WHOLE, entries=earlier.entries, disclosed=()).verify(KEY.public)


def test_an_entry_beyond_the_checkpoint_is_refused() -> None:
    data = ledger(300)
    late = ProvenEntry.new(200, data[200], inclusion_proof(200, 300, reading(data)))
    small = proof_of(NUMBERS, 200)
    with pytest.raises(ProofError, match="entry 200 is beyond the checkpoint, which has 200"):
        replace(small, entries=(late,)).verify(KEY.public)


def test_a_leaf_that_is_no_entry_is_refused_though_it_was_signed() -> None:
    data = [*ledger(5), b'{"kind":"rumour"}']
    with pytest.raises(ProofError, match=r"entry 5 cannot be read; a newer Muniment may"):
        proof_of([5], 6, data=data).verify(KEY.public)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (laid_open(STARTED, TEXT), "is not one that the entry commits to"),
        (laid_open(1, PROMPT), "is not one that the entry commits to"),
        (laid_open(0, PROMPT), "belongs to an entry that is not in the proof"),
        (
            laid_open(STARTED, PROMPT._replace(content=b"other")),
            "was changed after it was recorded",
        ),
        (laid_open(STARTED, PROMPT._replace(salt=bytes(32))), "was changed after"),
        (laid_open(OUTCOME, TEXT._replace(position=1)), "was changed after"),
        (laid_open(OUTCOME, TEXT._replace(position=2)), "is not one that the entry commits to"),
    ],
)
def test_a_disclosed_payload_must_be_the_one_committed_to(
    payload: DisclosedPayload, why: str
) -> None:
    proof = replace(WHOLE, disclosed=(payload,))
    with pytest.raises(ProofError, match=why):
        proofs.parse_proof(proof.write()).verify(KEY.public)


@pytest.mark.parametrize(
    ("numbers", "why"),
    [
        ((4, 3, 1, 2), "entry 4 is first but does not start a generation"),
        ((1,), "entry 1 is first but"),
        ((3, 1, 2, 4), "has entries of another generation, or in another order"),
        ((3, 4, 2, 1), "has entries of another generation, or in another order"),
        ((3, 4, 1, 2, 0), "has entries of another generation, or in another order"),
        ((3, 4, 1, 2, 5), "has entries of another generation, or in another order"),
        ((3, 4, 2), "entry 3 needs the actor entry 1, which is not in the proof"),
        ((3, 4, 1), "entry 3 needs the plugin entry 2, which is not in the proof"),
    ],
)
def test_the_entries_are_those_of_one_generation_in_the_defined_order(
    numbers: tuple[int, ...], why: str
) -> None:
    with pytest.raises(ProofError, match=why):
        proof_of(numbers, 300).verify(KEY.public)


def test_a_proof_before_the_outcome_has_no_outcome() -> None:
    proof = proof_of((3, 1, 2), 300)
    assert list(proof.verify(KEY.public)[1]) == [3, 1, 2]


@pytest.mark.parametrize("reference", [2, 5, 6])
def test_an_entry_must_name_earlier_entries_of_the_right_kind(reference: int) -> None:
    data = ledger(7)
    started = json.loads(data[STARTED]) | {"actor": reference}
    data[STARTED] = json.dumps(started, separators=(",", ":"), sort_keys=True).encode()
    numbers = (STARTED, OUTCOME, *sorted({2, reference}))
    with pytest.raises(ProofError, match=f"entry 3 needs the actor entry {reference}, which is"):
        proof_of(numbers, 7, data=data).verify(KEY.public)


def test_the_request_of_one_generation_with_the_outcome_of_another_is_refused() -> None:
    data = ledger(300)
    data[5:7] = data[STARTED], data[OUTCOME].replace(b'"generation":3', b'"generation":5')
    assert proof_of((5, 6, 1, 2), 300, data=data).verify(KEY.public)
    for numbers in ((3, 6, 1, 2), (3, 6, 1, 2, 5)):
        with pytest.raises(ProofError, match="entry 6 is not the outcome of entry 3"):
            proof_of(numbers, 300, data=data).verify(KEY.public)


def fields(value: Any, at: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where every plain value of a JSON document is."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found: list[tuple[str | int, ...]] = []
    for name, held in items:
        found += fields(held, (*at, name)) if isinstance(held, dict | list) else [(*at, name)]
    return found


def altered(value: Any) -> Any:
    if isinstance(value, int):
        return value + 1
    middle = len(value) // 2
    return value[:middle] + ("0" if value[middle] != "0" else "1") + value[middle + 1 :]


@pytest.mark.parametrize("place", fields(json.loads(FILE)), ids=lambda at: ".".join(map(str, at)))
def test_no_field_can_be_altered_or_left_out(place: tuple[str | int, ...]) -> None:
    *way, last = place
    for change in ("altered", "null", "left out"):
        document = held = json.loads(FILE)
        for name in way:
            held = held[name]
        if change == "left out":
            del held[last]
        else:
            held[last] = altered(held[last]) if change == "altered" else None
        with pytest.raises((ProofError, ProofFormatError)):
            proofs.parse_proof(json.dumps(document).encode()).verify(KEY.public)


@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
def test_no_byte_can_be_changed_that_means_anything(place: int, flip: int) -> None:
    changed = bytearray(FILE)
    changed[place] ^= flip
    try:
        same = json.loads(changed) == json.loads(FILE)  # a space made a tab, say
    except ValueError:
        same = False
    if same:
        assert proofs.parse_proof(bytes(changed)) == WHOLE
        return
    with pytest.raises((ProofError, ProofFormatError)):
        proofs.parse_proof(bytes(changed)).verify(KEY.public)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is not JSON"),
        (b"\xff", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"[]", "expected `object`"),
        (b"{}", "missing required field `format`"),
        (
            FILE.replace(b'"path"', b'"way"'),
            r"entries\[0\]: object contains unknown field `way`; it was changed, or a newer",
        ),
        (FILE.replace(b"proof/1", b"proof/2"), "its format is not muniment-proof/1"),
        (FILE.replace(b'"format"', b'"format":"","format"'), "a field occurs twice"),
        (FILE.replace(b'"number": 3', b'"number": 3.0'), r"entries\[0\].number: expected `int`"),
        (FILE.replace(b'"number": 3', b'"number": true'), r"entries\[0\].number: expected `int`"),
        (FILE.replace(b'"number": 3', b'"number": -3'), r"entries\[0\].number: expected `int`"),
        (FILE.replace(b'"number": 3', b'"number": NaN'), "it is not JSON"),
        (FILE.replace(b'"number": 2', b'"number": 3'), "it has an entry twice"),
        (FILE.replace(b'"position": 1', b'"position": 0'), "it has a payload twice"),
        (FILE.replace(b'"kind": "prompt"', b'"kind": "\\ud800"'), "it is not JSON"),
        (FILE.replace(b'"base64": "', b'"base64": "='), r"disclosed\[2\]: leading padding"),
        (FILE.replace(b'"base64"', b'"text":"","base64"'), r"disclosed\[2\]: it must have either"),
        (replace(WHOLE, entries=()).write(), "entries: expected `array` of length >= 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_proof_is_refused_with_the_place_and_the_reason(data: bytes, why: str) -> None:
    with pytest.raises(ProofFormatError, match=why):
        proofs.parse_proof(data)


# ---- the program ------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "proof.json"
    path.write_bytes(FILE)
    return path


def test_the_program_says_what_a_proof_shows(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verifier.main([str(file), "--key", str(KEY.public)]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith(f"ok    {KEY.name} signed the checkpoint: 300 entries, root ")
    assert lines[1].startswith("ok    entry 3 is in the signed log: started, ")
    assert "generation 01JQ0000000000000000000001" in lines[1]
    assert lines[2].startswith("ok    entry 4 is in the signed log: outcome, generation of entry 3")
    assert "at 2026-03-01T12:00:00.000Z, status completed" in lines[2]
    assert lines[5].endswith(r"recorded in entry 3: 最近我国成功发射了\n新的卫星")
    assert lines[7] == "ok    output 2 is the text recorded in entry 4: 6 bytes"
    assert lines[-1] == "verified"
    assert "not that they are true" in err
    assert "left out cannot be noticed" in err


def test_the_program_prints_one_documented_object(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verifier.main([str(file), "--key", str(KEY.public), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    check_shape(found, "proof_check")
    assert found["ok"]
    assert [entry["number"] for entry in found["entries"]] == [3, 4, 1, 2]
    assert verifier.main([str(file), "--key", str(OTHER.public), "--json"]) == 4
    found = json.loads(capsys.readouterr().out)
    check_shape(found, "proof_check")
    assert "is not signed by the key" in found["problem"]


def test_the_program_fails_an_altered_proof_with_a_sentence(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_bytes(FILE.replace(b'"seed\\":\\"7', b'"seed\\":\\"8'))
    assert verifier.main([str(file), "--key", str(KEY.public)]) == 4
    out, err = capsys.readouterr()
    assert out == "failed  entry 3 is not in the ledger that the checkpoint signs\n"
    assert "ask for a new proof" in err


def test_the_program_can_hold_a_proof_to_a_published_checkpoint(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    published = tmp_path / "checkpoint"
    published.write_text(WHOLE.checkpoint, encoding="utf-8")
    known = [str(file), "--key", str(KEY.public), "--checkpoint", str(published)]
    assert verifier.main(known) == 0
    published.write_text(proof_of(NUMBERS, 200).checkpoint, encoding="utf-8")
    assert verifier.main(known) == 4
    assert "is not the one in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["missing.json", "--key", str(KEY.public)], "cannot read missing.json: No such file"),
        (["{file}", "--key", "nonsense"], "--key nonsense: there is no such file"),
        (["{file}", "--key", KEY.text], "this is a private key"),
        (["{file}", "--key", "{file}"], "a public key is a name"),
        (
            ["{file}", "--key", str(KEY.public), "--checkpoint", "{file}"],
            "this is not a checkpoint",
        ),
    ],
)
def test_the_program_says_what_it_cannot_use(
    arguments: list[str], why: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [argument.format(file=file) for argument in arguments]
    assert verifier.main(given) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("Error: ")
    assert why in err


def test_the_program_reads_a_key_from_a_file_and_a_proof_from_standard_input(
    tmp_path: Path,
) -> None:
    key = tmp_path / "公钥.pub"
    key.write_text(f"{KEY.public}\n", encoding="utf-8")
    program = Path(sys.executable).with_name("muniment-verify")
    done = subprocess.run(
        [program, "-", "--key", key], input=FILE, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(b"verified\n")


def test_the_program_imports_no_database_and_no_command_line() -> None:
    script = "import sys, muniment.verifier; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({"sqlalchemy", "sqlite3", "click", "alembic", "cryptography"})
    assert not [name for name in done.stdout.split() if name.startswith("muniment.store")]


@pytest.mark.parametrize(("chosen", "word"), [("en", "proves"), ("zh", "证明")])
def test_the_verifier_explains_its_verdict_in_the_language_of_the_user(
    chosen: str,
    word: str,
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MUNIMENT_LANG", chosen)
    assert verifier.main([str(file), "--key", str(KEY.public)]) == 0
    valid = capsys.readouterr()
    assert valid.out.endswith("verified\n")
    assert word in valid.err
    assert verifier.main([str(file), "--key", str(OTHER.public)]) == 4
    invalid = capsys.readouterr()
    assert invalid.out.startswith("failed  ")
    assert word in invalid.err


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ("en", ("Usage: muniment-verify", "Options:", "Show this message and exit.", "[required]")),
        ("zh", ("用法：muniment-verify", "选项：", "显示本帮助并退出。", "[必填]")),
    ],
)
@pytest.mark.parametrize("columns", [80, 40])
def test_help_of_the_verifier_has_the_form_of_other_commands(
    chosen: str,
    words: tuple[str, ...],
    columns: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MUNIMENT_LANG", chosen)
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit) as ended:
        verifier.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(cell_len(line) <= columns - 2 for line in text.splitlines())
    joined = "".join(text.split())
    assert all("".join(word.split()) in joined for word in words)
    assert all(option in text for option in ("--key PUB", "--checkpoint FILE", "--json", "-h"))
    if chosen == "zh":
        assert not re.search(r"[a-z]+ [a-z]+ [a-z]+", re.sub("`[^`]*`", "", text))
