"""Optional prompts, evaluators and repeated requests on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.commands import Here
from support.plugins import PluginFolder

DOTS = "for r in requests: yield r.reply(Text(f'{r.prompt}.{r.seed}'))"


@pytest.fixture
def optional(plugin_folder: PluginFolder) -> PluginFolder:
    plugin_folder.generator(
        "free", DOTS, attributes="prompt = 'optional'", parameters="negative: str = param('')"
    )
    plugin_folder.add(
        """
        import muniment
        class Scaled(muniment.Evaluator):
            name, measures = "scaled", (muniment.Measure("value"),)
            class Parameters(muniment.Parameters):
                by: float = muniment.param(1.0)
                note: str = muniment.param("")
            def evaluate(self, generation):
                return {"value": self.parameters.by}
        @muniment.hookimpl
        def muniment_evaluators(register): register(Scaled)
        """
    )
    return plugin_folder


def generated(muniment: Here, *arguments: str) -> dict[str, Any]:
    result = muniment("generate", *arguments, "--json")
    assert result.code == 0, result.err
    (value,) = result.json("generation")
    return dict(value)


def test_a_prompt_can_be_omitted_where_it_is_optional(
    muniment: Here, optional: PluginFolder
) -> None:
    assert generated(muniment, "free", "--seed", "3")["outputs"][0]["text"] == ".3"
    assert "Usage: muniment generate free [OPTIONS] [PROMPT]" in (
        muniment("generate", "free", "--help").out
    )
    result = muniment("generate", "echo")
    assert result.code == 2
    assert "echo needs a prompt" in result.err
    usage = muniment("generate", "echo", "--help").out
    assert "Usage: muniment generate echo [OPTIONS] PROMPT" in usage


def test_a_recorded_request_is_repeated_with_changes(
    muniment: Here, optional: PluginFolder
) -> None:
    first = generated(muniment, "free", "a b", "--seed", "5", "--negative", "x", "--tag", "t")
    again = generated(muniment, "--like", "last")
    assert (again["prompt"], again["seed"], again["tags"]) == ("a b", "5", ["t"])
    assert again["outputs"] == first["outputs"]
    assert again["parents"] == [first["id"]]
    changed = generated(muniment, f"--like={first['id']}", "c", "--seed", "6", "-p", "negative=y")
    assert (changed["prompt"], changed["seed"], changed["parameters"]) == (
        "c",
        "6",
        {"negative": "y"},
    )
    named = generated(muniment, "free", "--like", first["id"][:20], "--negative", "z")
    assert (named["prompt"], named["parameters"]) == ("a b", {"negative": "z"})
    result = muniment("generate", "--like", first["id"], "-n", "2", "--json")
    assert [item["seed"] == "5" for item in result.json("generation")] == [True, False]


def test_a_request_can_be_repeated_with_another_generator(
    muniment: Here, optional: PluginFolder
) -> None:
    first = generated(muniment, "echo", "a", "--seed", "5")
    other = generated(muniment, "free", "--like", first["id"], "--negative", "b")
    assert (other["prompt"], other["seed"]) == ("a", "5")
    assert other["parameters"] == {"negative": "b"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(["--like"], "requires an argument"), (["--like", "ZZZZ"], "ZZZZ"), (["--like="], "requires")],
)
def test_a_reference_to_nothing_is_a_usage_error(
    muniment: Here, optional: PluginFolder, arguments: list[str], sentence: str
) -> None:
    generated(muniment, "free")
    result = muniment("generate", *arguments)
    assert result.code == 2
    assert sentence in result.err


def test_evaluators_are_named_with_their_parameters(muniment: Here, optional: PluginFolder) -> None:
    value = generated(
        muniment, "free", "--evaluate", "scaled(by=2)", "--evaluate", 'scaled(note="a b")'
    )
    assert [score["evaluator"] for score in value["scores"]] == [
        "scaled(by=2.0)",
        'scaled(note="a b")',
    ]
    shown = muniment("audit", "show", "last").out
    assert "scaled(by=2.0) value: 2" in shown
    result = muniment("generate", "free", "--evaluate", "scaled(by=x)")
    assert result.code == 2
    assert "evaluator scaled: by must be a number" in result.err
    lines = b'{}\n{"prompt": "b"}\n'
    result = muniment("batch", "-", "--generator", "free", "--evaluate", "scaled", stdin=lines)
    assert result.code == 0
    listed = muniment("audit", "list", "--score", "scaled.value=2", "--json").json("generation")
    assert [item["id"] for item in listed] == [value["id"]]


def test_the_model_of_a_parameter_is_printed_and_never_replaced(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    plugin_folder.generator(
        "adapted", DOTS, parameters="adapter: str | None = param(None, model=True)"
    )
    (tmp_path / "style").mkdir()
    (tmp_path / "style" / "w").write_text("3")
    folder = str(tmp_path / "style")
    value = generated(muniment, "adapted", "a", "--adapter", folder)
    model = value["models"]["adapter"]
    assert model["name"] == folder
    shown = muniment("audit", "show", "last", "--full").out
    assert f"adapter = {folder}" in shown
    assert model["digest"] in shown
    generated(muniment, "adapted", "a", "--seed", value["seed"])
    assert model["digest"] in muniment("audit", "diff", value["id"], "last").out
    arguments = ("adapted", "a", "--adapter", folder, "-o", f"{folder}/w", "--overwrite")
    assert muniment("generate", *arguments).code == 2
    assert (tmp_path / "style" / "w").read_text() == "3"
    assert muniment("audit", "replay", value["id"]).code == 0
    (tmp_path / "style" / "w").write_text("4")
    result = muniment("audit", "replay", value["id"], "--json")
    assert "impossible" in result.out


def test_a_named_evaluator_that_does_not_read_the_output_is_noted_once(
    muniment: Here, plugin_folder: PluginFolder
) -> None:
    plugin_folder.generator(
        "binary",
        "for r in requests: yield r.reply(Output('application/x-dots', b'DOTS\\xff'))",
        media_type="application/x-dots",
    )
    plugin_folder.evaluator("words", "return {'value': 1}")
    made = muniment("generate", "binary", "x", "-n", "2", "--evaluate", "words", "--json")
    assert [item["scores"] for item in made.json("generation")] == [[], []]
    (note,) = [line for line in made.err.splitlines() if "evaluator words" in line]
    assert "application/x-dots" in note
    assert "text/plain" in note
    assert "evaluator" not in muniment("generate", "binary", "x", "--json").err


def test_an_evaluator_that_fails_is_printed_and_counted(
    muniment: Here, plugin_folder: PluginFolder
) -> None:
    plugin_folder.generator("free", "for r in requests: yield r.reply(Text(r.prompt))")
    plugin_folder.evaluator("broken", "1 / 0", measures="Measure('a'), Measure('b')")
    made = muniment("generate", "free", "x", "--evaluate", "broken")
    assert made.code == 0
    (note,) = [line for line in made.err.splitlines() if "evaluator broken" in line]
    assert "ZeroDivisionError" in note
    assert ".py:" in note
    assert ".py:" in muniment("audit", "show", "last").out
    lines = b'{"prompt": "a"}\n{"prompt": "b"}'
    arguments = ("batch", "-", "--generator", "free", "--evaluate", "broken")
    done = muniment(*arguments, stdin=lines)
    assert done.code == 0
    assert done.err.count("Warning: evaluator broken") == 1
    assert "evaluator broken failed 2 times" in done.err.splitlines()[-1]
