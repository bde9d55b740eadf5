"""Evaluators: a broken one fails its own scores and nothing else."""

from __future__ import annotations

import dataclasses
import json

import pytest

import muniment
from muniment import Generation, Score
from support.workspace import Workspace

ECHO = "for request in requests: yield request.reply(Text(request.prompt))"


def scored(workspace: Workspace, prompt: str = "four") -> Generation:
    workspace.plugin_folder.generator("echo", ECHO)
    (done,) = workspace.run(prompt)
    assert done.status == "completed"
    assert workspace.recorded() == [done]
    return done


def test_scores_have_unit_direction_and_version(workspace: Workspace) -> None:
    workspace.plugin_folder.evaluator(
        "size",
        "return {'length': len(generation.text), 'spread': 0.5}",
        measures="Measure('length', 'characters'), Measure('spread', '', True), Measure('other')",
        attributes="version = '4'; default = True",
    )
    scores = scored(workspace).scores
    assert [dataclasses.replace(score, latency_ms=0) for score in scores] == [
        Score("size", "4", "length", 4.0, "characters", None),
        Score("size", "4", "spread", 0.5, "", True),
    ]


def test_scores_have_the_running_time_of_their_evaluator(workspace: Workspace) -> None:
    workspace.plugin_folder.evaluator(
        "slow",
        "import time; time.sleep(0.02); return {'a': 1, 'b': 2}",
        measures="Measure('a'), Measure('b')",
    )
    workspace.plugin_folder.evaluator("broken", "import time; time.sleep(0.01); 1 / 0")
    first, second, failed = sorted(scored(workspace).scores, key=lambda score: score.name)
    assert first.latency_ms == second.latency_ms >= 20
    assert failed.latency_ms >= 10
    assert failed.value is None


def test_an_evaluator_sees_the_generation_with_its_verdicts_and_trace(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "echo",
        "for r in requests: yield r.reply(Text('a'), trace=Trace((1, 2), (-1., -3.), (1., 1.)))",
    )
    workspace.plugin_folder.filter("fine", "return content.allow()")
    workspace.plugin_folder.evaluator(
        "seen", "return {'value': len(generation.verdicts) - sum(generation.trace.logprobs)}"
    )
    (done,) = workspace.run("x", policy=workspace.policy("{filter: fine}"))
    assert [score.value for score in done.scores] == [6.0]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("raise RuntimeError('broken')", "RuntimeError: broken"),
        ("raise SystemExit(1)", "SystemExit: 1"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("return {'value': float('nan')}", "value is nan"),
        ("return {'value': float('inf')}", "value is inf"),
        ("return {'value': '1'}", "value is str, not a number"),
        ("return {'value': None}", "value is NoneType, not a number"),
        ("return {'value': True}", "value is bool, not a number"),
        ("return {'value': 10**400}", "OverflowError"),
        ("return {'values': 1}", "'values' is not among its measures"),
        ("return None", "TypeError"),
        ("return 5", "TypeError"),
    ],
)
def test_an_evaluator_that_fails_fails_only_its_own_scores(
    workspace: Workspace, body: str, complaint: str
) -> None:
    workspace.plugin_folder.evaluator(
        "broken", body, measures="Measure('value', 'u', False), Measure('more')"
    )
    workspace.plugin_folder.evaluator("fine", "return {'value': 1}")
    done = scored(workspace)
    value, more, fine = done.scores
    assert (value.name, value.value, value.unit) == ("value", None, "u")
    assert (more.name, more.value) == ("more", None)
    assert value.failure == more.failure
    assert str(value.failure).startswith("evaluator broken failed: ")
    assert complaint in str(value.failure)
    assert (fine.value, fine.failure) == (1.0, None)


def test_a_measure_that_does_not_apply_is_left_out(workspace: Workspace) -> None:
    workspace.plugin_folder.evaluator("none", "return {}")
    assert scored(workspace).scores == ()


