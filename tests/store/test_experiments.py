"""Experiments and the cells of their generations in the store, on every database."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from muniment.errors import UnknownNameError, UsageError
from muniment.ids import new_id
from muniment.store import AlreadyRecordedError, Query, Store
from muniment.store.database.tables import entry
from muniment.types.experiments import Cell, Levels
from muniment.types.generations import Generation
from support.databases import ask, change

pytestmark = pytest.mark.dialect

Make = Callable[..., Generation]
LEVELS = Levels(items=3, paraphrases=2, settings=2, replicates=2)
CELLS = [Cell(*place) for place in itertools.product(*map(range, LEVELS))]
CANARY = "designcanaryx"


@pytest.fixture
def experiment(store: Store, start: Make, finish: Make) -> str:
    """The id of a run with an experiment, whose cells were recorded in the opposite order."""
    run = new_id()
    store.experiments.add("ada", run, f"items: [{CANARY}]", LEVELS)
    record(store, [start(str(cell), run_id=run, cell=cell) for cell in reversed(CELLS)], finish)
    record(store, [start("other", run_id=run), start("another", cell=Cell(0, 0, 0, 0))], finish)
    return run


def record(store: Store, started: list[Generation], finish: Make, **fields: Any) -> None:
    store.record_started(started, policy_document="")
    store.record_outcomes([finish(g, **fields) for g in started])


def verified(store: Store) -> None:
    verification = store.verify(projections=True, payloads=True, search=True)
    assert verification.ok, verification.problems


def test_an_experiment_is_read_back_by_its_run(store: Store) -> None:
    run = new_id()
    assert store.experiments.of(run) is None
    added = store.experiments.add("ada", run, f"items: [{CANARY}]", LEVELS)
    recorded = store.experiments.of(run)
    assert recorded is not None
    assert (recorded.entry, recorded.actor) == (added.entry, "ada")
    assert recorded.text("design") == f"items: [{CANARY}]"
    assert recorded.to_json() == {
        "at": recorded.to_json()["at"],
        "actor": "ada",
        "run": run,
        "items": 3,
        "paraphrases": 2,
        "settings": 2,
        "replicates": 2,
        "design": f"items: [{CANARY}]",
        "altered": (),
    }
    [row] = ask(store.url, "SELECT kind, generation, key FROM v_event")
    assert tuple(row) == ("experiment", None, run)
    verified(store)


def test_an_experiment_is_recorded_once_and_before_its_run(store: Store, start: Make) -> None:
    run, begun = new_id(), start()
    store.experiments.add("ada", run, "a design", LEVELS)
    store.record_started([begun], policy_document="")
    for id in (run, begun.run_id):
        with pytest.raises(AlreadyRecordedError) as error:
            store.experiments.add("ada", id, "a design", LEVELS)
        assert id in str(error.value)


@pytest.mark.parametrize(
    ("run", "design", "levels"),
    [
        ("last", "a design", LEVELS),
        (None, " ", LEVELS),
        (None, "a design", LEVELS._replace(items=0)),
        (None, "a design", (1, 1, 1)),
        (None, "a design", (1, 1, 1, 1.0)),
        (None, "a design", None),
    ],
)
def test_an_invalid_experiment_is_refused(
    store: Store, run: str | None, design: str, levels: Any
) -> None:
    with pytest.raises(UsageError):
        store.experiments.add("ada", run or new_id(), design, levels)
    assert ask(store.url, "SELECT 1 FROM entry WHERE kind = 'experiment'") == []


def test_cells_are_read_back_and_listed_by_item(store: Store, experiment: str) -> None:
    for item in range(4):
        query = Query(run=experiment, item=item)
        expected = [cell for cell in CELLS if cell.item == item]
        assert [g.cell for g in store.generations(query)] == expected
        assert store.count(query) == len(expected)
    assert list(store.generations(Query(run=new_id(), item=0))) == []
    flagged = Query(run=experiment, item=1, decision="flag")
    assert list(store.generations(flagged)) == []
    ids = [g.id for g in store.generations(Query(run=experiment, item=1, status="completed"))]
    assert len(ids) == 8


def test_an_item_without_its_run_is_refused() -> None:
    with pytest.raises(UsageError):
        Query(item=1)
    for item in (-1, "1", True):
        with pytest.raises(UsageError):
            Query(run=new_id(), item=item)  # type: ignore[arg-type]


def test_generations_of_an_experiment_are_in_the_order_of_their_cells(
    store: Store, experiment: str
) -> None:
    assert [g.cell for g in store.experiments.generations(experiment)] == CELLS
    with pytest.raises(UnknownNameError):
        list(store.experiments.generations(new_id()))


def test_one_attempt_of_a_cell_is_chosen(
    store: Store, experiment: str, start: Make, finish: Make
) -> None:
    first, second = Cell(7, 0, 0, 0), Cell(7, 0, 0, 1)
    chosen = {g.cell: g.id for g in store.experiments.generations(experiment)}
    for status in ("failed", "completed"):
        attempt = start(run_id=experiment, cell=first)
        record(store, [attempt], finish, status=status)
        chosen[first] = attempt.id
    for status in ("blocked", "interrupted"):
        attempt = start(run_id=experiment, cell=second)
        record(store, [attempt], finish, status=status)
        chosen[second] = attempt.id
    assert {g.cell: g.id for g in store.experiments.generations(experiment)} == chosen


def test_a_cell_is_not_attempted_again_once_completed_or_in_progress(
    store: Store, experiment: str, start: Make, finish: Make
) -> None:
    new = Cell(7, 0, 1, 0)
    completed = start(run_id=experiment, cell=CELLS[3])
    with pytest.raises(AlreadyRecordedError, match=f"setting 1, replicate 1 of run {experiment}"):
        store.record_started([start(run_id=experiment), completed], policy_document="")
    running = start(run_id=experiment, cell=new)
    store.record_started([running], policy_document="")
    for again in ([new], [CELLS[3]._replace(item=8)] * 2):
        attempts = [start(run_id=experiment, cell=cell) for cell in again]
        with pytest.raises(AlreadyRecordedError):
            store.record_started(attempts, policy_document="")
    store.record_started([start(run_id=new_id(), cell=new)], policy_document="")


def test_a_record_with_cells_is_rebuilt(store: Store, experiment: str) -> None:
    verified(store)
    cells = ask(store.url, "SELECT * FROM v_cell ORDER BY seq")
    assert len(cells) == len(CELLS) + 1
    assert store.rebuild()["cell"] == len(cells)
    assert ask(store.url, "SELECT * FROM v_cell ORDER BY seq") == cells
    verified(store)


@pytest.mark.parametrize(
    "statement",
    [
        *(f"UPDATE cell SET {name} = {name} + 1" for name in Cell._fields),
        "UPDATE cell SET run = run + 1",
        "UPDATE cell SET generation = generation + 1000",
        "DELETE FROM cell WHERE item = 1",
        "INSERT INTO cell SELECT max(seq), 1, 1, 1, 1, 1 FROM generation WHERE prompt_tokens = 3",
    ],
)
def test_an_altered_cell_is_reported(store: Store, experiment: str, statement: str) -> None:
    if statement.startswith("INSERT"):
        statement = statement.replace("max(seq)", "max(seq) + 500")
    assert change(store.url, statement)
    problems = store.verify(projections=True).problems
    assert {problem.kind for problem in problems} == {"projection"}
    assert any(problem.where.startswith("cell") for problem in problems)


def test_an_erased_design_is_in_no_file_of_the_store(store: Store, experiment: str) -> None:
    recorded = store.experiments.of(experiment)
    assert recorded is not None
    assert not store.erasures.erase_event(recorded.number, "keeper", reason="asked").pending
    erased = store.experiments.of(experiment)
    assert erased is not None
    assert (erased.text("design"), erased.entry) == (None, recorded.entry)
    if store.path is not None:
        for file in store.path.parent.iterdir():
            assert CANARY.encode() not in file.read_bytes()
    assert ask(store.url, "SELECT 1 FROM payload WHERE kind = 'design'") == []
    verified(store)
    store.rebuild()
    verified(store)


def test_erasing_the_generations_keeps_cells_and_design(store: Store, experiment: str) -> None:
    store.erasures.erase(Query(run=experiment, item=0), "keeper")
    assert [g.cell for g in store.experiments.generations(experiment)] == CELLS
    recorded = store.experiments.of(experiment)
    assert recorded is not None
    assert recorded.text("design") == f"items: [{CANARY}]"
    verified(store)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(text=st.text("ЖЩЪЫЭЮЯ卫星发射成功", min_size=4, max_size=20))
def test_no_text_of_a_design_reaches_an_entry(store: Store, text: str) -> None:
    store.experiments.add(text, new_id(), text, LEVELS)
    with store._database.reading() as connection:
        newest = connection.execute(entry.select().order_by(entry.c.seq.desc()).limit(2)).all()
    for row in newest:
        assert not set(text) & set(bytes(row.canonical_bytes).decode())
        assert "\\u" not in json.dumps(json.loads(row.canonical_bytes))
