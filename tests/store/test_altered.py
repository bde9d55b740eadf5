"""A payload altered behind the store's back is reported as altered, and its text never shown."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from muniment.errors import VerificationError
from muniment.ledger.checkpoints import Checkpoint, origin, sign_checkpoint
from muniment.ledger.events import ModelEntry
from muniment.ledger.keys import PrivateKey
from muniment.store import Query, Store
from muniment.types.generations import Failure, Generation
from muniment.types.models import Model
from muniment.types.outputs import Text
from support.databases import ask, change, only_sqlite

FORGED = "FORGED"
CONTENTS = {
    "prompt": b"FORGED",
    "request": b'{"system":"FORGED","tags":["FORGED"],"parameters":{"joiner":"FORGED"}}',
    "output": b"FORGED",
    "trace": b'{"token_ids":[9],"logprobs":[-9.0],"margins":[9.0]}',
    "detail": b'{"failure":"FORGED","verdicts":{"0":{"filter":"FORGED"}}}',
    "actor": b"FORGED",
    "policy": b'{"name":"FORGED","document":"FORGED"}',
    "input": b"FORGED",
    "fingerprint": b"FORGED",
}
MODEL = "tree1-sha256:" + "cd" * 32


def without(generation: Generation, kind: str) -> Generation:
    """Return a generation of `make_rich` as it is shown without its payloads of a kind."""
    changes: dict[str, Any] = {}
    match kind:
        case "prompt":
            changes = {"prompt": ""}
        case "request":
            assert generation.model is not None
            model = Model("", generation.model.digest, "")
            numbers = {"ratio": 0.25, "times": 2, "top": None}
            changes = {"system": None, "tags": (), "model": model, "parameters": numbers}
        case "output":
            empty = [dataclasses.replace(output, data=b"") for output in generation.outputs]
            changes = {"outputs": tuple(empty)}
        case "input":
            inputs = [dataclasses.replace(item, data=b"") for item in generation.inputs]
            changes = {"inputs": tuple(inputs)}
        case "fingerprint":
            outputs = [dataclasses.replace(o, fingerprint=None) for o in generation.outputs]
            changes = {"outputs": tuple(outputs)}
        case "trace":
            changes = {"trace": None}
        case "detail":
            [flagged, failed], [length, perplexity] = generation.verdicts, generation.scores
            scores = {"violence": 0.5}
            flagged = dataclasses.replace(flagged, reasons=(), categories=scores)
            # The policy of the second verdict is in the payload, too.
            policy = generation.policy
            failed = dataclasses.replace(failed, failure="", policy_version=policy, filter="")
            changes = {
                "verdicts": (flagged, failed),
                "scores": (length, dataclasses.replace(perplexity, failure="")),
                "failure": Failure("refused", ""),
            }
        case "actor":
            changes = {"actor": ""}
        case "policy":
            [first, second] = generation.verdicts
            first = dataclasses.replace(first, policy_version="")
            changes = {"policy": "", "policy_digest": "", "verdicts": (first, second)}
    return dataclasses.replace(generation, altered=(kind,), **changes)


@pytest.fixture
def rich(store: Store, start: Any, finish: Any, make_rich: Any) -> Generation:
    """A generation with a payload of every kind, beside another with its own actor and policy."""
    other = start("another prompt", actor="bert", policy="strict")
    started, ended = make_rich()
    ended = dataclasses.replace(
        ended,
        failure=Failure("refused", "too long"),
        status="failed",
        policy_digest=f"sha256:{sha256(b'rules: [b]').hexdigest()}",
    )
    store.record_started([other], policy_document="rules: [a]")
    store.record_started([started], policy_document="rules: [b]")
    declared = {"words": frozenset({"violence"})}
    store.record_outcomes([finish(other), ended], declared_categories=declared)
    assert store.generation(ended.id) == ended
    return ended


def alter(url: str, generation: Generation, kind: str, content: bytes, where: str = "") -> None:
    """Write other content into the payloads of a kind that belong to a generation."""
    [numbers] = ask(
        url,
        "SELECT g.seq, g.outcome, g.actor, p.seq FROM generation g, policy p "
        "WHERE g.id = :id AND p.name = :policy",
        {"id": generation.id, "policy": generation.policy},
    )
    inputs = ask(
        url,
        "SELECT i.input FROM generation_input i JOIN generation g ON g.seq = i.generation "
        "WHERE g.id = :id",
        {"id": generation.id},
    )
    entries = ", ".join(map(str, [*numbers, *(row.input for row in inputs)]))
    statement = f"UPDATE payload SET content = :content WHERE entry IN ({entries}) {where}"
    assert change(url, f"{statement} AND kind = :kind", {"content": content, "kind": kind})


each_kind = pytest.mark.parametrize("payload_kind", CONTENTS)


@each_kind
def test_an_altered_payload_is_reported_and_not_shown(
    store: Store, url: str, rich: Generation, payload_kind: str
) -> None:
    alter(url, rich, payload_kind, CONTENTS[payload_kind])
    shown = store.generation(rich.id)
    assert shown == without(rich, payload_kind)
    assert list(shown.to_json()["altered"]) == [payload_kind]
    assert FORGED not in json.dumps(shown.to_json())
    [problem] = store.verify(payloads=True).problems[:1]
    assert problem.where.startswith(f"{payload_kind} 0 of entry ")


@each_kind
def test_lists_show_altered_payloads_as_one_generation_does(
    store: Store, url: str, rich: Generation, payload_kind: str
) -> None:
    others = list(store.generations(Query(actor="bert")))
    alter(url, rich, payload_kind, CONTENTS[payload_kind])
    listed = dataclasses.replace(store.generation(rich.id), trace=None)
    if payload_kind == "trace":  # lists are made without reading traces
        listed = dataclasses.replace(listed, altered=())
    assert list(store.generations(Query(ids=[rich.id]))) == [listed]
    assert list(store.tail(Query(ids=[rich.id], limit=9), follow=False)) == [listed]
    assert [line.generation for line in store.lines(rich.run_id)] == [listed]
    assert listed in store.lineage(rich.id).generations
    assert FORGED not in repr([dataclasses.asdict(hit) for hit in store.search("卫星")])
    assert list(store.search(FORGED)) == []
    assert list(store.generations(Query(actor="bert"))) == others


@each_kind
def test_exports_report_altered_payloads(
    store: Store, url: str, rich: Generation, payload_kind: str, tmp_path: Path
) -> None:
    from pyarrow import parquet

    alter(url, rich, payload_kind, CONTENTS[payload_kind])
    [listed] = store.generations(Query(ids=[rich.id]))
    for format in ("jsonl", "csv", "parquet"):
        store.export(tmp_path / format, format).run()
    lines = [json.loads(line) for line in (tmp_path / "jsonl").read_text().splitlines()]
    assert lines[0] == json.loads(json.dumps(listed.to_json() | {"feedback": [], "reviews": []}))
    altered = [] if payload_kind == "trace" else [payload_kind]
    assert [line["altered"] for line in lines] == [altered, []]
    table = parquet.read_table(tmp_path / "parquet").to_pylist()
    assert [row["altered"] for row in table] == [altered, []]
    text = (tmp_path / "csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [json.loads(row["altered"] or "[]") for row in rows] == [altered, []]
    for content in ((tmp_path / "jsonl").read_text(), text, repr(table)):
        assert FORGED not in content


def test_an_export_reports_altered_reviews(
    store: Store, url: str, rich: Generation, tmp_path: Path
) -> None:
    store.events.add_review(rich.id, "Ada", "approve", "the block was right")
    store.events.add_review(rich.id, "Ada", "approve", "it still is")
    first = "seq = (SELECT min(seq) FROM entry WHERE kind = 'review')"
    [row] = ask(url, f"SELECT canonical_bytes FROM entry WHERE {first}")
    forged = bytes(row.canonical_bytes).replace(b'"approve"', b'"overturn"')
    assert change(url, f"UPDATE entry SET canonical_bytes = :it WHERE {first}", {"it": forged})
    assert change(url, "UPDATE payload SET content = :it WHERE kind = 'reason'", {"it": b"FORGED"})
    job = store.export(tmp_path / "all", "jsonl", Query(ids=[rich.id]))
    job.run()
    record = json.loads((tmp_path / "all").read_text())
    found = [(item["reason"], item["altered"]) for item in record["reviews"]]
    assert found == [(None, ["entry", "reason"]), (None, ["reason"])]
    assert (job.altered, job.first_altered) == (1, rich.id)


def test_an_export_reports_altered_feedback(
    store: Store, url: str, rich: Generation, tmp_path: Path
) -> None:
    store.events.add_feedback(rich.id, "Ada", "up", "helpful")
    assert change(url, "UPDATE payload SET content = :it WHERE kind = 'comment'", {"it": b"FORGED"})
    job = store.export(tmp_path / "all", "csv", Query(ids=[rich.id]))
    job.run()
    text = (tmp_path / "all").read_text(encoding="utf-8")
    [row] = csv.DictReader(io.StringIO(text, newline=""))
    assert (row["rating"], row["comment"]) == ("up", "")
    [feedback] = json.loads(row["feedback"])
    assert (feedback["comment"], feedback["altered"]) == (None, ["comment"])
    assert (job.altered, job.first_altered) == (1, rich.id)


@each_kind
def test_an_altered_payload_is_not_disclosed_in_a_proof(
    store: Store, url: str, rich: Generation, payload_kind: str
) -> None:
    key = PrivateKey.generate(origin(store.log))
    note = store.sign(
        lambda head, _: sign_checkpoint(Checkpoint(key.name, head.size, head.root), key)
    )
    whole = store.prove(rich.id, note, list(CONTENTS))
    assert {payload.kind for payload in whole.disclosed} == set(CONTENTS)
    alter(url, rich, payload_kind, CONTENTS[payload_kind])
    with pytest.raises(VerificationError, match=f"its {payload_kind} was changed"):
        store.prove(rich.id, note, [payload_kind])
    others = [kind for kind in CONTENTS if kind != payload_kind]
    assert {payload.kind for payload in store.prove(rich.id, note, others).disclosed} == set(others)


@each_kind
def test_another_salt_is_reported_like_another_content(
    store: Store, url: str, rich: Generation, payload_kind: str
) -> None:
    assert change(
        url,
        "UPDATE payload SET salt = :salt WHERE kind = :kind",
        {"salt": b"s" * 32, "kind": payload_kind},
    )
    assert store.generation(rich.id) == without(rich, payload_kind)


def test_one_altered_output_of_two_leaves_the_other(
    store: Store, url: str, rich: Generation
) -> None:
    alter(url, rich, "output", b"FORGED", "AND position = 1")
    shown = store.generation(rich.id)
    assert shown.altered == ("output",)
    emptied = dataclasses.replace(rich.outputs[1], data=b"")
    assert shown.outputs == (rich.outputs[0], emptied)
    assert [output["sha256"] for output in shown.to_json()["outputs"]] == [None, None]


def test_two_swapped_payloads_are_both_altered(
    store: Store, url: str, start: Any, finish: Any
) -> None:
    started = start(line=1)
    store.record_started([started], policy_document="")
    store.record_outcomes([finish(started, outputs=(Text("first"), Text("second")))])
    for old, new in ((0, 9), (1, 0), (9, 1)):
        statement = "UPDATE payload SET position = :new WHERE kind = 'output' AND position = :old"
        assert change(url, statement, {"old": old, "new": new})
    shown = store.generation(started.id)
    assert (shown.altered, shown.text) == (("output",), "\n\n")


def test_erased_and_altered_payloads_are_told_apart(
    store: Store, url: str, rich: Generation
) -> None:
    alter(url, rich, "output", b"FORGED")
    assert change(url, "DELETE FROM payload WHERE kind = 'prompt'")
    shown = store.generation(rich.id)
    assert (shown.erased, shown.altered) == (("prompt",), ("output",))
    assert store.erasures.erase(Query(ids=[rich.id]), "keeper").erased == 1
    shown = store.generation(rich.id)
    assert set(shown.erased) >= {"detail", "fingerprint", "output", "prompt", "request"}
    assert shown.altered == ()


def test_erasing_an_altered_generation_counts_it(store: Store, url: str, rich: Generation) -> None:
    alter(url, rich, "prompt", b"FORGED")
    result = store.erasures.erase(Query(ids=[rich.id]), "keeper")
    assert (result.erased, result.altered) == (1, 1)
    assert store.verify(projections=True, payloads=True, search=True).problems == []


@only_sqlite
@pytest.mark.parametrize(
    "assignment", ["content = 'FORGED'", "content = CAST(content AS TEXT)", "salt = 7"]
)
def test_a_payload_of_another_type_is_altered(
    store: Store, url: str, rich: Generation, assignment: str
) -> None:
    assert change(url, f"UPDATE payload SET {assignment} WHERE kind = 'prompt'")
    shown = store.generation(rich.id)
    assert (shown.altered, shown.prompt) == (("prompt",), "")


# ---- texts of events ---------------------------------------------------------------------------


def test_altered_reasons_and_names_of_holds_and_erasures_are_not_shown(
    store: Store, url: str, rich: Generation
) -> None:
    hold, _ = store.holds.add(Query(ids=[rich.id]), "court", "case 7")
    store.erasures.erase(Query(actor="bert"), "keeper", reason="asked for")
    assert change(url, "UPDATE payload SET content = :it WHERE kind = 'reason'", {"it": b"FORGED"})
    assert [(held.id, held.actor, held.reason) for held in store.holds.in_force()] == [
        (hold, "court", "")
    ]
    assert {erasure.reason for erasure in store.erasures.records()} == {None}
    assert change(url, "UPDATE payload SET content = :it WHERE kind = 'actor'", {"it": b"FORGED"})
    assert [held.actor for held in store.holds.in_force()] == [""]
    assert {erasure.actor for erasure in store.erasures.records()} == {""}


def test_an_altered_name_of_a_model_is_not_shown(store: Store, url: str) -> None:
    store.events.add_model("anna", "added", MODEL, "tiny", "/models/tiny")
    [event] = store.events.with_key(ModelEntry, MODEL)
    assert event.to_json()["name"] == "tiny"
    forged = {"it": b'{"name":"FORGED","source":"FORGED"}'}
    assert change(url, "UPDATE payload SET content = :it WHERE kind = 'model'", forged)
    [event] = store.events.with_key(ModelEntry, MODEL)
    assert event.texts.altered == {"model"}
    assert event.to_json()["name"] is None
    assert FORGED not in repr(event.to_json())
