"""Requests whose prompt or defaults depend on the generator or the model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from muniment import Generation, GenerationSpec, ParameterError, PluginError, UsageError, hookspecs
from support.media import media_type
from support.workspace import Workspace

ECHO = "for r in requests: yield r.reply(Text(f'{r.prompt}|{dict(r.parameters)}'))"
OPTIONAL = "prompt = 'optional'"


def model(workspace: Workspace, name: str, **facts: int) -> str:
    """Write the files of a model, and return its path."""
    folder = workspace.home / name
    folder.mkdir()
    (folder / "facts.json").write_text(json.dumps(facts))
    return str(folder)


# ---- prompts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", [None, "", "  ", "\n\t\u3000"])
def test_a_generator_that_needs_a_prompt_refuses_one_without_a_text(
    workspace: Workspace, prompt: str | None
) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    with pytest.raises(UsageError, match="echo needs a prompt"):
        workspace.session.generate(prompt)
    line = {} if prompt is None else {"prompt": prompt}
    (failed, done) = workspace.session.batch([json.dumps(line).encode(), b'{"prompt": " a "}'])
    assert (failed.status, failed.failure and failed.failure.code) == ("failed", "invalid")
    assert (done.status, failed.prompt) == ("completed", prompt or "")
    assert len(workspace.recorded()) == 2
    workspace.check()


def test_a_recorded_request_with_an_empty_prompt_is_still_replayed(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO, attributes=OPTIONAL)
    done = workspace.session.generate("")
    registered = workspace.session.plugins.find("generator", "echo")
    object.__setattr__(registered, "prompt", "required")  # as another version of the plugin may
    assert [item.result for item in workspace.session.replay([done])] == ["exact"]
    with pytest.raises(UsageError, match="echo needs a prompt"):
        next(workspace.session.run([workspace.session.like(done.id)]))


@pytest.mark.parametrize("prompt", [None, ""])
def test_a_missing_prompt_is_recorded_as_an_empty_one(
    workspace: Workspace, prompt: str | None
) -> None:
    workspace.plugin_folder.generator("echo", ECHO, attributes=OPTIONAL)
    workspace.plugin_folder.filter("fine", "return content.allow()")
    policy = workspace.policy("{filter: fine, stages: [prompt]}")
    done = workspace.session.generate(prompt, policy=policy)
    assert (done.status, done.prompt, done.text) == ("completed", "", "|{}")
    assert [verdict.stage for verdict in done.verdicts] == ["prompt"]
    assert workspace.recorded() == [done]
    (replayed,) = workspace.session.replay([done])
    assert replayed.result == "exact"
    workspace.check()


def test_a_registered_name_states_that_a_prompt_is_optional(workspace: Workspace) -> None:
    for number, fields in enumerate(("", ", prompt='optional'")):
        workspace.plugin_folder.add(
            f"""
            import muniment
            @muniment.hookimpl
            def muniment_generators(register):
                fields = dict(name="late{number}", media_type="text/plain"{fields})
                register("{{package}}.late:Late", **fields)
            """,
            files={
                "late.py": (
                    "import muniment\n"
                    "class Late(muniment.Generator):\n"
                    "    name, media_type, prompt = 'late', 'text/plain', 'optional'\n"
                    "    def generate(self, requests):\n"
                    "        yield from (r.reply(muniment.Text('x')) for r in requests)\n"
                )
            },
        )
    with pytest.raises(PluginError, match="register it with prompt='optional'"):
        workspace.session.generate("x", generator="late0")
    assert workspace.session.generate(generator="late1").text == "x"


@pytest.mark.parametrize("value", ["'sometimes'", "True"])
def test_another_value_of_prompt_is_refused(workspace: Workspace, value: str) -> None:
    plugin = workspace.plugin_folder.generator("odd", ECHO, attributes=f"prompt = {value}")
    (broken,) = workspace.session.plugins.load()
    assert broken.plugin == plugin
    assert "prompt" in broken.message


# ---- resolve -----------------------------------------------------------------------------------

RESOLVE = """
prompt = 'optional'
uses_model = True
def load(self, model): pass
def resolve(self, request, model):
    import json, pathlib
    facts = json.loads((pathlib.Path(model.path) / "facts.json").read_text())
    if facts.get("needs_prompt") and not request.prompt:
        raise muniment.UsageError(f"model {model.name} needs a prompt; add one")
    steps = request.parameters.steps
    return muniment.Resolution({"steps": facts["steps"]} if steps is None else {})
