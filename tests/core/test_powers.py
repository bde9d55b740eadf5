"""Generators that score texts and represent outputs as vectors, here and in a worker process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import muniment
import muniment.testing
from support.plugins import PluginFolder
from support.workers import IsolatedWorkspace
from support.workspace import Workspace

METHODS = """
    def score(self, requests, texts):
        return [
            TokenScores(
                [ord(char) for char in text],
                [-len(request.prompt) - 0.5] * len(text),
                [(place, place + 1) for place in range(len(text))],
            )
            for request, text in zip(requests, texts)
        ]

    def embed(self, outputs):
        return [[len(output.data), 1] for output in outputs]
"""


@pytest.fixture(params=[Workspace, IsolatedWorkspace], ids=["in-process", "isolated"])
def workspace(
    request: pytest.FixtureRequest, home: Path, plugin_folder: PluginFolder
) -> Iterator[Workspace]:
    made = request.param(home, plugin_folder)
    yield made
    made.session.close()


def add(workspace: Workspace, methods: str = METHODS) -> None:
    plugin = f"""
from muniment import Generator, Text, TokenScores, hookimpl

class Able(Generator):
    name = "able"
    media_type = "text/plain"

    def generate(self, requests):
        for request in requests:
            yield request.reply(Text(request.prompt))
{methods}

@hookimpl
def muniment_generators(register):
    register(Able)
"""
    workspace.plugin_folder.add(plugin, distribution="able-plugin")


def test_texts_are_scored_with_their_prompts(workspace: Workspace) -> None:
    add(workspace)
    scored = workspace.session.score(["ab", "月"], prompts=["", "xy"], generator="able")
    assert isinstance(scored, muniment.ScoredTexts)
    first, second = scored.scores
    assert (list(first.token_ids), list(first.logprobs)) == ([97, 98], [-0.5, -0.5])
    assert [tuple(pair) for pair in second.offsets] == [(0, 1)]
    assert list(second.logprobs) == [-2.5]
    assert scored.model is None
    assert scored.plugin.distribution == "able-plugin"
    assert scored.plugin.digest.startswith("tree1-sha256:")


def test_outputs_become_vectors(workspace: Workspace) -> None:
    add(workspace)
    outputs = [muniment.Text("ab"), muniment.Text("月")]
    embedded = workspace.session.embed(outputs, generator="able")
    assert isinstance(embedded, muniment.Embeddings)
    assert [list(vector) for vector in embedded.vectors] == [[2, 1], [3, 1]]
    assert workspace.session.embed([], generator="able").vectors == ()


def test_a_generator_without_the_power_is_refused_and_an_able_one_named(
    workspace: Workspace,
) -> None:
    add(workspace)
    workspace.plugin_folder.generator("plain", "yield from ()")
    for call in (
        lambda: workspace.session.score(["a"], generator="plain"),
        lambda: workspace.session.embed([muniment.Text("a")], generator="plain"),
    ):
        with pytest.raises(muniment.UsageError, match=r"plain cannot .*; use able"):
            call()


def test_a_prompt_is_needed_for_each_text(workspace: Workspace) -> None:
    add(workspace)
    with pytest.raises(muniment.UsageError, match="2 texts have 1 prompts"):
        workspace.session.score(["a", "b"], prompts=["x"], generator="able")


@pytest.mark.parametrize(
    "body",
    [
        "return []",
        "return None",
        "raise RuntimeError('broken')",
        "return [1]",
        "return [TokenScores([1], [float('nan')], [(0, 1)])]",
        "return [TokenScores([1], [-1.0], [(0, 9)])]",
        "return [TokenScores([1, 2], [-1.0], [(0, 1)])]",
    ],
)
def test_an_invalid_score_is_an_error_of_the_plugin(workspace: Workspace, body: str) -> None:
    add(workspace, f"\n    def score(self, requests, texts):\n        {body}\n")
    with pytest.raises(muniment.PluginError, match="able failed"):
        workspace.session.score(["a"], generator="able")


@pytest.mark.parametrize(
    "body",
    ["return []", "return [[]]", "return [['x']]", "return [[float('inf')]]", "return 5"],
)
def test_an_invalid_vector_is_an_error_of_the_plugin(workspace: Workspace, body: str) -> None:
    add(workspace, f"\n    def embed(self, outputs):\n        {body}\n")
    with pytest.raises(muniment.PluginError, match="able failed"):
        workspace.session.embed([muniment.Text("a")], generator="able")


def test_a_spec_is_checked_without_recording(workspace: Workspace) -> None:
    add(workspace)
    workspace.session.check(muniment.GenerationSpec("x", generator="able"))
    with pytest.raises(muniment.UsageError, match="no parameter"):
        workspace.session.check(
            muniment.GenerationSpec("x", generator="able", parameters={"heat": 1})
        )
    assert not (workspace.home / "muniment.db").exists()


JUDGED = """
from pathlib import Path
from muniment import *

class Able(Generator):
    name, media_type, uses_model = "able", "text/plain", True

    def load(self, model):
        self.word = (Path(model.path) / "word.txt").read_text()

    def packaged_models(self):
        return [PackagedModel("packed", "packed")]

    def add_model(self, source, into, progress):
        (into / "word.txt").write_text(source)
        return {"name": Path(source).name}

    def find_model(self, source):
        raise ModelError(source, "there is none")

    def generate(self, requests):
        for request in requests:
            yield request.reply(Text(request.prompt))
""" + METHODS.replace("- 0.5", "- len(self.word)")

JUDGE = """
from muniment import *

