"""Every message about an exception of a plugin has the file and line of the plugin."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.commands import Here, Processes
from support.plugins import PluginFolder

ANSWER = "for r in requests: yield r.reply(Text(r.prompt))"
OUTPUTS_ONLY = """
if content.stage == "output": 1 / 0
return content.allow()
"""
PARAMETERS = """
import muniment
from muniment import Output

class Odd(muniment.Generator):
    name, media_type = "odd", "text/plain"

    class Parameters(muniment.Parameters):
        def __init__(self, **values):
            1 / 0

    def generate(self, requests):
        yield

@muniment.hookimpl
def muniment_generators(register):
    register(Odd)
"""
PROVIDER = """
import muniment

class Odd(muniment.Generator):
    name, media_type, uses_model = "odd", "text/plain", True

    def packaged_models(self):
        return []

    def find_model(self, source):
        return ""

    def add_model(self, source, into, progress):
        return {}

    def {method}:
        1 / 0

    def generate(self, requests):
        yield

@muniment.hookimpl
def muniment_generators(register):
    register(Odd)
"""
HOOK = """
import muniment

@muniment.hookimpl
def muniment_generators(register):
    1 / 0
"""

Add = Callable[[PluginFolder], object]


def media(plugin_folder: PluginFolder) -> None:
    """Add a media type whose description fails."""
    plugin_folder.add(
        """
        import muniment

        class Dots(muniment.MediaType):
            name, media_types, suffixes = "dots", ("image/png",), (".png",)

            def describe(self, data):
                1 / 0

            def export(self, data, provenance, suffix, options):
                1 / 0

        @muniment.hookimpl
        def muniment_media_types(register):
            register(Dots)
        """
    )


def provider(method: str) -> Add:
    """Return a function that adds a generator of models with a method that fails."""
    return lambda plugin_folder: plugin_folder.add(PROVIDER.replace("{method}", method))


FAILURES: dict[str, tuple[Add, tuple[str, ...]]] = {
    "import": (lambda folder: folder.add("1 / 0"), ("generate", "odd", "x")),
    "hook": (lambda folder: folder.add(HOOK), ("generate", "odd", "x")),
    "generator": (lambda folder: folder.generator("odd", "1 / 0"), ("generate", "odd", "x")),
    "parameters": (lambda folder: folder.add(PARAMETERS), ("generate", "odd", "x")),
    "filter": (
        lambda folder: folder.filter("odd", "1 / 0"),
        ("generate", "echo", "x", "--policy", "{policy}"),
    ),
    "filter of outputs": (
        lambda folder: folder.filter("odd", OUTPUTS_ONLY),
        ("generate", "echo", "x", "--times", "2", "--policy", "{policy}"),
    ),
    "evaluator": (
        lambda folder: folder.evaluator("odd", "1 / 0"),
        ("generate", "echo", "x", "--evaluate", "odd"),
    ),
    "media type": (media, ("generate", "dots", "x", "-o", "{file}")),
    "batch": (
        lambda folder: folder.generator("odd", "1 / 0"),
        ("batch", "{lines}", "--generator", "odd"),
    ),
    "evaluator in a batch": (
        lambda folder: folder.evaluator("odd", "1 / 0"),
        ("batch", "{lines}", "--generator", "echo", "--evaluate", "odd"),
    ),
    "packaged models": (provider("packaged_models(self)"), ("generate", "odd", "x")),
    "addition": (
        provider("add_model(self, source, into, progress)"),
        ("models", "add", "a/b", "--generator", "odd"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, ()) for name in FAILURES]
    # `models add` runs no plugin in a worker process.
    + [(name, ("--isolate",)) for name, (_, words) in FAILURES.items() if words[0] != "models"],
)
def test_a_message_about_an_exception_has_its_file_and_line(
    muniment: Here,
    plugin_folder: PluginFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    options: tuple[str, ...],
) -> None:
    add, words = FAILURES[name]
    add(plugin_folder)
    policy, lines = tmp_path / "p.yaml", tmp_path / "lines.jsonl"
    policy.write_text("{policy: p, version: '1', filters: [{filter: odd}]}")
    lines.write_text(json.dumps({"prompt": "x"}))
    places = {"{policy}": str(policy), "{lines}": str(lines), "{file}": str(tmp_path / "a.png")}
    arguments = [places.get(word, word) for word in words]
    file = plugin_folder.folder / plugin_folder.all[-1].module / "__init__.py"
    place = f"{file.parent.name}/{file.name}"
    (line,) = [
        number for number, text in enumerate(file.read_text().splitlines(), 1) if "1 / 0" in text
    ][-1:]
    result = muniment(*arguments, *options)
    message = "" if name == "filter of outputs" else ": division by zero"  # it can quote the output
    assert f"ZeroDivisionError{message} ({place}:{line})" in result.err
    assert str(plugin_folder.folder) not in result.err
    assert "Traceback" not in result.err
    (tmp_path / "a.png").unlink(missing_ok=True)
    monkeypatch.setenv("MUNIMENT_TRACEBACK", "1")
    result = muniment(*arguments, *options)
    assert f'File "{file}", line {line}' in result.err
    assert f"({place}:{line})" in result.err


def test_a_replay_names_the_file_and_line(tmp_path: Path, processes: Processes) -> None:
    file = tmp_path / "shop.py"
    source = """
import os
import muniment
from muniment import Output

class Shop(muniment.Generator):
    name, media_type, determinism = "shop", "text/plain", "exact"

    def generate(self, requests):
        if "BREAK" in os.environ: 1 / 0
        for request in requests:
            yield request.reply(Output("text/plain", b"ok"))