def test_evaluators_that_are_no_defaults_run_when_they_are_named(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.plugin_folder.evaluator("usual", "return {'value': 1}")
    workspace.plugin_folder.evaluator("extra", "return {'value': 2}", attributes="default = False")
    (done,) = workspace.run("x")
    assert [score.evaluator for score in done.scores] == ["usual"]
    workspace.close()
    (workspace.home / "config.toml").write_text('policy = "none"\nevaluators = " extra , usual "\n')
    (done,) = workspace.run("x")
    assert [score.evaluator for score in done.scores] == ["extra", "usual"]
    workspace.close()
    (workspace.home / "config.toml").write_text('policy = "none"\nevaluators = ""\n')
    (done,) = workspace.run("x")
    assert done.scores == ()


def test_an_evaluator_that_is_named_and_cannot_be_had_is_an_error(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.plugin_folder.evaluator("usual", "return {}")
    (workspace.home / "config.toml").write_text('policy = "none"\nevaluators = "gone"\n')
    with pytest.raises(muniment.UsageError, match="no evaluator named 'gone'; available: usual"):
        workspace.session.generate("x")


@pytest.mark.parametrize(
    ("heavy", "complaint"),
    [
        ("import no_such_module_here", "ModuleNotFoundError"),
        (
            (
                "import muniment\n"
                "class Heavy(muniment.Evaluator):\n"
                "    name, default, measures = 'lazy', True, ()\n"
                "    def __init__(self, *arguments): raise OSError('no table')\n"
                "    def evaluate(self, generation): return {}\n"
            ),
            "cannot be created: OSError: no table",
        ),
    ],
)
def test_a_default_evaluator_that_cannot_be_had_is_left_out_and_reported(
    workspace: Workspace, heavy: str, complaint: str
) -> None:
    workspace.plugin_folder.add(
        """
        import muniment
        @muniment.hookimpl
        def muniment_evaluators(register):
            register("{package}.heavy:Heavy", name="lazy")
        """,
        files={"heavy.py": heavy},
    )
    workspace.plugin_folder.evaluator("fine", "return {'value': 1}")
    assert [score.evaluator for score in scored(workspace).scores] == ["fine"]
    (broken,) = workspace.session.plugins.broken
    assert complaint in broken.message
    assert "Error" in broken.traceback


def test_an_evaluator_is_asked_only_about_the_media_types_it_declares(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "brush",
        "for request in requests: yield request.reply(Output('image/png', b'x'))",
        media_type="image/png",
    )
    workspace.plugin_folder.evaluator("words", "return {'value': 1}")
    workspace.plugin_folder.evaluator(
        "pixels",
        "return {'value': 2}",
        attributes="default = True; media_types = ('image/png', 'image/jpeg')",
    )
    (done,) = workspace.run("x", generator="image")
    assert [score.evaluator for score in done.scores] == ["pixels"]


def test_blocked_and_failed_generations_are_not_measured(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("choosy", "for request in requests: yield request.fail('no')")
    workspace.plugin_folder.evaluator("size", "return {'value': 1}")
    (done,) = workspace.run("x")
    assert (done.status, done.scores) == ("failed", ())


# ---- parameters and models ---------------------------------------------------------------------

SCALED = """
def __init__(self, parameters, models):
    super().__init__(parameters, models)
    if parameters.scale == 13:
        raise muniment.ParameterError('scale', 'scale cannot be 13')
default = True
class Parameters(muniment.Parameters):
    scale: float = param(1.0, ge=0)
    words: list[str] = param([])
    note: str | None = param('')
    clip: str | None = param(None, model=True)
"""


@pytest.fixture
def scaled(workspace: Workspace) -> Workspace:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.plugin_folder.add(
        "import muniment\nfrom muniment import param, Measure\n"
        "class Scaled(muniment.Evaluator):\n"
        "    name, measures = 'scaled', (Measure('value'),)\n"
        + "".join(f"    {line}\n" for line in SCALED.strip().splitlines())
        + "    def evaluate(self, generation):\n"
        "        from pathlib import Path\n"
        "        files = [Path(model.path, 'w') for model in self.models.values()]\n"
        "        extra = sum(int(file.read_text()) for file in files)\n"
        "        return {'value': self.parameters.scale * len(generation.text) + extra}\n"
        "@muniment.hookimpl\n"
        "def muniment_evaluators(register): register(Scaled)\n"
    )
    return workspace


def test_evaluators_of_one_class_run_with_different_parameters(scaled: Workspace) -> None:
    done = scaled.session.generate(
        "four", evaluate=["scaled", "scaled(scale=2)", "scaled( scale = 2.0 ),scaled(scale=3.5)"]
    )
    assert [(score.evaluator, score.value) for score in done.scores] == [
        ("scaled", 4.0),
        ("scaled(scale=2.0)", 8.0),
        ("scaled(scale=3.5)", 14.0),
    ]
    defaults = {"scale": 1.0, "words": (), "note": "", "clip": None}
    assert done.scores[0].parameters == defaults
    assert done.scores[1].parameters == {**defaults, "scale": 2.0}
    assert scaled.recorded() == [done]
    assert json.loads(json.dumps(done.to_json()))["scores"][1]["parameters"]["scale"] == 2.0
    scaled.check()


def test_a_setting_and_a_batch_name_evaluators_with_parameters(scaled: Workspace) -> None:
    setting = 'scaled(words=["a, b", "c"], note="卫 (星)"), scaled'
    (scaled.home / "config.toml").write_text(f"policy = \"none\"\nevaluators = '{setting}'\n")
    done = scaled.session.generate("x")
    names = [score.evaluator for score in done.scores]
    assert names == ['scaled(words=["a, b", "c"], note="卫 (星)")', "scaled"]
    again = scaled.session.generate("x", evaluate=names)
    assert [score.evaluator for score in again.scores] == names
    assert [score.parameters for score in again.scores] == [s.parameters for s in done.scores]
    (of_batch,) = scaled.session.batch([b'{"prompt": "x"}'], evaluate=["scaled(note=null)"])
    assert [score.evaluator for score in of_batch.scores] == ["scaled(note=null)"]
    assert scaled.session.generate("x", evaluate=[]).scores == ()


def test_the_model_of_an_evaluator_is_recorded_by_its_digest(scaled: Workspace) -> None:
    folder = scaled.home / "clip"
    folder.mkdir()
    (folder / "w").write_text("100")
    done = scaled.session.generate("four", evaluate=[f"scaled(clip={folder})"])
    (score,) = done.scores
    assert (score.value, score.evaluator) == (104.0, f"scaled(clip={folder})")
    assert score.models["clip"].startswith("tree1-sha256:")
    assert scaled.recorded() == [done]
    scaled.check()


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("scaled(scale=-1)", "evaluator scaled: scale must be"),
        ("scaled(scale=13)", "scale cannot be 13"),
        ("scaled(gone=1)", "no parameter named 'gone'"),
        ("scaled(clip=gone)", "no model named 'gone'"),
        ("scaled(scale=1, scale=2)", "scale twice"),
        ("scaled(scale=)", "does not name evaluators"),
        ("scaled(scale", "does not name evaluators"),
        ("scaled)", "does not name evaluators"),
        ('scaled(note="a)', "does not name evaluators"),
        ("scaled(scale=1) scaled", "does not name evaluators"),
        ('scaled(words={"a": 1})', "does not name evaluators"),
        ("scaled(words=[1])", "words must be"),
        ("(scale=1)", "does not name evaluators"),
    ],
)
def test_an_evaluator_that_is_named_wrongly_is_a_usage_error(
    scaled: Workspace, name: str, complaint: str
) -> None:
    with pytest.raises(muniment.UsageError) as caught:
        scaled.session.generate("x", evaluate=[name])
    assert complaint in str(caught.value)
    assert not (scaled.home / "muniment.db").exists()


def test_an_evaluator_of_text_reads_json(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "rows",
        "for r in requests: yield r.reply(Output('application/vnd.rows+json', b'[1, 2]'))",
        media_type="application/vnd.rows+json",
    )
    workspace.plugin_folder.evaluator("size", "return {'value': len(generation.text)}")
    (done,) = workspace.run("x", generator="rows")
    assert [score.value for score in done.scores] == [6.0]


def test_names_of_evaluators_are_parsed_for_plugins() -> None:
    [first, second] = muniment.parse_evaluators('similarity(scale=2, to="海"), perplexity')
    assert first == muniment.EvaluatorSpec("similarity", {"scale": "2", "to": "海"})
    assert second.parameters == {}
