"""Statistics, lineage and what follows, on every database."""

from __future__ import annotations

import threading
from datetime import date, timedelta
from typing import Any

import pytest

from muniment.ids import new_id
from muniment.store import Query, Store
from muniment.store.queries import finder
from muniment.types import Model, Usage


@pytest.fixture
def filled(store: Store, start: Any, finish: Any) -> Store:
    """Ten that were completed in 1 to 10 seconds, the last of them a day later, and one at work."""
    started = [
        start(
            str(n),
            actor="bert" if n == 1 else "anna",
            tags=("odd",) * (n % 2),
            model=Model("tiny", "file-sha256:" + "a" * 64, "") if n < 4 else None,
            started_at=start().started_at + timedelta(days=n == 10),
        )
        for n in range(1, 11)
    ]
    store.record_started([*started, start("open")], policy_document="")
    store.record_outcomes(
        [
            finish(
                g,
                finished_at=g.started_at + timedelta(seconds=n),
                usage=None if n == 10 else Usage(n, 2 * n),
            )
            for n, g in enumerate(started, 1)
        ]
    )
    return store


def test_everything_is_counted(filled: Store) -> None:
    found = filled.stats()
    assert found.total == 11
    assert found.statuses == {"completed": 10, "started": 1}
    assert found.decisions == {"allow": 10, "": 1}
    assert found.generators == {"words": 11}
    assert found.models == {"": 8, "tiny": 3}
    assert found.actors == {"anna": 10, "bert": 1}
    assert found.days == {date(2026, 3, 1): 10, date(2026, 3, 2): 1}
    assert found.latency is not None
    assert found.latency.percentiles == {50: 5000, 90: 9000, 95: 10000, 99: 10000}
    assert (found.latency.smallest, found.latency.largest) == (1000, 10000)
    assert found.latency.mean == 5500
    assert found.output_tokens is not None
    assert (found.output_tokens.count, found.output_tokens.largest) == (9, 18)


@pytest.mark.parametrize(
    ("wanted", "total"),
    [
        ({"tag": "odd"}, 5),
        ({"actor": "bert"}, 1),
        ({"status": "started"}, 1),
        ({"model": "tiny", "tag": "odd"}, 2),
        ({"filter": "words"}, 10),
        ({"seed": 1}, 0),
    ],
    ids=str,
)
def test_only_what_is_wanted_is_counted(filled: Store, wanted: dict[str, Any], total: int) -> None:
    assert filled.stats(Query(**wanted)).total == total


def test_a_generation_whose_process_is_gone_counts_as_interrupted(filled: Store) -> None:
    filled.close()
    with Store.open(filled.url, create=False) as again:
        assert again.stats().statuses == {"completed": 10, "interrupted": 1}


def test_a_lineage_goes_up_and_down_and_to_other_attempts(
    store: Store, start: Any, finish: Any
) -> None:
    run = new_id()
    first = start("first", run_id=run, line=1)
    again = start("again", run_id=run, line=1)
    child = start("child", parents=(first.id,))
    other = start("other")
    for generation in (first, other, child):
        store.record_started([generation], policy_document="")
    store.record_outcomes([finish(first, status="failed")])
    store.record_started([again], policy_document="")
    for id in (first.id, again.id, child.id):
        found = store.lineage(id)
        assert [g.prompt for g in found.generations] == ["first", "child", "again"]
        assert found.attempts == {first.id: 1, again.id: 2}
        assert found.whole
    assert [g.prompt for g in store.lineage(other.id).generations] == ["other"]


def test_following_yields_what_ends_and_is_wanted(
    store: Store, start: Any, finish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finder, "POLL_SECONDS", 0.001)
    ready = threading.Event()

    def record() -> None:
        ready.wait()
        for n in range(250):
            g = start(str(n), tags=("t",) * (n % 2))
            store.record_started([g], policy_document="")
            store.record_outcomes([finish(g)])

    store.record_started([before := start("before", tags=("t",))], policy_document="")
    writer = threading.Thread(target=record)
    writer.start()
    try:
        found = store.tail(Query(tag="t", limit=1), follow=True)
        assert next(found).id == before.id
        ready.set()
        prompts = [next(found).prompt for _ in range(125)]
    finally:
        ready.set()
        writer.join()
    assert prompts == [str(n) for n in range(250) if n % 2]
