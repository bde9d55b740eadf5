"""Scoring recorded generations: groups, siblings and references, here and in a worker process."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import muniment
from muniment import Cell, GenerationSpec, Levels, Query, ScoredGroup
from muniment.ids import new_id
from support.plugins import PluginFolder
from support.workers import IsolatedWorkspace
from support.workspace import Workspace

PLUGIN = """
from muniment import *

class Echo(Generator):
    name, media_type = "echo", "text/plain"

    class Parameters(Parameters):
        times: int = param(1)

    def generate(self, requests):
        for request in requests:
            if request.prompt == "fail":
                yield request.fail("as asked")
            else:
                yield request.reply(Text(request.prompt * request.parameters.times))

class Siblings(GroupEvaluator):
    name = "siblings"
    measures = (Measure("siblings"), Measure("matches", higher_is_better=True))

    class Parameters(Parameters):
        mistake: str = param("")

    def evaluate_group(self, generations, references):
        if self.parameters.mistake == "raise":
            raise RuntimeError("no reason")
        if self.parameters.mistake == "stop" and generations[0].text == "b":
            raise KeyboardInterrupt
        if self.parameters.mistake == "stranger":
            return {"x": {"siblings": 1}}
        if self.parameters.mistake == "nan":
            return {generations[0].id: {"siblings": float("nan")}}
        values = {item.id: {"siblings": len(generations) - 1} for item in generations}
        for item in generations:
            if item.id in references:
                values[item.id]["matches"] = item.text in references[item.id]
                values[item.id]["matches"] = float(values[item.id]["matches"])
        return values

class Length(Evaluator):
    name = "length"
    measures = (Measure("length"),)

    def evaluate(self, generation):
        return {"length": len(generation.text)}

@hookimpl
def muniment_generators(register):
    register(Echo)

@hookimpl
def muniment_evaluators(register):
    register(Siblings)
    register(Length)
