"""Replays, feedback and reviews are events with texts; samples are chosen by a key."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from muniment.errors import StoreError, UnknownNameError
from muniment.ledger import schema
from muniment.ledger.events import FeedbackEntry, ReplayEntry, ReviewEntry
from muniment.store import Store
from muniment.store.database.tables import entry, payload
from muniment.store.recording.events import ReplayText
from muniment.types.plugins import PluginRef
from muniment.types.replays import Difference, Replay
from support.databases import change

CORE = PluginRef("muniment", "0.1", "tree1-sha256:" + "2" * 64)


def recorded(store: Store, start: Any, finish: Any, count: int = 1) -> list[str]:
    started = [start(f"prompt {number}") for number in range(count)]
    store.record_started(started, policy_document="")
    store.record_outcomes([finish(generation) for generation in started])
    return [generation.id for generation in started]


def test_a_replay_is_an_entry_that_names_its_environment_and_plugins(
    store: Store, start: Any, finish: Any
) -> None:
    (id,) = recorded(store, start, finish)
    difference = Difference("处理器", "a", "b")
    replay = Replay(id, "uncertified", "3 bytes", (difference,), {"threads": 4}, (CORE,))
    store.events.add_replay(replay, "审计员")
    with store._database.reading() as connection:
        rows = {row.seq: row for row in connection.execute(select(entry))}
        content = connection.scalar(select(payload.c.content).where(payload.c.kind == "replay"))
    entries = {number: schema.decode(row.canonical_bytes) for number, row in rows.items()}
    body = entries[max(entries)]
    assert isinstance(body, ReplayEntry)
    assert (body.kind, body.result) == ("replay", "uncertified")
    named: dict[str, Any] = {kind: entries[number] for kind, number in schema.named(body)}
    assert named["started"].generation == id
    assert named["environment"].facts == {"threads": 4}
    assert named["plugin"].plugin.distribution == "muniment"
    assert "处理器" in content.decode()
    assert "处理器".encode() not in b"".join(row.canonical_bytes for row in rows.values())
    [read] = store.events.of(id, ReplayEntry)
    assert (read.actor, read.entry, read.replay.differences) == ("审计员", body, (difference,))
    assert read.to_json()["detail"] == "3 bytes"
    assert store.verify(projections=True, payloads=True).problems == []


@pytest.fixture
def id(store: Store, start: Any, finish: Any) -> str:
    """A generation with a replay, feedback and a review."""
    (id,) = recorded(store, start, finish)
    store.events.add_replay(Replay(id, "exact", "the same"), "anna")
    store.events.add_feedback(id, "anna", rating="up", comment="it is good")
    store.events.add_review(id, "anna", "approve", reason="it is so")
    return id


EVENTS = {"replay": ReplayEntry, "comment": FeedbackEntry, "reason": ReviewEntry}


@pytest.mark.parametrize(
    "content",
    [b'{"detail":"forged"}', b"[1]", b"\xff", b'{"differences": 5}', b"[" * 100_000],
    ids=lambda content: repr(content[:20]),
)
def test_altered_texts_of_events_are_reported_and_not_shown(
    store: Store, url: str, id: str, content: bytes
) -> None:
    for kind, event_class in EVENTS.items():
        [before] = store.events.of(id, event_class)
        assert before.texts.altered == set()
        values = {"content": content, "kind": kind}
        assert change(url, "UPDATE payload SET content = :content WHERE kind = :kind", values)
        [event] = store.events.of(id, event_class)
        assert (event.texts.altered, event.texts.erased) == ({kind}, set())
        assert event.text(kind) is None
        assert event.replay == ReplayText()
        assert event.entry == before.entry
        assert "forged" not in repr(event.to_json())


def test_an_altered_salt_of_an_event_is_reported(store: Store, url: str, id: str) -> None:
    salt = {"salt": bytes(32)}
    assert change(url, "UPDATE payload SET salt = :salt WHERE kind = 'comment'", salt)
    [event] = store.events.of(id, FeedbackEntry)
    assert (event.texts.altered, event.text("comment")) == ({"comment"}, None)


@pytest.mark.parametrize("data", [b"{}", b"\xff", b"[" * 100_000], ids=lambda data: repr(data[:9]))
def test_an_event_whose_entry_was_altered_is_one_sentence(
    store: Store, url: str, id: str, data: bytes
) -> None:
    for event_class in EVENTS.values():
        kind = schema.kind_of(event_class)
        values = {"data": data, "kind": kind}
        assert change(url, "UPDATE entry SET canonical_bytes = :data WHERE kind = :kind", values)
        with pytest.raises(StoreError, match="run `muniment audit verify"):
            store.events.of(id, event_class)


def test_an_event_row_that_names_another_entry_is_one_sentence(
    store: Store, url: str, id: str
) -> None:
    """The row of a replay cannot present the entry of another kind as one."""
    assert change(
        url,
        "UPDATE event SET seq = (SELECT e.seq FROM entry e WHERE e.kind = 'outcome') "
        "WHERE kind = 'review'",
    )
    with pytest.raises(StoreError, match="run `muniment audit verify"):
        store.events.of(id, ReviewEntry)


def test_a_replay_of_an_unknown_generation_is_refused(store: Store) -> None:
    with pytest.raises(UnknownNameError, match="no generation named"):
        store.events.add_replay(Replay("01JQ" + "0" * 22, "exact", ""), "anna")


def test_a_key_chooses_the_same_sample_and_another_key_another(
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
