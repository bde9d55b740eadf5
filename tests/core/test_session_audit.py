"""The audit through a session, which adds the actor, the key and the last signed checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import muniment
from muniment.errors import MunimentError, VerificationError
from muniment.ledger.proofs import parse_proof
from muniment.signing import KeyStore
from muniment.store import plan_restore, restore
from support.workspace import Workspace


@pytest.fixture
def audited(workspace: Workspace) -> Workspace:
    """A workspace with two generations."""
    workspace.plugin_folder.generator("echo", "for r in requests: yield r.reply(Text(r.prompt))")
    workspace.session.generate("最近我国成功发射了新的卫星", generator="echo", seed=1)
    workspace.session.generate("hello there", generator="echo", seed=2)
    return workspace


def test_search_stats_and_diff_read_the_record(audited: Workspace) -> None:
    session = audited.session
    assert [hit.generation.seed for hit in session.search("卫星")] == [1]
    assert session.stats().total == 2
    assert session.stats(muniment.Query(seed=2)).total == 1
    first, second = (item.id for item in session.generations())
    assert {text.name for text in session.diff(first, second).texts} == {"prompt", "output"}
    assert not session.diff(first, first)


def test_export_writes_every_matching_generation(audited: Workspace, tmp_path: Path) -> None:
    target = tmp_path / "导出.jsonl"
    assert audited.session.export(target) == 2
    lines = [json.loads(line) for line in target.read_bytes().splitlines()]
    assert [line["seed"] for line in lines] == ["2", "1"]
    assert audited.session.export(target, query=muniment.Query(seed=1)) == 1


def test_verify_checks_signatures_with_the_key_of_the_home(audited: Workspace) -> None:
    session = audited.session
    assert "signatures" not in session.verify().checked
    KeyStore(session.home).generate(session.store.log)
    session.prove("last")
    verification = session.verify(projections=True, payloads=True, search=True)
    assert verification.ok
    assert {"signatures", "projections", "payloads", "search"} <= set(verification.checked)
    assert verification.unsigned_tail == 0


def test_prove_gives_the_file_that_the_verifier_checks(audited: Workspace) -> None:
    session = audited.session
    with pytest.raises(MunimentError, match="keys generate"):
        session.prove("last")
    key = KeyStore(session.home).generate(session.store.log)
    proof = session.prove("last", ["prompt"])
    _, entries = parse_proof(proof.write()).verify(key)
    assert {entry.kind for entry in entries.values()} >= {"started", "outcome"}
    assert [payload.content for payload in proof.disclosed] == [b"hello there"]


def test_verify_finds_a_record_that_was_rolled_back(audited: Workspace, tmp_path: Path) -> None:
    session = audited.session
    KeyStore(session.home).generate(session.store.log)
    backup = session.store.backup(tmp_path / "copy")
    session.generate("later", generator="echo")
    session.prove("last")
    session.close()
    url = session.store_url
    restore(url, plan_restore(url, backup.file))
    verification = session.verify()
    assert not verification.ok
    with pytest.raises(VerificationError):
        session.prove("last")
    with pytest.raises(VerificationError):  # what was recorded since cannot be signed
        session.close()
