"""Erasing generations erases their inputs, unless a protected generation uses them, too."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from muniment.ids import new_id
from muniment.store import Query, Store
from muniment.store.retention.protection import Rule
from muniment.types.generations import Generation
from muniment.types.inputs import Input
from support.databases import only_sqlite

WORD, BINARY = "xylocanary", b"\x89PNGbinarycanary"
SHARED = Input("context", "text/plain", f"{WORD} 鸢尾".encode())
OWN = Input("init", "image/png", BINARY)

Record = Callable[..., Generation]

pytestmark = pytest.mark.usefixtures("programs")


@pytest.fixture
def run_id() -> str:
    return new_id()


@pytest.fixture
def record(store: Store, start: Any, finish: Any, run_id: str) -> Record:
    """Record a generation of one run with inputs, and with an outcome unless `ended` is false."""

    def make(*inputs: Input, ended: bool = True, **fields: Any) -> Generation:
        started = start(run_id=run_id, inputs=inputs, **fields)
        store.record_started([started], policy_document="")
        if ended:
            store.record_outcomes([finish(started)])
        return started

    return make


def check(store: Store) -> None:
    found = store.verify(projections=True, payloads=True, search=True)
    assert found.ok, found.problems


def found_by(store: Store, word: str) -> set[str]:
    return {hit.generation.id for hit in store.search(word)}


@pytest.mark.dialect
def test_erasing_a_generation_erases_inputs_that_others_share(store: Store, record: Record) -> None:
    a, b = record(SHARED, OWN), record(SHARED, prompt="another")
    other = record(Input("context", "text/plain", b"something else"))
    assert found_by(store, WORD) == {a.id, b.id}
    assert store.erasures.sharing(Query(ids=[a.id])) == [b.id]
    assert store.erasures.sharing(Query(ids=[a.id, b.id])) == []
    assert store.erasures.sharing(Query(ids=[other.id])) == []
    result = store.erasures.erase(Query(ids=[a.id]), "keeper")
    assert (result.erased, result.kept, result.shared, result.pending) == (1, 0, 0, False)
    assert found_by(store, WORD) == found_by(store, "鸢尾") == set()
    assert found_by(store, "another") == {b.id}
    assert found_by(store, "something") == {other.id}
    assert store.generation(a.id).erased == ("input", "output", "prompt", "request")
    left = store.generation(b.id)
    assert (left.erased, left.prompt) == (("input",), "another")
    assert [item.data for item in left.inputs] == [b""]
    assert left.to_json()["inputs"][0] == {
        "name": "context",
        "media_type": "text/plain",
        "text": None,
        "sha256": None,
        "bytes": None,
    }
    check(store)
    (past,) = store.erasures.records()
    assert past.generations == 2
    assert store.erasures.erase(Query(ids=[a.id]), "keeper").erased == 0


@pytest.mark.dialect
def test_other_generations_with_an_erased_output_as_an_input_are_known(
    store: Store, record: Record
) -> None:
    source = record(prompt="a")
    data = store.generation(source.id).outputs[0].data
    output = Input("note", "text/plain", data)
    child = record(output, parents=(source.id,))
    again = record(output, parents=(child.id,))
    record(OWN, parents=(source.id,))  # with another input
    record(parents=(source.id,))
    query = Query(ids=[source.id])
    assert store.erasures.with_outputs(query) == sorted([child.id, again.id])
    assert store.erasures.with_outputs(Query(ids=[source.id, child.id])) == [again.id]
    assert store.erasures.with_outputs(Query(ids=[again.id])) == []
    assert store.erasures.sharing(query) == []
    store.erasures.erase(query, "keeper")
    assert [item.data for item in store.generation(child.id).inputs] == [data]
    assert store.erasures.with_outputs(query) == []


@only_sqlite
def test_no_byte_of_an_erased_input_remains(store: Store, record: Record) -> None:
    a = record(SHARED, OWN)
    for _ in range(50):
        record(Input("context", "text/plain", b"filler " * 50))

    def content() -> bytes:
        assert store.path is not None
        return b"".join(file.read_bytes() for file in store.path.parent.iterdir())

    assert WORD.encode() in content()
    assert BINARY in content()
    store.erasures.erase(Query(ids=[a.id]), "keeper")
    for canary in (WORD.encode(), BINARY, "鸢尾".encode(), b"canary"):
        assert canary not in content()
    check(store)


@pytest.mark.dialect
def test_an_input_of_a_generation_on_hold_is_skipped_and_counted(
    store: Store, record: Record
) -> None:
    a, held = record(SHARED, OWN), record(SHARED)
    hold, _ = store.holds.add(Query(ids=[held.id]), "keeper", "a court")
    result = store.erasures.erase(Query(ids=[a.id]), "keeper")
    assert (result.erased, result.held, result.shared) == (1, 0, 1)
    shown = store.generation(a.id)
    assert [item.data for item in shown.inputs] == [SHARED.data, b""]
    assert [item["text"] for item in shown.to_json()["inputs"]] == [SHARED.text, None]
    assert store.generation(held.id).erased == ()
    assert found_by(store, WORD) == {a.id, held.id}
    check(store)
    store.holds.release(hold, "keeper")
    assert store.erasures.erase(Query(ids=[a.id]), "keeper").shared == 0
    assert found_by(store, WORD) == set()
    check(store)


def test_an_input_of_a_running_generation_is_skipped(store: Store, record: Record) -> None:
    a, running = record(SHARED), record(SHARED, ended=False)
    result = store.erasures.erase(Query(ids=[a.id]), "keeper")
    assert (result.erased, result.shared) == (1, 1)
    assert store.generation(running.id).inputs == (SHARED,)
    check(store)


def test_a_shared_input_is_counted_once_in_several_pages(store: Store, record: Record) -> None:
    for _ in range(103):
        record(SHARED, tags=("go",))
    held = record(SHARED)
    store.holds.add(Query(ids=[held.id]), "keeper", "a court")
    result = store.erasures.erase(Query(tag="go"), "keeper")
    assert (result.erased, result.shared) == (103, 1)
    check(store)


def test_minimum_retention_of_inputs_keeps_them_and_those_that_are_shared(
    store: Store, record: Record
) -> None:
    old, new = record(SHARED), record(SHARED, started_at=datetime.now(UTC))
    own = record(OWN, started_at=datetime.now(UTC))
    store.retention.set_rule(Rule("input", None, 300, None), "keeper")
    result = store.erasures.erase(Query(ids=[own.id]), "keeper")
    assert (result.erased, result.kept, result.shared) == (1, 1, 0)
    assert store.generation(own.id).inputs == (OWN,)
    store.retention.set_rule(Rule("input", None, 30, None), "keeper")
    result = store.erasures.erase(Query(ids=[old.id]), "keeper")
    assert (result.erased, result.kept, result.shared) == (1, 0, 1)
    assert store.generation(new.id).inputs == (SHARED,)
    check(store)


def test_maximum_retention_erases_inputs_alone(store: Store, record: Record) -> None:
    old = record(SHARED)
    store.retention.set_rule(Rule("input", None, None, 30), "keeper")
    result = store.retention.run("keeper")
    assert (result.erased, result.shared) == (1, 0)
    assert store.generation(old.id).erased == ("input",)
    assert [past.generations for past in store.erasures.records()] == [1]
    check(store)
    assert store.retention.run("keeper").erased == 0
