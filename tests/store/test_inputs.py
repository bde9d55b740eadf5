"""Inputs are recorded once in a run, together with the generations that refer to them."""

from __future__ import annotations

from typing import Any

import pytest

from muniment.errors import StoreError
from muniment.ids import new_id
from muniment.store import Store
from muniment.store.recording import inputs as recording
from muniment.types.inputs import Input
from support.databases import ask, change
from support.programs import Programs, ended

pytestmark = pytest.mark.dialect

TEXT = Input("context", "text/plain", "一个文件".encode())
IMAGE = Input("init", "image/png", b"\x89PNG\x00\xff")
ENTRIES = "SELECT seq FROM entry WHERE kind = 'input' ORDER BY seq"
USES = "SELECT generation, position, name, input FROM generation_input ORDER BY 1, 2"


def record(store: Store, *generations: Any) -> None:
    store.record_started(generations, policy_document="")


def verified(store: Store) -> None:
    assert store.verify(projections=True, payloads=True).problems == []


def numbers(url: str) -> list[int]:
    return [row.seq for row in ask(url, ENTRIES)]


def test_equal_inputs_of_a_run_have_one_entry(store: Store, url: str, start: Any) -> None:
    run = new_id()
    same = Input("other", TEXT.media_type, TEXT.data)
    first = start(run_id=run, inputs=(TEXT, IMAGE))
    second = start(run_id=run, inputs=(TEXT, same))
    record(store, first, start(run_id=run), second)
    record(store, third := start(run_id=run, inputs=(IMAGE,)))
    text, image = numbers(url)
    assert [(row.position, row.name, row.input) for row in ask(url, USES)] == [
        (0, "context", text),
        (1, "init", image),
        (0, "context", text),
        (1, "other", text),
        (0, "init", image),
    ]
    for g in (first, second, third):
        assert store.generation(g.id).inputs == g.inputs
    verified(store)
    assert store.rebuild()["generation_input"] == 5
    verified(store)


def test_equal_inputs_of_two_runs_have_two_entries(store: Store, url: str, start: Any) -> None:
    record(store, start(inputs=(TEXT,)), start(inputs=(TEXT,)))
    assert len(numbers(url)) == 2
    assert [row.input for row in ask(url, USES)] == numbers(url)
    verified(store)


def test_an_input_of_another_media_type_has_its_own_entry(
    store: Store, url: str, start: Any
) -> None:
    markdown = Input("context", "text/markdown", TEXT.data)
    run = new_id()
    record(store, start(run_id=run, inputs=(TEXT,)), start(run_id=run, inputs=(markdown,)))
    assert len(numbers(url)) == 2


IN_ANOTHER_PROCESS = """
from muniment.types.inputs import Input
inputs = (Input("context", "text/plain", "一个文件".encode()), Input("init", "image/png", b"new"))
with Store.open(url, create=False) as store:
    for run in arguments:
        store.record_started(
            [dataclasses.replace(start(run=run), inputs=inputs)], policy_document=""
        )
"""


def test_another_process_that_continues_the_run_uses_its_inputs(
    store: Store, url: str, start: Any, run: Programs
) -> None:
    first = start(inputs=(TEXT, IMAGE))
    record(store, first)
    assert ended(run(IN_ANOTHER_PROCESS, first.run_id, new_id())) == ""
    assert len(numbers(url)) == 2 + 1 + 2
    uses = [row.input for row in ask(url, USES)]
    assert uses[2] == uses[0]
    assert uses[4] not in uses[:4]
    verified(store)


def test_an_input_that_was_erased_meanwhile_is_refused_once(
    store: Store, url: str, start: Any
) -> None:
    run = new_id()
    record(store, start(run_id=run, inputs=(TEXT,)))
    assert change(url, "DELETE FROM payload WHERE kind = 'input'")
    before = store.status().entries
    again = start(run_id=run, inputs=(TEXT,))
    with pytest.raises(StoreError, match="an input was erased") as caught:
        record(store, again)
    assert "\n" not in str(caught.value)
    assert store.status().entries == before
    record(store, again)
    assert len(numbers(url)) == 2
    assert store.generation(again.id).inputs == (TEXT,)


def test_a_batch_of_many_generations_has_its_inputs(store: Store, url: str, start: Any) -> None:
    run = new_id()
    shared = Input("context", "text/plain", b"shared")
    batch = [
        start(run_id=run, line=n + 1, inputs=(shared, Input("init", "image/png", b"%d" % (n // 2))))
        for n in range(1500)
    ]
    record(store, *batch[:1000])
    record(store, *batch[1000:])
    assert len(numbers(url)) == 1 + 750
    assert len(ask(url, USES)) == 3000
    for g in (batch[0], batch[999], batch[1499]):
        assert store.generation(g.id).inputs == g.inputs
    verified(store)


def test_the_inputs_of_few_runs_are_kept_in_memory(
    store: Store, url: str, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "MAX_RUNS", 2)
    runs = [new_id() for _ in range(4)]
    for _ in range(2):
        record(store, *(start(run_id=run, inputs=(TEXT,)) for run in runs))
    assert len(store._input_numbers._runs) == 2
    assert len(numbers(url)) == 4


def test_nothing_is_recorded_of_a_generation_that_is_refused(
    store: Store, url: str, start: Any
) -> None:
    first = start(inputs=(TEXT,))
    record(store, first)
    with pytest.raises(StoreError, match="already recorded"):
        record(store, start(run_id=first.run_id, inputs=(IMAGE,)), first)
    assert len(numbers(url)) == 1
    record(store, start(run_id=first.run_id, inputs=(TEXT, IMAGE)))
    assert len(numbers(url)) == 2
    verified(store)


KILLED = """
from muniment.store.database import bulk
from muniment.types.inputs import Input
remaining, insert, execute = int(arguments[0]), bulk.insert, bulk.execute

def killed(function):
    def call(connection, *rest):
        global remaining
        if remaining == 0:
            os._exit(9)
        remaining -= 1
        return function(connection, *rest)
    return call

with Store.open(url, create=False) as store:
    inputs = (Input("context", "text/plain", b"context"), Input("init", "image/png", b"init"))
    first = dataclasses.replace(start(), inputs=inputs)
    store.record_started([first], policy_document="")
    print(first.id, flush=True)
    bulk.insert, bulk.execute = killed(insert), killed(execute)
    other = dataclasses.replace(start(), inputs=(*inputs[:1], Input("init", "image/png", b"x")))
    store.record_started([other], policy_document="")
    print(other.id, flush=True)
"""


def test_a_kill_while_inputs_are_written_loses_and_leaves_nothing(
    store: Store, url: str, run: Programs
) -> None:
    acknowledged: set[str] = set()
    completed = False
    for writes in range(40):
        program = run(KILLED, writes)
        out, errors = program.communicate()
        assert program.returncode in (0, 9), errors
        acknowledged.update(out.split())
        if program.returncode == 0:
            completed = True
            break
    assert completed
    assert writes > 5
    recorded = {g.id: g for g in store.generations()}
    assert recorded.keys() == acknowledged
    assert {len(g.inputs) for g in recorded.values()} == {2}
    assert {item.data for g in recorded.values() for item in g.inputs} >= {b"context", b"init"}
    used = {row.input for row in ask(url, USES)}
    assert used == set(numbers(url))
    verified(store)
    store.record_interruptions()
    verified(store)
