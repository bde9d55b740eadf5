"""`muniment analyze controllability`: what it prints, writes and refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

import muniment
from muniment.testing import CommandContract, CommandResult, run_command
from muniment_analysis.commands import analyze
from muniment_analysis.commands.controllability import controllability
from muniment_analysis.controllability.experiment import levels_of, run_experiment
from muniment_analysis.controllability.experiment_design import parse_design
from support.experiments import add_dial, design
from support.plugins import PluginFolder
from support.workspace import Workspace

RUN = "01HZZZZZZZZZZZZZZZZZZZZZZZ"
READER = """
import muniment

class Reader(muniment.Generator):
    name = "reader"
    media_type = "text/plain"
    determinism = "exact"
    inputs = (muniment.InputSpec("topic", ("text/plain",)),)

    def generate(self, requests):
        for request in requests:
            drawn = round(9 * request.random().random())
            yield request.reply(muniment.Text(request.inputs["topic"].text + "word " * drawn))

@muniment.hookimpl
def muniment_generators(register):
    register(Reader)
"""


@pytest.fixture
def workspace(home: Path, plugin_folder: PluginFolder) -> Iterator[Workspace]:
    from muniment.plugins.discovery import Plugin

    plugin_folder.all.append(
        Plugin("muniment-analysis", "0.1.0", "analysis", "muniment_analysis.plugin")
    )
    add_dial(plugin_folder, control=1, noise=4, refuses="'refuse' in request.prompt")
    made = Workspace(home, plugin_folder)
    yield made
    made.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "设计.yaml"
    path.write_text(design(), encoding="utf-8")
    return path


def run(workspace: Workspace, *arguments: str) -> CommandResult:
    return run_command(analyze, "controllability", *arguments, session=workspace.session)


class TestControllability(CommandContract):
    command = controllability
    arguments: ClassVar = ("--run", "last")

    @pytest.fixture
    def session(self, workspace: Workspace, path: Path) -> Any:
        run(workspace, str(path))
        return workspace.session


def test_the_tables_name_shares_intervals_and_worst_items(workspace: Workspace, path: Path) -> None:
    result = run(workspace, str(path), "--replay", "2")
    assert result.code == 0
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    shares = {row[1]: row[2] for row in rows if row[0] == "text-statistics.words"}
    assert {"controllability", "paraphrase", "level", "paraphrase:level", "seed"} <= set(shares)
    assert shares["level"] == shares["controllability"]
    assert "2 exact" in result.stdout
    assert result.stderr.count("10 items") == 1
    assert "Warning: 10 items give wide intervals" in result.stderr
    assert "`muniment analyze plan`" in result.stderr
    assert "120 generations" in result.stderr


def test_a_recorded_run_is_analysed_again_with_the_same_numbers(
    workspace: Workspace, path: Path
) -> None:
    first = run(workspace, str(path), "--json")
    again = run(workspace, "--run", "last", "--json")
    assert first.json == again.json
    assert len(list(workspace.session.generations())) == 120


def test_files_follow_their_suffix_and_are_checked_first(
    workspace: Workspace, path: Path, tmp_path: Path
) -> None:
    files = [tmp_path / name for name in ("r.html", "r.csv", "r.json")]
    outputs = [text for file in files for text in ("-o", str(file))]
    result = run(workspace, str(path), *outputs)
    assert result.code == 0
    page, table, body = (file.read_text(encoding="utf-8") for file in files)
    assert page.count("<svg") >= 3
    assert table.startswith("\ufeffmeasure,")
    assert json.loads(body)["generator"] == "dial"
    refused = run(workspace, str(path), "-o", str(tmp_path / "r.txt"))
    assert (refused.code, refused.stdout) == (2, "")
    assert ".html" in refused.stderr
    exists = run(workspace, str(path), "-o", str(files[0]))
    assert exists.code == 2
    assert len(list(workspace.session.generations())) == 120


@pytest.mark.parametrize(
    "arguments",
    [(), ("--run", "last", "--resume", "last"), ("d.yaml", "--run", "last"), ("no.yaml",)],
)
def test_one_source_of_outputs_is_needed(workspace: Workspace, arguments: tuple[str, ...]) -> None:
    result = run(workspace, *arguments)
    assert (result.code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1


def test_an_experiment_that_stopped_before_its_first_generation_is_continued(
    workspace: Workspace,
) -> None:
    plan = parse_design(design(), "d.yaml")
    workspace.session.record_experiment(RUN, design(), levels_of(plan))
    assert RUN in run(workspace, "--run", "last").stderr  # to be continued
    [body] = run(workspace, "--resume", "last", "--json").json
    assert (body["run"], body["sample"]["complete"]) == (RUN, 10)


@pytest.mark.parametrize(
    "arguments",
    [
        {"items": 2},
        {"settings": "{nothing: [0, 10]}"},
        {"settings": "{level: [0, 1000]}"},
        {"measures": ["no-measure"]},
    ],
)
def test_a_design_that_cannot_run_prints_only_its_error_and_records_nothing(
    workspace: Workspace, path: Path, arguments: dict[str, Any]
) -> None:
    path.write_text(design(**arguments), encoding="utf-8")
    result = run(workspace, str(path))
    assert (result.code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert not (workspace.home / "muniment.db").exists()


@pytest.mark.parametrize("option", ["--policy", "--measure"])
def test_an_experiment_is_not_continued_with_a_policy_or_measure_that_does_not_exist(
    workspace: Workspace, option: str
) -> None:
    plan = parse_design(design(), "d.yaml")
    workspace.session.record_experiment(RUN, design(), levels_of(plan))
    result = run(workspace, "--resume", "last", option, "no-such")
    assert (result.code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert RUN not in result.stderr


def test_measures_of_the_command_are_scored_and_checked_first(
    workspace: Workspace, path: Path
) -> None:
    refused = run(workspace, str(path), "--measure", "a(")
    assert (refused.code, refused.stdout) == (2, "")
    assert not (workspace.home / "muniment.db").exists()
    path.write_text(design(measures=["wording"]), encoding="utf-8")
    [body] = run(workspace, str(path), "--measure", "text-statistics.words", "--json").json
    assert [measure["measure"] for measure in body["measures"]] == ["text-statistics.words"]


def test_items_that_are_left_out_are_printed_with_the_loss_of_each_setting(
    workspace: Workspace, path: Path
) -> None:
    path.write_text(design(items=12).replace("题 3 #1", "refuse 3 #1"), encoding="utf-8")
    rows = [line.split("\t") for line in run(workspace, str(path)).stdout.splitlines()]
    assert ["item-3", "4 failed"] in rows
    assert rows[-2:] == [["level=0", "2"], ["level=10", "2"]]


def test_a_design_with_inputs_is_continued_from_its_folder(
    workspace: Workspace, tmp_path: Path, plugin_folder: PluginFolder
) -> None:
    plugin_folder.add(READER, distribution="reader-plugin")
    folder = tmp_path / "设计"
    folder.mkdir()
    items = ""
    for number in range(10):
        (folder / f"{number}.txt").write_text("word " * (number + 1), encoding="utf-8")
        items += f"  - {{id: i{number}, paraphrases: [a, b], inputs: {{topic: {number}.txt}}}}\n"
    path = folder / "d.yaml"
    document = (
        f"version: 1\ngenerator: reader\nitems:\n{items}settings: {{}}\nreplicates: 2\nseed: 1"
    )
    path.write_text(document, encoding="utf-8")
    plan = parse_design(document, "d.yaml")

    def stop(generation: muniment.Generation) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_experiment(workspace.session, plan, document, RUN, folder=folder, on_generation=stop)
    resumed = run(workspace, str(path), "--resume", RUN, "--json")
    assert resumed.code == 0
    [body] = resumed.json
    assert body["sample"]["complete"] == 10
    path.write_text(document.replace("seed: 1", "seed: 2"), encoding="utf-8")
    changed = run(workspace, str(path), "--resume", RUN)
    assert (changed.code, changed.stdout) == (2, "")
    assert RUN in changed.stderr


def test_the_words_of_the_command_are_these() -> None:
    assert run_command(analyze, "controllability", "--help", session=object()).code == 0
    assert ["analyze", "controllability"]
