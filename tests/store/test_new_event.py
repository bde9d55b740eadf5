"""A new kind of event needs its class, and no other change in the store."""

from __future__ import annotations

from typing import Annotated

import pytest

from muniment.ledger import schema
from muniment.ledger.events import GenerationEvent
from muniment.ledger.fields import Commitment, PayloadOf
from muniment.ledger.payloads import Payloads
from muniment.store import Query, Store
from muniment.store.recording.events import add_text
from muniment.types.generations import Generation

pytestmark = pytest.mark.dialect


class AppealEntry(GenerationEvent, kind="appeal", version=1):
    """A user's appeal against a blocked generation."""

    reason: Annotated[Commitment | None, PayloadOf("reason")]


@pytest.fixture
def appealed(
    store: Store, rich: tuple[Generation, Generation], monkeypatch: pytest.MonkeyPatch
) -> str:
    """The id of a generation with an appeal, an event of a kind that the core does not have."""
    monkeypatch.setitem(schema.ENTRIES, ("appeal", 1), AppealEntry)  # type: ignore[arg-type]
    started, ended = rich
    store.record_started([started], policy_document="")
    store.record_outcomes([ended])
    payloads = Payloads()
    entry = AppealEntry(
        **store.events.by("anna"),
        generation=store.events.subject(started.id),
        reason=add_text(payloads, "reason", "这是误判"),
    )
    store.events.add(entry, payloads)
    return started.id


def test_a_new_kind_of_event_is_read_back(store: Store, appealed: str) -> None:
    (event,) = store.events.of(appealed, AppealEntry)
    assert (event.actor, event.text("reason")) == ("anna", "这是误判")
    assert event.to_json() == {
        "at": event.to_json()["at"],
        "actor": "anna",
        "reason": "这是误判",
        "altered": (),
    }


def test_a_new_kind_of_event_is_verified_and_rebuilt(store: Store, appealed: str) -> None:
    assert store.verify(projections=True, payloads=True, search=True).problems == []
    rows = store.rebuild()
    assert rows["event"] == 1
    assert store.verify(projections=True, payloads=True, search=True).problems == []
    assert len(store.events.of(appealed, AppealEntry)) == 1


def test_erasing_a_generation_keeps_the_new_event(store: Store, appealed: str) -> None:
    store.erasures.erase(Query(ids=[appealed]), "anna")
    (event,) = store.events.of(appealed, AppealEntry)
    assert event.text("reason") is None
    assert store.verify(projections=True, payloads=True).problems == []