"""


@pytest.fixture(params=[Workspace, IsolatedWorkspace], ids=["in-process", "isolated"])
def workspace(
    request: pytest.FixtureRequest, home: Path, plugin_folder: PluginFolder
) -> Iterator[Workspace]:
    plugin_folder.add(PLUGIN, distribution="echo-plugin")
    made = request.param(home, plugin_folder)
    yield made
    made.session.close()


def recorded(workspace: Workspace, *prompts: str, **options: Any) -> list[muniment.Generation]:
    specs = [GenerationSpec(prompt, generator="echo", **options) for prompt in prompts]
    made = workspace.session.run(specs, policy="none", evaluate=[])
    return [item for item in made if isinstance(item, muniment.Generation)]


def values(groups: list[ScoredGroup], measure: str) -> dict[str, float | None]:
    """Return the values of a measure by the id of the generation."""
    return {
        generation.id: score.value
        for group in groups
        for generation in group.generations
        for score in group.scores(generation.id)
        if score.name == measure
    }


def write_lines(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines))
    return path


def test_generations_of_a_run_with_equal_requests_are_siblings(workspace: Workspace) -> None:
    first = recorded(workspace, "a", "b", "a", "a")
    recorded(workspace, "a")  # of another run
    groups = list(workspace.session.evaluate(Query(run=first[0].run_id), ["siblings,length"]))
    ids = [generation.id for generation in first]
    assert values(groups, "siblings") == dict(zip(ids, (2, 0, 2, 2), strict=True))
    assert values(groups, "length") == dict.fromkeys(ids, 1)
    assert sorted(len(group.generations) for group in groups) == [1, 3]
    assert [plugin.distribution for plugin in groups[0].plugins] == ["muniment", "echo-plugin"]
    again = workspace.session.generation(ids[0])
    assert [(score.name, score.value) for score in again.added_scores] == [
        ("length", 1),
        ("siblings", 2),
    ]
    single, compared = workspace.session.store.scores.of(ids[0])
    assert [len(event.entry.siblings) for event in (single, compared)] == [0, 2]
    workspace.check()


@pytest.mark.parametrize("option", [{"parameters": {"times": 2}}, {"system": "be kind"}])
def test_other_parameters_or_prompts_make_no_siblings(
    workspace: Workspace, option: dict[str, Any]
) -> None:
    specs = [
        GenerationSpec("a", generator="echo"),
        GenerationSpec("a", generator="echo", **option),
    ]
    list(workspace.session.run(specs, policy="none", evaluate=[]))
    groups = list(workspace.session.evaluate(Query(), ["siblings"]))
    assert list(values(groups, "siblings").values()) == [0, 0]


def test_an_item_and_a_setting_of_an_experiment_are_a_group(workspace: Workspace) -> None:
    """Paraphrases have other prompts, and settings may have equal ones."""
    cells = [Cell(i, p, s, r) for i in range(2) for p in range(2) for s in range(2) for r in (0, 1)]
    run, session = new_id(), workspace.session
    session.record_experiment(run, "items: []", Levels(2, 2, 2, 2))
    specs = [GenerationSpec(f"{c.item} {c.paraphrase}", generator="echo", cell=c) for c in cells]
    list(session.run(specs, policy="none", evaluate=[], run_id=run))
    groups = list(session.evaluate(Query(run=run), ["siblings"]))
    assert [len(group.generations) for group in groups] == [4] * 4
    for group in groups:
        assert len({item.cell[::2] for item in group.generations if item.cell}) == 1


def test_only_chosen_generations_are_siblings_and_ids_can_be_short(workspace: Workspace) -> None:
    made = recorded(workspace, "a", "a", "a")
    chosen = [made[0].id, made[2].id[-8:], made[0].id]
    groups = list(workspace.session.evaluate(chosen, ["siblings"]))
    assert values(groups, "siblings") == {made[0].id: 1, made[2].id: 1}


def test_what_has_no_output_is_omitted_with_the_reason(workspace: Workspace) -> None:
    made = recorded(workspace, "a", "fail", "erase", "b")
    session = workspace.session
    session.erase(Query(ids=[made[2].id]))
    groups = list(session.evaluate(Query(), ["siblings", "length"]))
    omitted = {id: reason for group in groups for id, reason in group.omitted.items()}
    assert omitted == {made[1].id: "failed", made[2].id: "erased"}
    assert values(groups, "length").keys() == {made[0].id, made[3].id}


@pytest.mark.parametrize(
    ("mistake", "reason"),
    [("raise", "no reason"), ("stranger", "'x'"), ("nan", "nan")],
)
def test_a_failure_is_that_of_all_scores_of_the_group(
    workspace: Workspace, mistake: str, reason: str
) -> None:
    recorded(workspace, "a", "a")
    [group] = workspace.session.evaluate(Query(), [f"siblings(mistake={mistake})", "length"])
    for generation in group.generations:
        failed = group.compared[generation.id]
        assert [score.value for score in failed] == [None, None]
        assert all(reason in (score.failure or "") for score in failed)
        assert [score.value for score in group.single[generation.id]] == [1]


def test_references_of_a_file_are_those_of_an_id_else_an_item_else_a_prompt(
    workspace: Workspace, tmp_path: Path
) -> None:
    design = "version: 1\nitems:\n  - {id: moon, paraphrases: [a]}\n  - {id: sea}\n"
    run, session = new_id(), workspace.session
    session.record_experiment(run, design, Levels(2, 1, 1, 2))
    specs = [
        GenerationSpec("a", generator="echo", cell=Cell(item, 0, 0, replicate))
        for item in (0, 1)
        for replicate in (0, 1)
    ]
    made = list(session.run(specs, policy="none", evaluate=[], run_id=run))
    other = recorded(workspace, "a", "b")
    file = write_lines(
        tmp_path / "r.jsonl",
        {"prompt": "a", "references": ["a"]},
        {"item": "moon", "references": ["最近", "other"]},
        {"item": 1, "references": ["other"]},
        {"id": made[0].id, "references": ["x", "a"]},  # type: ignore[union-attr]
    )
    groups = list(session.evaluate(Query(), ["siblings"], references=file))
    ids = [item.id for item in [*made, *other]]  # type: ignore[union-attr]
    expected = dict(zip(ids, (1, 0, 0, 0, 1), strict=False))
    assert values(groups, "matches") == expected  # `b` has none
    references = {id: texts for group in groups for id, texts in group.references.items()}
    assert references[ids[1]] == ("最近", "other")


@pytest.mark.parametrize("is_erased", [False, True])
def test_references_of_the_design_are_used_without_a_file(
    workspace: Workspace, is_erased: bool
) -> None:
    design = "items: [{id: moon, paraphrases: [a], references: [a]}, {id: sea, references: [b]}]"
    run, session = new_id(), workspace.session
    event = session.record_experiment(run, design, Levels(3, 1, 1, 1))
    specs = [GenerationSpec("a", generator="echo", cell=Cell(item, 0, 0, 0)) for item in range(3)]
    made = list(session.run(specs, policy="none", evaluate=[], run_id=run))
    if is_erased:
        session.erase_event(event.number)
    groups = list(session.evaluate(Query(run=run), ["siblings"]))
    expected = {} if is_erased else {made[0].id: 1, made[1].id: 0}  # type: ignore[union-attr]
    assert values(groups, "matches") == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no references"),
        ("{", "line 1"),
        ('{"prompt": "a"}', "references"),
        ('{"prompt": "a", "references": []}', "references"),
        ('{"prompt": "a", "references": "b"}', "references"),
        ('{"references": ["b"]}', "0 keys"),
        ('{"prompt": "a", "item": 1, "references": ["b"]}', "2 keys"),
        ('{"promt": "a", "references": ["b"]}', "promt"),
        ('{"prompt": "a", "references": ["b"]}\n\n{"prompt": "a", "references": ["c"]}', "line 3"),
        ('{"prompt": "a", "references": ["b\\u0000"]}', "line 1.*NUL"),
        (b'{"prompt": "\xff", "references": ["b"]}', "line 1"),
    ],
)
def test_a_file_of_references_is_refused_with_the_line(
    workspace: Workspace, tmp_path: Path, text: str | bytes, reason: str
) -> None:
    recorded(workspace, "a")
    file = tmp_path / "r.jsonl"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(muniment.UsageError, match=reason):
        workspace.session.evaluate(Query(), ["siblings"], references=file)
    with pytest.raises(muniment.UsageError, match="cannot be read"):
        workspace.session.evaluate(Query(), ["siblings"], references=tmp_path / "nothing")


def test_references_that_belong_to_nothing_are_reported(
    workspace: Workspace, tmp_path: Path
) -> None:
    recorded(workspace, "a")
    file = write_lines(
        tmp_path / "r.jsonl", *({"prompt": p, "references": ["a"]} for p in ("a", "a ", "b"))
    )
    warnings: list[str] = []
    workspace.session.warn = warnings.append
    list(workspace.session.evaluate(Query(), ["siblings"], references=file))
    assert len(warnings) == 1
    assert "2 of 3 lines" in warnings[0]


def test_a_new_generation_has_no_siblings_so_the_evaluator_is_refused(
    workspace: Workspace,
) -> None:
    with pytest.raises(muniment.UsageError, match="muniment evaluate"):
        workspace.session.generate("a", generator="echo", evaluate=["siblings"])
    assert not (workspace.home / "muniment.db").exists()
    for names in (["nothing"], ["siblings(depth=1)"]):
        recorded(workspace, "a")
        with pytest.raises(muniment.UsageError):
            workspace.session.evaluate(Query(), names)


def test_references_can_be_erased_and_their_commitment_stays(
    workspace: Workspace, tmp_path: Path
) -> None:
    [made] = recorded(workspace, "a")
    session = workspace.session
    file = write_lines(tmp_path / "r.jsonl", {"prompt": "a", "references": ["a", "最近"]})
    list(session.evaluate([made.id], ["siblings,length"], references=file))
    single, compared = session.store.scores.of(made.id)
    assert single.text("references") is None
    assert json.loads(compared.text("references") or "") == ["a", "最近"]
    session.erase(Query(ids=[made.id]))
    assert session.store.scores.of(made.id)[1].text("references") is None
    workspace.check()


def test_groups_that_were_complete_before_an_interruption_stay_on_record(
    home: Path, plugin_folder: PluginFolder
) -> None:
    """The newest generation is the first, and Ctrl-C comes in the second."""
    plugin_folder.add(PLUGIN, distribution="echo-plugin")
    workspace = Workspace(home, plugin_folder)
    made = recorded(workspace, "a", "b", "c")
    with pytest.raises(KeyboardInterrupt):
        list(workspace.session.evaluate(Query(), ["siblings(mistake=stop)"]))
    ids = [item.id for item in workspace.session.generations() if item.added_scores]
    assert ids == [made[-1].id]
    workspace.check()
    groups = workspace.session.evaluate(Query(), ["siblings"])
    with contextlib.closing(groups):
        assert next(groups).generations[0].id == made[-1].id
    assert len(workspace.session.store.scores.of(made[-1].id)) == 2


def test_newest_scores_are_found_and_earlier_ones_remain(workspace: Workspace) -> None:
    made = recorded(workspace, "a", "a", "bb")
    session = workspace.session
    list(session.evaluate([made[0].id], ["siblings"]))
    list(session.evaluate(Query(run=made[0].run_id), ["siblings"]))
    found = [item.id for item in session.generations(Query(scores=["siblings>0"]))]
    assert sorted(found) == sorted([made[0].id, made[1].id])
    assert [score.value for score in session.generation(made[0].id).added_scores] == [0, 1]
