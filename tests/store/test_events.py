"""Events are entries with an actor: recorded once, returned as recorded, and guarded by verify."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import pytest

from muniment.errors import PromptError
from muniment.ledger.events import FeedbackEntry, InstallationEntry, ModelEntry, ReviewEntry
from muniment.store import Query, Store
from muniment.store.queries import loader
from muniment.types.plugins import PluginRef
from support.databases import change

PLUGIN = PluginRef("muniment-words", "0.1", "tree1-sha256:" + "1" * 64)
MODEL = "tree1-sha256:" + "cd" * 32
NOON = datetime(2026, 3, 1, 12, 0, 0, 123_000, UTC)


@pytest.fixture
def id(store: Store, start: Any, finish: Any) -> str:
    """A completed generation."""
    started = start()
    store.record_started([started], policy_document="")
    store.record_outcomes([finish(started)])
    return str(started.id)


def test_an_event_is_returned_as_it_was_recorded(store: Store, id: str) -> None:
    given = store.events.add_feedback(id, "安娜", "5", "说得好")
    assert (given.actor, given.entry.rating, given.text("comment")) == ("安娜", "5", "说得好")
    assert given.to_json() == {
        "at": given.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "actor": "安娜",
        "rating": "5",
        "comment": "说得好",
        "action": None,
        "item": None,
        "altered": (),
    }
    assert [event.to_json() for event in store.events.of(id, FeedbackEntry)] == [given.to_json()]
    review = store.events.add_review(id, "bert", "approve")
    assert (review.entry.decision, review.text("reason")) == ("approve", None)
    assert store.events.of(id, ReviewEntry)[0].to_json() == review.to_json()


@pytest.mark.dialect
def test_feedback_is_read_in_pages_by_generation(
    store: Store, start: Any, finish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "PAGE", 2)
    started = [start() for _ in range(3)]
    store.record_started(started, policy_document="")
    store.record_outcomes([finish(item) for item in started])
    ids = [item.id for item in started]
    for number, place in enumerate((2, 0, 1, 0, 2, 0, 2)):
        store.events.add_feedback(ids[place], f"a{number}", "up")
        store.events.add_review(ids[place], "bert", "approve")
    rated = [(item.actor, made.id) for item, made in store.events.feedback(Query())]
    assert rated == [
        *((f"a{number}", ids[0]) for number in (1, 3, 5)),
        ("a2", ids[1]),
        *((f"a{number}", ids[2]) for number in (0, 4, 6)),
    ]
    chosen = store.events.feedback(Query(ids=[ids[2]]))
    assert [item.actor for item, _ in chosen] == ["a0", "a4", "a6"]


ROUNDS, REVIEWERS = 10, 4


def test_reviewers_at_the_same_time_each_get_back_their_own_event(
    store: Store, url: str, id: str
) -> None:
    barrier = Barrier(REVIEWERS, timeout=60)

    def review(number: int) -> list[tuple[str, str | None]]:
        """Record reviews and feedback, with a connection of its own, and return what came back."""
        results = []
        with Store.open(url, create=False) as own:
            for turn in range(ROUNDS):
                barrier.wait()
                reviewed = own.events.add_review(id, f"r{number}", "approve", f"r{number} {turn}")
                results.append((reviewed.actor, reviewed.text("reason")))
                rated = own.events.add_feedback(id, f"f{number}", "up", f"f{number} {turn}")
                results.append((rated.actor, rated.text("comment")))
        return results

    with ThreadPoolExecutor(REVIEWERS) as pool:
        results = list(pool.map(review, range(REVIEWERS)))
    for number, own in enumerate(results):
        expected = [(f"{kind}{number}", turn) for turn in range(ROUNDS) for kind in "rf"]
        assert own == [(actor, f"{actor} {turn}") for actor, turn in expected]
    assert len(store.events.of(id, ReviewEntry)) == ROUNDS * REVIEWERS
    assert store.verify(projections=True, payloads=True).problems == []


def test_the_same_change_of_a_plugin_is_recorded_once(store: Store) -> None:
    newer = PluginRef("muniment-words", "0.2", PLUGIN.digest)
    other = PluginRef("muniment-strict", "1", PLUGIN.digest)
    for act, plugin in (
        *(("installed", PLUGIN), ("installed", PLUGIN)),
        *(("installed", other), ("installed", PLUGIN)),
        *(("upgraded", newer), ("upgraded", newer)),
    ):
        store.events.add_installation("anna", act, plugin, NOON, "ab" * 32)
    changes = store.events.with_key(InstallationEntry, "muniment-words")
    assert [(event.entry.act, event.entry.plugin.version) for event in changes] == [
        ("installed", "0.1"),
        ("upgraded", "0.2"),
    ]
    assert {(event.actor, event.at, event.entry.signer) for event in changes} == {
        ("anna", NOON, "ab" * 32)
    }
    assert len(store.events.with_key(InstallationEntry, "muniment-strict")) == 1
    assert store.verify(projections=True, payloads=True).ok


def test_models_are_found_by_their_digest(store: Store) -> None:
    store.events.add_model("anna", "added", MODEL, "tiny", "/models/tiny")
    store.events.add_model("bert", "removed", MODEL, "tiny", "")
    store.events.add_model("bert", "removed", "no digest", "odd", "")
    events = store.events.with_key(ModelEntry, MODEL)
    assert [(event.actor, event.entry.act) for event in events] == [
        ("anna", "added"),
        ("bert", "removed"),
    ]
    assert events[0].to_json()["source"] == "/models/tiny"
    assert store.events.with_key(ModelEntry, "no digest") == []
    assert store.verify(projections=True, payloads=True).ok


# ---- refused texts -----------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a\0b", "\0", "\ud800"], ids=ascii)
def test_texts_of_people_that_cannot_be_recorded_are_refused(
    store: Store, id: str, text: str
) -> None:
    hold, _ = store.holds.add(Query(ids=[id]), "court", "case 7")
    events, before = store.events, store.status().entries
    for attempt in (
        lambda: events.add_feedback(id, "court", "up", text),
        lambda: events.add_review(id, "court", "approve", text),
        lambda: store.holds.add(Query(), "court", text),
        lambda: store.holds.release(hold, "court", text),
        lambda: events.add_feedback(id, text, "up"),
        lambda: events.add_review(id, text, "approve"),
        lambda: store.holds.add(Query(), text, "case 8"),
        lambda: store.holds.release(hold, text),
        lambda: store.erasures.erase(Query(ids=[id]), text),
    ):
        with pytest.raises(PromptError, match=r"NUL character|not valid UTF-8"):
            attempt()
    assert store.status().entries == before
    assert [held.id for held in store.holds.in_force()] == [hold]
    store.holds.release(hold, "court")
    with pytest.raises(PromptError, match=r"NUL character|not valid UTF-8"):
        store.erasures.erase(Query(ids=[id]), "court", reason=text)
    assert store.generation(id).erased == ()
    assert store.verify(projections=True, payloads=True).ok


# ---- rows that someone changed -----------------------------------------------------------------


def problems(store: Store) -> list[tuple[str, str]]:
    found = store.verify(projections=True, payloads=True).problems
    return [(problem.kind, problem.where) for problem in found]


def test_a_deleted_event_is_found(store: Store, url: str, id: str) -> None:
    review = store.events.add_review(id, "bert", "overturn", "harmless")
    assert change(url, "DELETE FROM event WHERE kind = 'review'") == 1
    assert store.events.of(id, ReviewEntry) == []
    assert problems(store) == [("projection", f"event of entry {review.number}")]
    store.rebuild()
    assert len(store.events.of(id, ReviewEntry)) == 1
    assert problems(store) == []


def test_an_event_moved_to_another_generation_is_found(
    store: Store, url: str, id: str, start: Any
) -> None:
    feedback = store.events.add_feedback(id, "bert", "down")
    store.record_started([other := start()], policy_document="")
    statement = "UPDATE event SET subject = (SELECT seq FROM generation WHERE id = :id)"
    assert change(url, statement, {"id": other.id}) == 1
    assert problems(store) == [("projection", f"event.subject of entry {feedback.number}")]


@pytest.mark.parametrize("seq", [123_456, 5], ids=["of no entry", "of an entry that is no event"])
def test_a_forged_release_of_a_hold_is_found(store: Store, url: str, id: str, seq: int) -> None:
    hold, _ = store.holds.add(Query(ids=[id]), "court", "case 7")
    statement = "INSERT INTO event (seq, position, kind, key) VALUES (:seq, 0, 'release', :hold)"
    assert change(url, statement, {"seq": seq, "hold": hold}) == 1
    [(kind, where), *_] = problems(store)
    assert kind == "projection"
    assert where.partition(" ")[0] == "event"


def test_a_generation_taken_out_of_a_hold_is_found(store: Store, url: str, id: str) -> None:
    store.holds.add(Query(ids=[id]), "court", "case 7")
    assert change(url, "DELETE FROM event WHERE kind = 'hold'") == 1
    [(kind, where)] = problems(store)
    assert (kind, where.partition(" ")[0]) == ("projection", "event")
