"""Generators that score texts and represent outputs as vectors, here and in a worker process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import muniment
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
