"""Replays are recorded like everything that happens, and samples are drawn by a word."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from muniment.errors import StoreError, UnknownNameError
from muniment.ledger import schema
from muniment.store import Store
from muniment.store.database.tables import entry, payload
from muniment.types import Difference, PluginRef, Replay
from support.databases import change

CORE = PluginRef("muniment", "0.1", "tree1-sha256:" + "2" * 64)


def recorded(store: Store, start: Any, finish: Any, count: int = 1) -> list[str]:
    started = [start(f"prompt {number}") for number in range(count)]
    store.record_started(started, policy_document="")
    store.record_outcomes([finish(generation) for generation in started])
    return [generation.id for generation in started]


def test_a_replay_is_an_entry_that_names_where_and_with_what_it_ran(
    store: Store, start: Any, finish: Any
) -> None:
    (id,) = recorded(store, start, finish)
    difference = Difference("处理器", "a", "b")
    found = Replay(id, "uncertified", "3 bytes", (difference,), {"threads": 4}, (CORE,))
    store.record_replay(found, "审计员")
    with store._database.reading() as connection:
        rows = {row.seq: row for row in connection.execute(select(entry))}
        body = schema.read(rows[max(rows)].canonical_bytes)
        content = connection.scalar(select(payload.c.content).where(payload.c.kind == "replay"))
    named = {kind: schema.read(rows[number].canonical_bytes) for kind, number in schema.named(body)}
    assert (body["kind"], body["result"]) == ("replay", "uncertified")
    assert named["started"]["generation"] == id
    assert named["environment"]["facts"] == {"threads": 4}
    assert named["plugin"]["plugin"]["distribution"] == "muniment"
    assert "处理器" in content.decode()
    assert "处理器".encode() not in b"".join(row.canonical_bytes for row in rows.values())
    assert store.verify(projections=True, payloads=True).problems == []


@pytest.mark.parametrize("content", [b"[1]", b"\xff", b'{"differences": 5}', b"[" * 100_000])
def test_texts_of_acts_that_were_altered_are_one_sentence(
    store: Store, url: str, start: Any, finish: Any, content: bytes
) -> None:
    (id,) = recorded(store, start, finish)
    store.record_replay(Replay(id, "exact", ""), "anna")
    store.give_feedback(id, "anna", rating="up", comment="it is good")
    store.give_review(id, "anna", "approve", reason="it is so")
    assert change(url, "UPDATE payload SET content = :it WHERE kind = 'replay'", {"it": content})
    with pytest.raises(StoreError, match="run `muniment audit verify"):
        store.replays(id)
    kinds = "kind IN ('comment', 'reason')"
    assert change(url, f"UPDATE payload SET content = :it WHERE {kinds}", {"it": b"\xff"})
    with pytest.raises(StoreError, match="run `muniment audit verify"):
        store.acts(id)


def test_a_replay_of_what_is_not_recorded_is_refused(store: Store) -> None:
    with pytest.raises(UnknownNameError, match="no generation named"):
        store.record_replay(Replay("01JQ" + "0" * 22, "exact", ""), "anna")


def test_a_word_draws_the_same_sample_and_another_word_another(
    store: Store, start: Any, finish: Any
) -> None:
    ids = recorded(store, start, finish, 40)
    store.record_started([start()], policy_document="")  # which has not completed
    sample = store.sample(10, "一")
    assert sample == store.sample(10, "一")
    assert sample[:5] == store.sample(5, "一")
    assert len(set(sample)) == 10
    assert set(sample) != set(store.sample(10, "二"))
    assert set(store.sample(99, "一")) == set(ids)