"""
STEPS = "steps: int | None = param(None, ge=1)\nname: str = param('a')"


def test_a_default_that_depends_on_the_model_is_recorded_and_replayed(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator("steps", ECHO, attributes=RESOLVE, parameters=STEPS)
    path = model(workspace, "small", steps=7)
    done = workspace.session.generate("x", model=path)
    assert done.parameters == {"name": "a", "steps": 7}
    given = workspace.session.generate("x", model=path, parameters={"steps": 3})
    assert given.parameters["steps"] == 3
    assert [item.parameters for item in workspace.recorded()] == [
        done.parameters,
        given.parameters,
    ]
    assert [item.result for item in workspace.session.replay([done, given])] == ["exact", "exact"]
    workspace.check()


@pytest.mark.parametrize(("given", "steps"), [({}, 7), ({"steps": 20}, 20), ({"steps": "20"}, 20)])
def test_resolve_keeps_a_given_value_that_is_the_default(
    workspace: Workspace, given: dict[str, object], steps: int
) -> None:
    attributes = "def resolve(self, request, model): return muniment.Resolution({'steps': 7})"
    parameters = "steps: int = param(20)"
    workspace.plugin_folder.generator("s", ECHO, attributes=attributes, parameters=parameters)
    done = workspace.session.generate("x", parameters=given)
    assert done.parameters == {"steps": steps}
    assert done.resolved_parameters == (() if given else ("steps",))
    assert workspace.recorded() == [done]


def test_a_given_value_that_is_none_is_a_default_for_resolve(workspace: Workspace) -> None:
    attributes = "def resolve(self, request, model): return muniment.Resolution({'steps': 7})"
    workspace.plugin_folder.generator("s", ECHO, attributes=attributes, parameters=STEPS)
    assert workspace.session.generate("x", parameters={"steps": None}).parameters["steps"] == 7


def test_replay_uses_the_recorded_values_without_resolving_again(workspace: Workspace) -> None:
    attributes = "calls = 0\ndef resolve(self, request, model):\n" + "\n".join(
        [
            "    type(self).calls += 1",
            "    if self.calls > 1: raise RuntimeError('called again')",
            "    return muniment.Resolution({'steps': 4})",
        ]
    )
    workspace.plugin_folder.generator("once", ECHO, attributes=attributes, parameters=STEPS)
    done = workspace.session.generate("x")
    assert done.parameters["steps"] == 4
    (replayed,) = workspace.session.replay([done])
    assert replayed.result == "exact"


def test_a_model_that_needs_a_prompt_fails_its_requests(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("steps", ECHO, attributes=RESOLVE, parameters=STEPS)
    path = model(workspace, "small", steps=7, needs_prompt=1)
    with pytest.raises(UsageError, match="needs a prompt"):
        workspace.session.generate(model=path)
    defaults = GenerationSpec(model=path)
    (failed, done) = workspace.session.batch([b"{}", b'{"prompt": "a"}'], defaults=defaults)
    assert (failed.status, failed.failure and failed.failure.code) == ("failed", "invalid")
    assert done.status == "completed"
    workspace.check()


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("raise KeyError('x')", "KeyError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("return None", "NoneType, not a Resolution"),
        ("return muniment.Resolution({'gone': 1})", "'gone'"),
        ("return muniment.Resolution({'steps': 0})", "steps must be"),
        ("return muniment.Resolution({'steps': float('nan')})", "steps must be"),
        ("return muniment.Resolution({'name': 'c'})", "changed the parameter name"),
        ("return muniment.Resolution(5)", "AttributeError"),
    ],
)
def test_a_resolution_that_breaks_the_contract_is_a_plugin_error(
    workspace: Workspace, body: str, complaint: str
) -> None:
    attributes = f"def resolve(self, request, model):\n    {body}"
    plugin = workspace.plugin_folder.generator("odd", ECHO, attributes=attributes, parameters=STEPS)
    with pytest.raises(PluginError, match="generator odd cannot resolve a request") as caught:
        workspace.session.generate("x", parameters={"name": "b"})
    assert caught.value.distribution == plugin.distribution
    assert complaint in str(caught.value)
    (failed,) = workspace.session.batch([b'{"prompt": "x", "parameters": {"name": "b"}}'])
    assert failed.failure is not None
    assert complaint in failed.failure.message


INPUTS = "inputs = (muniment.InputSpec('words', ('text/plain',), 10),)"
WITH_WORDS = "for r in requests: yield r.reply(Text(r.inputs['words'].text))"


def added(value: str) -> str:
    return f"{INPUTS}\ndef resolve(self, request, model):\n    return {value}"


def test_an_input_that_resolve_adds_is_judged_recorded_and_replayed(workspace: Workspace) -> None:
    value = "muniment.Resolution(inputs={} if request.inputs else {'words': b'rude words'})"
    workspace.plugin_folder.generator("listing", WITH_WORDS, attributes=added(value))
    workspace.plugin_folder.filter("polite", POLITE)
    done = workspace.session.generate("x")
    assert (done.text, [item.name for item in done.inputs]) == ("rude words", ["words"])
    policy = workspace.policy("{filter: polite, stages: [prompt]}")
    blocked = workspace.session.generate("x", policy=policy)
    assert blocked.status == "blocked"
    assert [v.input for v in blocked.verdicts] == [None, "words"]
    given = workspace.session.generate("x", inputs={"words": b"fine"}, policy=policy)
    assert given.text == "fine"
    assert [item.result for item in workspace.session.replay([done, given])] == ["exact", "exact"]
    (repeated,) = workspace.session.run([workspace.session.like(done.id)])
    assert isinstance(repeated, Generation)
    assert repeated.inputs == done.inputs
    workspace.check()


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        ("{'gone': b'x'}", "no input named 'gone'"),
        ("{'words': b''}", "is empty"),
        ("{'words': b'x' * 11}", "at most 10"),
        ("{'words': b'\\xff'}", "media type"),
        ("{'words': '/etc/passwd'}", "str as the input words, not bytes"),
    ],
)
def test_an_input_that_resolve_adds_must_be_a_declared_one(
    workspace: Workspace, inputs: str, complaint: str
) -> None:
    value = f"muniment.Resolution(inputs={inputs})"
    workspace.plugin_folder.generator("listing", WITH_WORDS, attributes=added(value))
    with pytest.raises(PluginError) as caught:
        workspace.session.generate("x")
    assert complaint in str(caught.value)


def test_plugins_recognise_the_media_type_of_an_input_that_resolve_adds(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.add(
        media_type("def matches(self, data):\n    return data.startswith(b'DOTS')")
    )
    attributes = added("muniment.Resolution(inputs={'words': b'DOTS\\xff'})")
    attributes = attributes.replace("text/plain", "application/x-dots")
    size = "for r in requests: yield r.reply(Text(str(len(r.inputs['words'].data))))"
    workspace.plugin_folder.generator("listing", size, attributes=attributes)
    done = workspace.session.generate("x")
    assert [item.media_type for item in done.inputs] == ["application/x-dots"]
    assert done.resolved_inputs == ("words",)


def test_resolve_cannot_replace_a_given_input(workspace: Workspace) -> None:
    value = "muniment.Resolution(inputs={'words': b'others'})"
    workspace.plugin_folder.generator("listing", WITH_WORDS, attributes=added(value))
    with pytest.raises(PluginError, match="replaced the input words"):
        workspace.session.generate("x", inputs={"words": b"mine"})


def test_a_parameter_error_of_resolve_names_the_parameter(workspace: Workspace) -> None:
    attributes = (
        "def resolve(self, request, model):\n"
        "    raise muniment.ParameterError('steps', 'steps must be even')"
    )
    workspace.plugin_folder.generator("even", ECHO, attributes=attributes, parameters=STEPS)
    with pytest.raises(ParameterError) as caught:
        workspace.session.generate("x")
    assert caught.value.name == "steps"


def test_a_generator_without_resolve_is_not_asked() -> None:
    assert hookspecs.Generator.resolve(None, None, None).parameters == {}  # type: ignore[arg-type]


# ---- parameters that a policy judges -------------------------------------------------------------

JUDGED = "negative: str = param('', judged=True)\nother: str = param('')"
POLITE = "return content.block('rude') if 'rude' in content.text else content.allow()"


def test_a_judged_parameter_is_checked_as_a_prompt_is(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("echo", ECHO, parameters=JUDGED)
    workspace.plugin_folder.filter("polite", POLITE)
    policy = workspace.policy("{filter: polite, stages: [prompt]}")
    fine = workspace.session.generate(
        "x", parameters={"negative": "blur", "other": "rude"}, policy=policy
    )
    assert fine.status == "completed"
    assert [(v.stage, v.parameter) for v in fine.verdicts] == [
        ("prompt", None),
        ("prompt", "negative"),
    ]
    blocked = workspace.session.generate("x", parameters={"negative": "rude"}, policy=policy)
    assert (blocked.status, blocked.outputs) == ("blocked", ())
    assert [v.action for v in blocked.verdicts] == ["allow", "block"]
    empty = workspace.session.generate("x", policy=policy)
    assert [v.parameter for v in empty.verdicts] == [None]
    recorded = workspace.recorded()
    assert [item.verdicts for item in recorded] == [
        fine.verdicts,
        blocked.verdicts,
        empty.verdicts,
    ]
    assert blocked.to_json()["verdicts"][1]["parameter"] == "negative"
    workspace.check()


def test_a_judged_value_that_resolve_sets_is_checked_too(workspace: Workspace) -> None:
    attributes = (
        "def resolve(self, request, model):\n    return muniment.Resolution({'negative': 'rude'})"
    )
    workspace.plugin_folder.generator("echo", ECHO, parameters=JUDGED, attributes=attributes)
    workspace.plugin_folder.filter("polite", POLITE)
    (done,) = workspace.run("x", policy=workspace.policy("{filter: polite, stages: [prompt]}"))
    assert done.status == "blocked"


def test_resolve_is_not_called_for_a_blocked_prompt(workspace: Workspace) -> None:
    attributes = "def resolve(self, request, model):\n    raise RuntimeError(request.prompt)"
    workspace.plugin_folder.generator("echo", ECHO, parameters=JUDGED, attributes=attributes)
    workspace.plugin_folder.filter("polite", POLITE)
    policy = workspace.policy("{filter: polite, stages: [prompt]}")
    for prompt, negative in (("rude", ""), ("x", "rude")):
        done = workspace.session.generate(prompt, parameters={"negative": negative}, policy=policy)
        assert (done.status, done.parameters["negative"]) == ("blocked", negative)
    with pytest.raises(PluginError, match="RuntimeError"):
        workspace.session.generate("x", policy=policy)
    workspace.check()


PACKAGED = """
def resolve(self, request, model):
    return muniment.Resolution({'adapter': 'style', 'negative': 'rude'})