class Judge(Evaluator):
    name = "judge"
    measures = (Measure("surprise"), Measure("width"))

    class Parameters(Parameters):
        model: str = param("", model=True)
        named: str = param("model")

    def evaluate(self, generation):
        name = self.parameters.named
        [scores] = self.powers.score(name, [generation.text], [generation.prompt])
        [vector] = self.powers.embed(name, generation.outputs)
        return {"surprise": -sum(scores.logprobs), "width": vector[0]}

@hookimpl
def muniment_evaluators(register):
    register(Judge)
"""
REGISTER = """
@hookimpl
def muniment_generators(register):
    register(Able)
"""


@pytest.fixture(params=[True, False], ids=["one-plugin", "two-plugins"])
def judged(request: pytest.FixtureRequest, workspace: Workspace) -> Workspace:
    """A workspace with a generator with powers, and an evaluator that uses them."""
    if request.param:
        workspace.plugin_folder.add(JUDGED + REGISTER + JUDGE, distribution="able-plugin")
    else:
        workspace.plugin_folder.add(JUDGED + REGISTER, distribution="able-plugin")
        workspace.plugin_folder.add(JUDGE, distribution="judge-plugin")
    workspace.plugin_folder.generator(
        "plain", "for request in requests: yield request.reply(Text('ab'))"
    )
    return workspace


def evaluated(workspace: Workspace, evaluator: str) -> muniment.Generation:
    made = workspace.session.generate("xyz", generator="plain", policy="none", evaluate=[evaluator])
    return workspace.session.generation(made.id)


def test_an_evaluator_uses_the_model_that_its_parameter_names(judged: Workspace) -> None:
    made = evaluated(judged, "judge(model=packed)")
    assert {score.name: score.value for score in made.scores} == {"surprise": 18, "width": 2}
    [digest] = {score.models["model"] for score in made.scores}
    assert digest == judged.session.models.get("packed").digest
    # The plugin of the generator that scored is in the record, too.
    assert "able-plugin" in [plugin.distribution for plugin in made.plugins]
    [group] = judged.session.evaluate([made.id], ["judge(model=packed)"])
    assert group.scores(made.id) == made.scores
    assert "able-plugin" in [plugin.distribution for plugin in group.plugins]


def test_a_model_of_a_folder_has_the_only_generator_with_the_power(
    judged: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "word.txt").write_text("long word")
    made = evaluated(judged, f'judge(model="{tmp_path}")')
    assert {score.name: score.value for score in made.scores} == {"surprise": 24, "width": 2}


def test_a_parameter_without_a_model_has_no_powers(judged: Workspace) -> None:
    for evaluator in ("judge", "judge(model=packed, named=other)"):
        [failure] = {score.failure for score in evaluated(judged, evaluator).scores}
        assert failure
        assert "names no model" in failure


def test_an_unknown_model_is_refused_before_anything_is_generated(judged: Workspace) -> None:
    with pytest.raises(muniment.UnknownNameError, match="nothere"):
        evaluated(judged, "judge(model=nothere)")


class FixedPowers:
    """Powers with fixed results, as a test of an evaluator sets them."""

    def score(
        self, parameter: str, texts: Sequence[str], prompts: Sequence[str] | None = None
    ) -> Sequence[muniment.TokenScores]:
        return [muniment.TokenScores([1], [-1.0], [(0, len(text))]) for text in texts]

    def embed(self, parameter: str, outputs: Sequence[muniment.Output]) -> list[list[float]]:
        return [[float(len(output.data))] for output in outputs]


def test_powers_of_a_test_can_be_set_and_no_others_exist_without_a_session() -> None:
    class Alone(muniment.Evaluator):
        name = "alone"
        measures = (muniment.Measure("width"),)

        def evaluate(self, generation: muniment.Generation) -> dict[str, float]:
            [[width]] = self.powers.embed("model", generation.outputs)
            return {"width": width}

    alone, text = Alone(), muniment.testing.generation("abc")
    with pytest.raises(muniment.UsageError, match="powers"):
        alone.evaluate(text)
    powers: muniment.ModelPowers = FixedPowers()
    alone.powers = powers
    assert alone.evaluate(text) == {"width": 3}


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        ("raise RuntimeError('deep')", "generator able failed"),
        ("raise UsageError('not this text')", "not this text"),
        ("import os\n        os._exit(3)", "worker process"),
    ],
)
def test_a_generator_that_fails_costs_the_evaluator_only_its_scores(
    home: Path, plugin_folder: PluginFolder, body: str, failure: str
) -> None:
    """The last one ends the worker that waits for the answer."""
    workspace = IsolatedWorkspace(home, plugin_folder)
    broken = f"\n    def score(self, requests, texts):\n        {body}\n"
    plugin_folder.add(JUDGED + broken + REGISTER + JUDGE, distribution="able-plugin")
    plugin_folder.generator("plain", "for request in requests: yield request.reply(Text('ab'))")
    for _ in range(2):  # the worker can be used again
        made = evaluated(workspace, "judge(model=packed)")
        [reason] = {score.failure for score in made.scores}
        assert made.status == "completed"
        assert failure in (reason or "")
    workspace.session.close()


def test_the_time_of_a_power_does_not_count_for_the_evaluator(
    home: Path, plugin_folder: PluginFolder
) -> None:
    workspace = IsolatedWorkspace(home, plugin_folder)
    home.mkdir(exist_ok=True)
    workspace.set("judge-plugin", timeout=2)
    slow = JUDGED.replace("self.word = ", "__import__('time').sleep(3); self.word = ")
    plugin_folder.add(slow + REGISTER, distribution="able-plugin")
    plugin_folder.add(JUDGE, distribution="judge-plugin")
    plugin_folder.generator("plain", "for request in requests: yield request.reply(Text('ab'))")
    made = evaluated(workspace, "judge(model=packed)")
    assert {score.name: score.value for score in made.scores} == {"surprise": 18, "width": 2}
    workspace.session.close()
