"""Experiments through a session: the design, the cells of generations, and resuming."""

from __future__ import annotations

from typing import Any

import pytest

from muniment import Cell, Generation, GenerationSpec, Levels, Query, UnknownNameError, UsageError
from muniment.errors import StoreError
from muniment.ids import new_id
from support.workspace import Workspace

ECHO = "for r in requests: yield r.reply(Text(r.prompt, 'stop'))"
LEVELS = Levels(items=2, paraphrases=1, settings=1, replicates=2)


@pytest.fixture
def echo(workspace: Workspace) -> Workspace:
    workspace.plugin_folder.generator("echo", ECHO)
    return workspace


def specs(*cells: Cell, prompt: str = "x") -> list[GenerationSpec]:
    return [GenerationSpec(prompt, generator="echo", seed=i, cell=c) for i, c in enumerate(cells)]


def test_an_experiment_is_read_from_the_store_alone(echo: Workspace) -> None:
    run = new_id()
    recorded = echo.session.record_experiment(run, "seed: 7", LEVELS)
    begun = echo.session.experiment(run)
    assert begun is not None
    assert begun.entry == recorded.entry
    first, last = Cell(0, 0, 0, 0), Cell(1, 0, 0, 1)
    done = list(echo.session.run(specs(last, first), run_id=run))
    assert [item.cell for item in done if isinstance(item, Generation)] == [last, first]
    echo.check()
    for reference in (run, run[-6:], "last"):
        found = echo.session.experiment(reference)
        assert found is not None
        assert found.text("design") == "seed: 7"
        assert [g.cell for g in echo.session.cells(reference)] == [first, last]
    [listed] = echo.session.generations(Query(run=run, item=1))
    assert listed.to_json()["cell"] == {"item": 1, "paraphrase": 0, "setting": 0, "replicate": 1}
    with pytest.raises(StoreError):
        echo.session.record_experiment(run, "seed: 8", LEVELS)


def test_last_is_the_newest_experiment_even_without_a_generation(echo: Workspace) -> None:
    older, newer = new_id(), new_id()
    echo.session.record_experiment(older, "seed: 1", LEVELS)
    list(echo.session.run(specs(Cell(0, 0, 0, 0)), run_id=older))
    echo.session.record_experiment(newer, "seed: 2", LEVELS)
    other = echo.session.generate("x", generator="echo")
    for reference in ("last", newer[-6:].lower(), newer):
        found = echo.session.experiment(reference)
        assert found is not None
        assert found.entry.run == newer
        assert list(echo.session.cells(reference)) == []
    assert [g.cell for g in echo.session.cells(older[-6:])] == [Cell(0, 0, 0, 0)]
    assert echo.session.experiment(other.run_id) is None


def test_a_run_without_an_experiment_has_none(echo: Workspace) -> None:
    echo.session.generate("x", generator="echo")
    assert echo.session.experiment("last") is None
    assert list(echo.session.cells("last")) == []
    with pytest.raises(UnknownNameError):
        echo.session.experiment(new_id())
    with pytest.raises(UnknownNameError):
        echo.session.cells(new_id())


def test_samples_of_a_cell_are_its_replicates(echo: Workspace) -> None:
    list(echo.session.run(specs(Cell(1, 2, 3, 4)), samples_each=3))
    cells = [g.cell for g in echo.session.cells("last")]
    assert cells == [Cell(1, 2, 3, number) for number in (4, 5, 6)]
    assert len({g.seed for g in echo.session.generations()}) == 3


def test_a_request_that_could_not_be_resolved_keeps_its_cell(echo: Workspace) -> None:
    spec = GenerationSpec("x", generator="nothing", line=1, cell=Cell(0, 1, 0, 0))
    [failed] = echo.session.run([spec])
    assert isinstance(failed, Generation)
    assert (failed.status, failed.cell) == ("failed", Cell(0, 1, 0, 0))
    assert echo.session.generation("last").cell == Cell(0, 1, 0, 0)


def test_a_repeated_request_belongs_to_no_experiment(echo: Workspace) -> None:
    list(echo.session.run(specs(Cell(0, 0, 0, 0))))
    assert echo.session.like("last").cell is None


@pytest.mark.parametrize(
    "cell", [(0, 0, 0), (0, 0, 0, -1), (0, 0, 0, 0.0), (0, 0, 0, True), "0000", 2**53, (2**53,) * 4]
)
def test_a_malformed_cell_is_refused(cell: Any) -> None:
    with pytest.raises(UsageError):
        GenerationSpec("x", cell=cell)