def packaged_models(self):
    return [muniment.PackagedModel('style', 'from', '')]
def find_model(self, source): raise muniment.ModelError(source, "no")
def add_model(self, source, into, progress):
    (into / "facts.json").write_text("{}")
    return {}
"""


def test_a_text_of_resolve_that_is_blocked_adds_no_packaged_model(workspace: Workspace) -> None:
    parameters = f"{JUDGED}\n{ADAPTED}"
    workspace.plugin_folder.generator("adapted", READ, parameters=parameters, attributes=PACKAGED)
    workspace.plugin_folder.filter("polite", POLITE)
    policy = workspace.policy("{filter: polite, stages: [prompt]}")
    done = workspace.session.generate("x", policy=policy)
    assert (done.status, done.models["adapter"].digest) == ("blocked", "")
    assert workspace.session.models.added() == []
    assert workspace.session.generate("x").text == "{}"
    workspace.check()


@pytest.mark.parametrize(
    "parameters",
    [
        "steps: int = param(1, judged=True)",
        "words: list[str] = param([], judged=True)",
        "steps: int = param(1, model=True)",
        "both: str = param('', judged=True, model=True)",
        "models: str = param('')",
        "judged: str = param('')",
    ],
)
def test_only_a_text_is_judged_or_names_a_model(workspace: Workspace, parameters: str) -> None:
    workspace.plugin_folder.generator("odd", ECHO, parameters=parameters)
    (broken,) = workspace.session.plugins.load()
    assert "TypeError" in broken.message


def test_filters_have_no_judged_parameters_or_models(workspace: Workspace) -> None:
    for number, mark in enumerate(("judged", "model")):
        workspace.plugin_folder.filter(
            f"odd{number}", "return content.allow()", parameters=f"a: str = param('', {mark}=True)"
        )
    assert len(workspace.session.plugins.load()) == 2


# ---- parameters that are models ------------------------------------------------------------------

ADAPTED = "adapter: str | None = param(None, model=True)"
READ = """
from pathlib import Path
for r in requests:
    adapter = r.models.get('adapter')
    text = Path(adapter.path, 'facts.json').read_text() if adapter else 'none'
    yield r.reply(Text(text))
