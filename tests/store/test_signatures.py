"""Signed checkpoints find out what the store alone could not: what its owner rewrote."""

from __future__ import annotations

import dataclasses
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, update

from muniment.errors import UsageError, VerificationError
from muniment.ledger import checkpoints, proofs
from muniment.ledger.checkpoints import Checkpoint, Note
from muniment.ledger.entries import ActorEntry
from muniment.ledger.keys import PrivateKey, PublicKey
from muniment.ledger.tree import Frontier, frontier
from muniment.signing import KeyStore
from muniment.store import Store
from muniment.store.database.nodes import node_reader
from muniment.store.database.tables import checkpoint, entry, ledger_head, node, payload
from muniment.store.recording import tree_heads
from muniment.store.recording.ledger import append, prepare
from muniment.store.verification.signatures import TrustedCheckpoint
from support.databases import ask, change, only_sqlite

Record = Callable[..., list[str]]


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "home")


@pytest.fixture
def key(keys: KeyStore, store: Store) -> PublicKey:
    return keys.generate(store.log)


@pytest.fixture
def record(store: Store, start: Any, finish: Any) -> Record:
    """Record generations and return their ids."""

    def run(count: int = 1, prompt: str = "a prompt", to: Store = store) -> list[str]:
        started = [start(prompt) for _ in range(count)]
        to.record_started(started, policy_document="")
        to.record_outcomes([finish(generation) for generation in started])
        return [generation.id for generation in started]

    return run


def sign(keys: KeyStore, store: Store) -> Note:
    note = keys.sign(store)
    assert note is not None
    return note


def size(store: Store) -> int:
    return store.status().entries


def cut(store: Store, size: int) -> None:
    """Take away the newest entries as a forger would, who mends nodes and head."""
    with store._database.writing() as connection:
        edge = frontier(size, node_reader(connection))
        connection.execute(delete(entry).where(entry.c.seq >= size))
        connection.execute(delete(payload).where(payload.c.entry >= size))
        for level in range(1, 4):
            beyond = node.c.index >= size >> 8 * level
            connection.execute(delete(node).where(node.c.level == level, beyond))
        connection.execute(update(ledger_head).values(size=size, frontier=bytes(edge)))


def forget(store: Store) -> None:
    with store._database.writing() as connection:
        connection.execute(delete(checkpoint))


def problems(store: Store, **options: Any) -> list[tuple[str, str]]:
    return [(found.kind, found.message) for found in store.verify(**options).problems]


def published(note: Note) -> TrustedCheckpoint:
    return TrustedCheckpoint("the published checkpoint", note)


def test_what_is_signed_verifies_and_the_rest_is_counted(
    store: Store, keys: KeyStore, key: PublicKey, record: Record
) -> None:
    record(3)
    note = sign(keys, store)
    found = store.verify(key=key, trusted=[published(note)])
    assert (found.ok, found.unsigned_tail, found.not_read) == (True, 0, 0)
    assert found.checked == ["schema", "tree", "signatures", "entries"]
    assert note.checkpoint == Checkpoint(key.name, size(store), bytes.fromhex(found.root))
    record(2)
    assert store.verify(key=key).unsigned_tail == 4
    assert store.verify().unsigned_tail == size(store)


def test_signing_again_what_is_signed_changes_nothing(
    store: Store, keys: KeyStore, key: PublicKey, record: Record
) -> None:
    record()
    assert sign(keys, store) == sign(keys, store)
    assert len(store.signed()) == 1


def test_a_tail_cut_off_after_a_checkpoint_is_found(
    store: Store, keys: KeyStore, key: PublicKey, record: Record
) -> None:
    record(200)
    note = sign(keys, store)
    cut(store, size(store) - 1)
    assert store.verify(projections=False).problems  # by the checkpoint that the store keeps
    forget(store)
    assert store.verify().ok  # nothing inside tells any more
    ((kind, message),) = problems(store, trusted=[published(note)])
    assert kind == "checkpoint"
    assert f"it has {note.checkpoint.size} entries, but the store has {size(store)}" in message
    ((kind, message),) = problems(store, key=key)
    assert (kind, message) == ("signature", f"no checkpoint is signed by {key}")
    with pytest.raises(VerificationError, match="truncated or rolled back"):
        keys.sign(store)


@only_sqlite
def test_a_store_rolled_back_behind_a_checkpoint_is_found(
    store: Store, keys: KeyStore, key: PublicKey, record: Record, tmp_path: Path
) -> None:
    record(2)
    sign(keys, store)
    assert store.path is not None
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute(f"VACUUM INTO '{tmp_path}/before.db'")
    record(2)
    note = sign(keys, store)
    store.close()
    for file in store.path.parent.iterdir():
        file.unlink()
    shutil.copy(tmp_path / "before.db", store.path)
    with Store.open(store.url, create=False) as old:
        assert old.verify(key=key).ok  # it was good then
        last = keys.expected_checkpoint(old)
        assert last is not None
        assert last.parsed == note
        ((kind, _),) = problems(
            old, key=key, trusted=[TrustedCheckpoint("the last signed", last.parsed)]
        )
        assert kind == "checkpoint"
        with pytest.raises(VerificationError, match="rolled back"):
            keys.sign(old)


