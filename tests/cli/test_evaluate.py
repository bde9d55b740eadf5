"""The command `muniment evaluate`: scores of recorded generations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.commands import Here
from support.plugins import PluginFolder

PLUGIN = """
from muniment import *

class Length(Evaluator):
    name = "length"
    measures = (Measure("length", "characters"),)

    def evaluate(self, generation):
        if generation.text == "broken":
            raise RuntimeError("no reason")
        return {"length": len(generation.text)}

class Matches(GroupEvaluator):
    name = "matches"
    measures = (Measure("siblings"), Measure("matches", higher_is_better=True))

    def evaluate_group(self, generations, references):
        return {
            one.id: {"siblings": len(generations) - 1}
            | ({"matches": references[one.id].count(one.text)} if one.id in references else {})
            for one in generations
        }

@hookimpl
def muniment_evaluators(register):
    register(Length)
    register(Matches)
"""


@pytest.fixture
def recorded(muniment: Here, plugin_folder: PluginFolder, tmp_path: Path) -> Here:
    """One run: two generations of `a`, one that failed."""
    plugin_folder.add(PLUGIN, distribution="test-measures")
    lines = [{"prompt": prompt} for prompt in ("a", "a", "fail")]
    batch = tmp_path / "batch.jsonl"
    batch.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert muniment("batch", batch, "--generator", "echo").code == 1
    return muniment


def test_a_run_is_scored_and_the_scores_are_recorded(recorded: Here) -> None:
    result = recorded("evaluate", "--run", "last", "--with", "matches,length")
    assert result.code == 0
    assert sorted(row[1:] for row in result.rows) == [
        *[["length", "length", "1", "characters"]] * 2,
        *[["matches", "siblings", "1", ""]] * 2,
    ]
    assert "left out 1 generation, failed" in result.err
    found = recorded("audit", "list", "--score", "siblings>0", "--json").json("generation")
    assert len(found) == 2
    (shown,) = recorded("audit", "show", str(found[0]["id"]), "--json").json("generation")
    assert len(shown["scored"]) == 2
    assert recorded("audit", "verify", "--all").code == 0


def test_json_has_the_scores_and_the_reason_of_an_omission(recorded: Here) -> None:
    result = recorded("evaluate", "--run", "last", "--with", "length", "--json")
    scored = result.json("scored_generation")
    assert [[score["value"] for score in one["scores"]] for one in scored] == [[], [1], [1]]
    assert [one["omitted"] for one in scored] == ["failed", None, None]


def test_references_are_read_from_a_file(recorded: Here, tmp_path: Path) -> None:
    file = tmp_path / "references.jsonl"
    file.write_text('{"prompt": "a", "references": ["a", "b"]}\n{"item": 1, "references": ["c"]}\n')
    result = recorded("evaluate", "--run", "last", "--with", "matches", "--references", file)
    assert [row[3] for row in result.rows if row[2] == "matches"] == ["1", "1"]
    assert "references in 1 of 2 lines" in result.err
    file.write_text('{"prompt": "a"}\n')
    refused = recorded("evaluate", "--run", "last", "--with", "matches", "--references", file)
    assert refused.code == 2
    assert f"{file}, line 1" in refused.err


def test_an_evaluator_that_fails_is_recorded_and_the_exit_code_says_so(recorded: Here) -> None:
    assert recorded("generate", "echo", "broken").code == 0
    result = recorded("evaluate", "last", "--with", "length")
    assert result.code == 1
    assert "no reason" in result.out
    assert "evaluator length failed" in result.err


def test_nothing_to_score_is_no_success(recorded: Here) -> None:
    failed = recorded("audit", "list", "--status", "failed", "--json").json("generation")
    result = recorded("evaluate", str(failed[0]["id"]), "--with", "length")
    assert result.code == 1
    assert "no generation was scored" in result.err
    assert not result.out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--with", "length"], "use ids or --run"),
        (["last", "--run", "last", "--with", "length"], "use ids or --run"),
        (["last"], "--with"),
        (["last", "--with", "lengths"], "no evaluator named 'lengths'"),
        (["nothere", "--with", "length"], "nothere"),
        (["last", "--with", "length", "--references", "nowhere"], "cannot be read"),
    ],
)
def test_a_mistake_is_refused(recorded: Here, arguments: list[str], reason: str) -> None:
    result = recorded("evaluate", *arguments)
    assert result.code == 2
    assert reason in result.err


def test_an_evaluator_of_groups_is_refused_for_a_new_generation(recorded: Here) -> None:
    result = recorded("generate", "echo", "a", "--evaluate", "matches")
    assert result.code == 2
    assert "muniment evaluate" in result.err


def test_evaluators_of_groups_cannot_be_a_setting(recorded: Here) -> None:
    result = recorded("config", "set", "evaluators", "matches")
    assert result.code == 2