@muniment.hookimpl
def muniment_generators(register):
    register(Shop)
"""
    file.write_text(source)
    assert processes("--plugin", file, "generate", "shop", "x").code == 0
    replayed = processes("--plugin", file, "audit", "replay", "last", BREAK="1")
    assert "(shop.py:10)" in replayed.out + replayed.err


@pytest.mark.parametrize("source", ["x = 1", "def muniment_generators(register): pass"])
def test_a_plugin_that_registers_nothing_is_told_which_functions_it_needs(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path, source: str
) -> None:
    file = tmp_path / "shop.py"
    file.write_text(source)
    failed = muniment("--plugin", file, "generate", "echo", "x")
    assert failed.code == 1
    assert "shop.py registers nothing" in failed.err
    assert "muniment_generators" in failed.err
    assert "@muniment.hookimpl" in failed.err
    plugin_folder.add(source, distribution="shop")
    warned = muniment("generate", "echo", "x")
    assert warned.code == 0
    assert "Warning: plugin shop registers nothing" in warned.err


@pytest.mark.parametrize("source", ["x = 1", "def (", "raise RuntimeError('no luck')"])
def test_batch_with_a_broken_plugin_has_the_reason_once(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path, source: str
) -> None:
    plugin_folder.add(source, distribution="shop")
    policy = tmp_path / "policy.yaml"
    policy.write_text("{policy: p, version: 1, filters: [{filter: missing}]}")
    lines = b'{"prompt": "a", "generator": "missing"}\n{"prompt": "b"}\n{"prompt": "c"}\n'
    done = muniment("batch", "-", "--generator", "echo", "--policy", policy, stdin=lines)
    warning, _, failed, blocked, again, _ = done.err.splitlines()
    assert warning.startswith("Warning: plugin shop ")
    assert done.err.count(warning.removeprefix("Warning: plugin shop ")) == 1
    for line, missing in ((failed, "generator"), (blocked, "filter"), (again, "filter")):
        assert f"no {missing} named 'missing'" in line
        assert line.count("plugin shop is broken") == 1
    # The record has the reason, and so has the first command that prints it.
    (shown, *_) = muniment("audit", "list", "--status", "failed", "--json").json("generation")
    assert warning.removeprefix("Warning: ") in shown["failure"]["message"]
    assert warning in muniment("generate", "echo", "x").err


def test_the_failures_of_an_evaluator_are_counted_after_a_batch(
    muniment: Here, plugin_folder: PluginFolder
) -> None:
    plugin_folder.evaluator("odd", "return {'value': 1 / len(generation.prompt[1:])}")
    plugin_folder.evaluator("bad", "1 / 0")
    lines = b'{"prompt": "a"}\n{"prompt": "b"}\n{"prompt": "good"}'
    done = muniment("batch", "-", "--generator", "echo", "--evaluate", "odd,bad", stdin=lines)
    assert done.code == 0
    assert done.err.count("evaluator odd failed: ") == 1
    summary = done.err.splitlines()[-1]
    assert "evaluator bad failed 3 times" in summary
    assert "evaluator odd failed 2 times" in summary


def test_a_failed_evaluator_is_mentioned_after_a_generation(
    muniment: Here, plugin_folder: PluginFolder
) -> None:
    plugin_folder.evaluator("odd", "1 / 0")
    made = muniment("generate", "echo", "x", "--evaluate", "odd")
    assert (made.code, made.out) == (0, "x\n")
    (line,) = [line for line in made.err.splitlines() if "evaluator odd" in line]
    place = f"({plugin_folder.all[-1].module}/__init__.py:"
    assert place in line
    # A folder can have the name of a person, so failures are recorded without it.
    recorded = muniment("audit", "show", "last", "--json").out
    assert place in recorded
    assert str(plugin_folder.folder) not in recorded


def test_chinese_names_work_wherever_a_name_is_used(
    muniment: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    import unicodedata

    generator, filter_, evaluator = "诗é", "违禁é", "句长é"
    other = {name: unicodedata.normalize("NFD", name) for name in (generator, filter_, evaluator)}
    plugin_folder.generator(other[generator], ANSWER)
    plugin_folder.filter(filter_, "return content.allow()")
    plugin_folder.evaluator(evaluator, "return {'value': 7.0}")
    policy = tmp_path / "p.yaml"
    policy.write_text(f"{{policy: p, version: '1', filters: [{{filter: {other[filter_]}}}]}}")
    options = ("--policy", policy, "--evaluate", other[evaluator])
    for name in (generator, other[generator]):
        for isolate in ((), ("--isolate",)):
            made = muniment("generate", name, "月亮", *options, *isolate)
            assert (made.code, made.out) == (0, "月亮\n"), made.err
    (shown,) = muniment("audit", "show", "last", "--json").json("generation")
    assert shown["generator"] == generator
    assert {verdict["filter"] for verdict in shown["verdicts"]} == {filter_}
    assert {score["evaluator"] for score in shown["scores"]} == {evaluator}
    for condition in (
        ("--generator", other[generator]),
        ("--filter", other[filter_]),
        ("--score", f"{other[evaluator]}.value>6"),
    ):
        assert len(muniment("audit", "list", *condition).lines) == 4, condition
    assert muniment("audit", "replay", "last").code == 0
    assert muniment("config", "set", "generator.text", other[generator]).code == 0
    assert muniment("config", "get", "generator.text").out == f"{generator}\n"
    assert muniment("generate", "text", "x").out == "x\n"
    assert muniment("audit", "verify", "--all").code == 0