def test_a_forked_history_is_found(
    store: Store, keys: KeyStore, key: PublicKey, record: Record
) -> None:
    record(2)
    fork = size(store)
    record(2)
    note = sign(keys, store)
    cut(store, fork)
    forget(store)
    with store._database.writing() as connection:
        append(connection, [prepare(ActorEntry(name=f"{n:064x}")) for n in range(5)])
    assert store.verify().ok
    ((kind, message),) = problems(store, trusted=[published(note)])
    assert kind == "checkpoint"
    assert f"the first {note.checkpoint.size} entries differ" in message
    with pytest.raises(VerificationError, match="differ from the signed ones"):
        keys.sign(store)


def test_a_replaced_key_is_found_and_the_new_one_named(
    store: Store, keys: KeyStore, key: PublicKey, record: Record
) -> None:
    record()
    note = sign(keys, store)
    forger = PrivateKey.generate(key.name)
    forget(store)
    store.sign(lambda head, read: checkpoints.sign_checkpoint(note.checkpoint, forger))
    ((kind, message),) = problems(store, key=key)
    assert kind == "signature"
    assert f"only by {key.name}+{forger.public.id.hex()}" in message
    (kept,) = store.signed()
    found = problems(store, key=key, trusted=[published(kept)])
    assert ("signature", f"it is signed by {tree_heads.key_of(kept)}, not by {key}") in found


def test_what_an_earlier_key_signed_may_stay(
    store: Store, keys: KeyStore, key: PublicKey, record: Record
) -> None:
    record()
    sign(keys, store)
    keys.path(store.log).rename(keys.folder / "old")
    new = keys.generate(store.log)
    record()
    sign(keys, store)
    assert len(store.signed()) == 2
    assert store.verify(key=new).unsigned_tail == 0
    found = store.verify(key=key)
    assert found.ok
    assert found.unsigned_tail == 2


def test_a_wrong_signature_under_the_right_name_is_found(
    store: Store, keys: KeyStore, key: PublicKey, record: Record
) -> None:
    record()
    note = sign(keys, store)
    wrong = dataclasses.replace(note.signatures[0], signature=bytes(64))
    forged = dataclasses.replace(note, signatures=(wrong,))
    with store._database.writing() as connection:
        connection.execute(update(checkpoint).values(note=str(forged)))
    assert problems(store, key=key) == [
        ("signature", f"the checkpoint has a wrong signature of {key.name}")
    ]


def test_a_checkpoint_of_another_log_is_not_continued(
    store: Store, keys: KeyStore, key: PublicKey, record: Record
) -> None:
    record()
    head = dataclasses.replace(sign(keys, store).checkpoint, origin="muniment/" + "0" * 32)
    other = checkpoints.sign_checkpoint(head, PrivateKey.generate(head.origin))
    ((kind, message),) = problems(store, trusted=[published(other)])
    assert kind == "checkpoint"
    assert head.origin in message
    assert key.name in message


# ---- since a checkpoint -----------------------------------------------------------------------


def test_since_reads_only_what_is_new(
    store: Store, keys: KeyStore, key: PublicKey, record: Record
) -> None:
    record(150)
    note = sign(keys, store)
    record(150)
    told: list[tuple[int, int]] = []
    found = store.verify(
        key=key, since=published(note), progress=lambda _, done, total: told.append((done, total))
    )
    assert found.ok
    assert found.not_read == note.checkpoint.size
    assert found.root == store.verify().root
    assert found.unsigned_tail == 300
    assert told[-1] == (found.entries, found.entries)


@pytest.mark.parametrize(("seq", "since", "whole"), [(20, True, False), (460, False, False)])
def test_since_finds_what_is_new_and_altered_but_reads_nothing_older(
    seq: int, since: bool, whole: bool, store: Store, keys: KeyStore, key: PublicKey, record: Record
) -> None:
    record(200)
    note = sign(keys, store)
    record(50)
    with store._database.writing() as connection:
        changed = update(entry).where(entry.c.seq == seq).values(canonical_bytes=b"{}")
        connection.execute(changed)
    assert store.verify(since=published(note)).ok is since
    assert store.verify().ok is whole


def test_since_finds_an_altered_node_and_head(
    store: Store, keys: KeyStore, key: PublicKey, record: Record
) -> None:
    record(100)
    note = sign(keys, store)
    record(200)
    with store._database.writing() as connection:
        connection.execute(update(node).where(node.c.index == 1).values(hash=bytes(32)))
    assert [kind for kind, _ in problems(store, since=published(note))] == ["tree"]
    with store._database.writing() as connection:
        connection.execute(insert(node).values(level=1, index=9, hash=bytes(32)))
        connection.execute(update(ledger_head).values(size=1, frontier=bytes(32)))
    kinds = [kind for kind, _ in problems(store, since=published(note))]
    assert kinds == ["tree", "tree", "head", "head"]