"""


def test_a_parameter_that_is_a_model_is_recorded_by_its_digest(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("adapted", READ, parameters=ADAPTED)
    path = model(workspace, "style", colour=3)
    done = workspace.session.generate("x", parameters={"adapter": path})
    assert done.text == '{"colour": 3}'
    assert done.parameters == {"adapter": path}
    assert done.models["adapter"].digest.startswith("tree1-sha256:")
    plain = workspace.session.generate("x")
    assert (plain.text, plain.models) == ("none", {})
    assert workspace.recorded() == [done, plain]
    digest = done.models["adapter"].digest
    assert done.to_json()["models"] == {"adapter": {"name": path, "digest": digest}}
    difference = workspace.session.diff(done.id, plain.id)
    assert "models" in [item.name for item in difference.fields]
    workspace.check()


def test_replay_finds_the_model_of_a_parameter_by_its_digest(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("adapted", READ, parameters=ADAPTED)
    path = Path(model(workspace, "style", colour=3))
    done = workspace.session.generate("x", parameters={"adapter": str(path)})
    (replayed,) = workspace.session.replay([done])
    assert replayed.result == "exact"
    workspace.close()
    (path / "facts.json").write_text("{}")
    (replayed,) = workspace.session.replay([done])
    assert replayed.result == "impossible"
    assert done.models["adapter"].digest in replayed.detail


def test_a_model_of_a_parameter_that_is_missing_refuses_the_request(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("adapted", READ, parameters=ADAPTED)
    with pytest.raises(UsageError, match="no model named 'gone'"):
        workspace.session.generate("x", parameters={"adapter": "gone"})
    assert workspace.session.generate("x", parameters={"adapter": ""}).models == {}


# ---- models whose files were replaced ----------------------------------------------------------


def test_a_replaced_model_is_read_after_the_models_are_released(workspace: Workspace) -> None:
    loads = "def load(self, model):\n    import pathlib\n    file = pathlib.Path(model.path)"
    loads += " / 'facts.json'\n    self.facts = file.read_text()"
    made = "for r in requests: yield r.reply(Text(self.facts))"
    workspace.plugin_folder.generator("facts", made, attributes=f"uses_model = True\n{loads}")
    session, path = workspace.session, model(workspace, "small", steps=7)
    first = session.generate("x", model=path)
    Path(path, "facts.json").write_text('{"steps": 8}')
    session.release_models()
    second = session.generate("x", model=path)
    assert ("7" in first.text, "8" in second.text) == (True, True)
    assert first.model != second.model
    assert [item.result for item in session.replay([first, second])] == ["impossible", "exact"]


# ---- the setting model.GENERATOR ---------------------------------------------------------------


def test_the_default_model_of_one_generator_is_not_that_of_another(workspace: Workspace) -> None:
    name = "for r in requests: yield r.reply(Output('image/png', r.model.name.encode()))"
    attributes = "uses_model = True\ndef load(self, model): pass"
    workspace.plugin_folder.generator(
        "words", ECHO, attributes=attributes.replace("pass", "raise OSError('not mine')")
    )
    workspace.plugin_folder.generator("brush", name, media_type="image/png", attributes=attributes)
    words, brush = model(workspace, "words", a=1), model(workspace, "brush", a=2)
    workspace.session.config.set("model.words", words)
    workspace.session.config.set("model.brush", brush)
    done = workspace.session.generate("x", generator="image")
    assert done.outputs[0].data == brush.encode()
    assert workspace.session.generate("x").model.name == words  # type: ignore[union-attr]


@pytest.mark.parametrize("field", ["prompt", "system"])
def test_a_text_of_another_type_is_a_usage_error(field: str) -> None:
    values: dict[str, Any] = {"prompt": "x", field: 5}
    with pytest.raises(UsageError, match=f"the {field} must be a text, not int"):
        GenerationSpec(**values)


def test_a_name_of_an_input_of_another_type_is_a_usage_error() -> None:
    inputs: dict[Any, Any] = {3: b"x"}
    with pytest.raises(UsageError, match="the name of an input cannot be 3"):
        GenerationSpec("x", inputs=inputs)


@pytest.mark.parametrize("value", [5, b"xx", None, ["a"]])
def test_a_reference_of_another_type_is_a_usage_error(workspace: Workspace, value: Any) -> None:
    workspace.plugin_folder.generator("echo", ECHO)
    workspace.run("x")
    session = workspace.session
    for method in session.find_file, session.like, session.generation:
        with pytest.raises(UsageError, match=re.escape(repr(value))):
            method(value)


def test_an_input_of_another_type_is_named() -> None:
    inputs: dict[str, Any] = {"names": None}
    with pytest.raises(UsageError, match="input 'names' cannot be a NoneType"):
        GenerationSpec("x", inputs=inputs)