def test_since_reads_everything_again_when_the_record_does_not_continue_it(
    store: Store, keys: KeyStore, key: PublicKey, record: Record
) -> None:
    record(3)
    note = sign(keys, store)
    with store._database.writing() as connection:
        connection.execute(update(entry).where(entry.c.seq == 3).values(leaf_hash=bytes(32)))
    found = store.verify(since=published(note))
    assert found.not_read == 0
    assert [(p.kind, p.where) for p in found.problems] == [("tree", "entry 3")]


def test_since_does_not_go_with_comparing_everything(
    store: Store, keys: KeyStore, key: PublicKey
) -> None:
    note = sign(keys, store)
    with pytest.raises(UsageError, match="remove --since"):
        store.verify(payloads=True, since=published(note))


# ---- proofs out of a store --------------------------------------------------------------------


def test_each_of_many_generations_can_be_proven(
    store: Store, keys: KeyStore, key: PublicKey, record: Record
) -> None:
    ids = record(300)
    note = sign(keys, store)
    for id in ids[::37]:
        proof = store.prove(id, note, ("prompt", "output"))
        head, entries = proofs.parse_proof(proof.write()).verify(key)
        assert head == note.checkpoint
        assert {item.kind for item in entries.values()} >= {"started", "outcome", "plugin"}
        assert [payload.content for payload in proof.disclosed] == [b"a prompt", b"an output"]


def test_a_proof_made_before_still_holds_after_its_payloads_were_erased(
    store: Store, keys: KeyStore, key: PublicKey, record: Record
) -> None:
    (id,) = record()
    note = sign(keys, store)
    before = store.prove(id, note).write()
    with store._database.writing() as connection:
        connection.execute(delete(payload).where(payload.c.kind == "prompt"))
    assert store.prove(id, note).write() == before
    assert proofs.parse_proof(before).verify(key)
    with pytest.raises(UsageError, match="its prompt was erased"):
        store.prove(id, note, ("prompt",))


def test_nothing_is_proven_from_an_altered_store(
    store: Store, keys: KeyStore, key: PublicKey, record: Record
) -> None:
    (id,) = record()
    note = sign(keys, store)
    with store._database.writing() as connection:
        (number,) = {row.seq for row in connection.execute(entry.select()) if row.kind == "started"}
        data = update(entry).where(entry.c.seq == number)
        connection.execute(data.values(leaf_hash=bytes(32)))
    with pytest.raises(VerificationError, match="is not in the ledger that the checkpoint signs"):
        store.prove(id, note)


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE generation SET outcome = :outcome WHERE id = :id", "is not the outcome of entry"),
        ("UPDATE generation SET seq = :seq WHERE id = :id", "does not start it"),
        ("DELETE FROM entry WHERE seq = 1", "cannot be proven"),
        ("UPDATE entry SET canonical_bytes = :bytes WHERE seq = 1", "cannot be read"),
        ("UPDATE entry SET canonical_bytes = :genesis WHERE seq = 1", "is not in the ledger"),
        ("DELETE FROM node", "cannot be proven"),
    ],
)
def test_a_proof_is_verified_before_it_is_returned(
    statement: str, why: str, store: Store, keys: KeyStore, key: PublicKey, record: Record, url: str
) -> None:
    id, *_, other = record(300)
    note = sign(keys, store)
    (victim,) = ask(url, "SELECT seq, outcome FROM generation WHERE id = :id", {"id": other})
    (genesis,) = ask(url, "SELECT canonical_bytes FROM entry WHERE seq = 0")
    values = {"id": id, "seq": victim.seq, "outcome": victim.outcome, "bytes": b"{}"}
    values["genesis"] = genesis.canonical_bytes
    used = {name: value for name, value in values.items() if f":{name}" in statement}
    if "SET seq" in statement:  # the numbers are unique
        change(url, "DELETE FROM generation WHERE id = :id", {"id": other})
    assert change(url, statement, used)
    with pytest.raises(VerificationError, match=why):
        store.prove(id, note, ("prompt", "output"))


def test_the_tree_that_the_store_keeps_is_that_of_the_definition(
    store: Store, record: Record
) -> None:
    record(300)
    with store._database.reading() as connection:
        leaves = connection.scalars(entry.select().with_only_columns(entry.c.leaf_hash)).all()
        edge = Frontier()
        for count, leaf in enumerate(leaves, 1):
            edge.extend([leaf])
            if count % 97 == 0:
                assert tree_heads.root(connection, count) == edge.root()
        assert tree_heads.head(connection).root == edge.root()
        assert tree_heads.root(connection, len(leaves) + 1) is None
