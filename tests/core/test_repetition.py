"""Recorded requests that are generated again with changes."""

from __future__ import annotations

import dataclasses
import unicodedata
from pathlib import Path

import pytest

from muniment import Generation, GenerationSpec, Query, UsageError
from muniment.errors import VerificationError
from support.databases import change
from support.workspace import Workspace

ECHO = "for r in requests: yield r.reply(Text(f'{r.prompt} {r.seed} {dict(r.parameters)}'))"
PARAMETERS = "words: list[str] = param(['a'])\nscale: float = param(1.0)"


@pytest.fixture
def source(workspace: Workspace) -> Generation:
    workspace.plugin_folder.generator("echo", ECHO, parameters=PARAMETERS)
    return workspace.session.generate(
        "x", system="s", seed=7, parameters={"words": ["b", "c"]}, tags=["t"]
    )


def run(workspace: Workspace, spec: GenerationSpec) -> Generation:
    (done,) = workspace.session.run([spec])
    assert isinstance(done, Generation)
    workspace.check()
    return done


def test_a_repeated_request_has_the_recorded_values_and_its_source(
    workspace: Workspace, source: Generation
) -> None:
    done = run(workspace, workspace.session.like("last"))
    assert done.id != source.id
    assert done.text == source.text
    for field in ("prompt", "system", "seed", "parameters", "tags", "generator"):
        assert getattr(done, field) == getattr(source, field)
    assert done.parents == (source.id,)


def test_a_repeated_request_has_the_given_changes(workspace: Workspace, source: Generation) -> None:
    spec = workspace.session.like(
        source.id, prompt="y", seed=8, parameters={"scale": 2}, tags=["u"]
    )
    done = run(workspace, spec)
    assert (done.prompt, done.seed, done.tags) == ("y", 8, ("t", "u"))
    assert done.parameters == {"scale": 2.0, "words": ("b", "c")}
    again = run(workspace, workspace.session.like(done.id, seed=None))
    assert again.seed != 8
    assert again.parents == (done.id,)


def test_an_unknown_change_is_a_usage_error(workspace: Workspace, source: Generation) -> None:
    with pytest.raises(UsageError, match="steps"):
        workspace.session.like(source.id, steps=3)


def test_an_erased_request_cannot_be_repeated(workspace: Workspace, source: Generation) -> None:
    workspace.session.erase(Query(ids=[source.id]))
    with pytest.raises(UsageError, match=f"prompt of generation {source.id} was erased"):
        workspace.session.like(source.id)


@pytest.mark.parametrize("kind", ["prompt", "request"])
def test_an_altered_request_is_an_unverified_one(
    workspace: Workspace, source: Generation, kind: str
) -> None:
    workspace.close()
    url = f"sqlite:///{workspace.home / 'muniment.db'}"
    change(url, f"UPDATE payload SET content = X'7B7D' WHERE kind = '{kind}'")
    with pytest.raises(VerificationError, match=f"{kind} of generation {source.id} was changed"):
        workspace.session.like(source.id)


JOIN = """
for r in requests:
    yield r.reply(Text(f"{r.parameters.size} {[item.text for item in r.inputs.values()]}"))
"""
RESOLVED = """
inputs = tuple(muniment.InputSpec(name, ("text/plain",)) for name in ("given", "listed"))
def resolve(self, request, model):
    if request.inputs.keys() - {"given"}: return muniment.Resolution()
    sizes = {} if request.parameters.size else {"size": len(request.prompt)}
    return muniment.Resolution(sizes, {"listed": request.prompt.encode()})
"""
SIZE = "size: int = param(0)"


@pytest.fixture
def resolved(workspace: Workspace) -> Generation:
    """A request with a given input, to which `resolve` added a value and an input."""
    workspace.plugin_folder.generator("join", JOIN, attributes=RESOLVED, parameters=SIZE)
    workspace.plugin_folder.generator("echo", ECHO, parameters=PARAMETERS)
    return workspace.session.generate("abc", generator="join", inputs={"given": b"mine"})


def test_a_repeated_request_is_resolved_again(workspace: Workspace, resolved: Generation) -> None:
    assert resolved.text == "3 ['mine', 'abc']"
    again = run(workspace, workspace.session.like(resolved.id))
    assert again.text == resolved.text
    other = run(workspace, workspace.session.like(resolved.id, prompt="ab"))
    assert other.text == "2 ['mine', 'ab']"
    given = workspace.session.like(other.id, prompt="a", parameters={"size": 9})
    assert run(workspace, given).text == "9 ['mine', 'a']"


def test_values_that_were_left_to_resolve_are_resolved_for_another_prompt(
    workspace: Workspace,
) -> None:
    attributes = """
def resolve(self, request, model):
    return muniment.Resolution({"size": 4} if request.prompt == "fast" else {})
"""
    size = "size: int = param(20)"
    workspace.plugin_folder.generator("echo", ECHO, attributes=attributes, parameters=size)
    workspace.plugin_folder.filter("never", "return content.block('no')")
    policy = workspace.policy("{filter: never}")
    for given, expected in (({}, 4), ({"size": 20}, 20)):
        for source in (
            workspace.session.generate("slow", parameters=given),
            workspace.session.generate("slow", parameters=given, policy=policy),
        ):
            again = run(workspace, workspace.session.like(source.id, prompt="fast"))
            assert again.parameters == {"size": expected}


def test_only_the_inputs_that_are_repeated_must_exist(
    workspace: Workspace, resolved: Generation
) -> None:
    workspace.close()
    url = f"sqlite:///{workspace.home / 'muniment.db'}"
    change(url, "DELETE FROM payload WHERE kind = 'input'")
    with pytest.raises(UsageError, match=f"input of generation {resolved.id} was erased"):
        workspace.session.like(resolved.id)
    assert workspace.session.like(resolved.id, generator="echo").inputs == {}
    given = workspace.session.like(resolved.id, inputs={"given": b"other"})
    assert given.inputs == {"given": b"other"}


def test_a_blocked_or_failed_request_is_judged_and_checked_again(
    workspace: Workspace, source: Generation
) -> None:
    workspace.close()
    workspace.plugin_folder.filter("never", "return content.block('no')")
    blocked = workspace.session.generate("z", policy=workspace.policy("{filter: never}"))
    assert blocked.status == "blocked"
    assert run(workspace, workspace.session.like(blocked.id)).status == "completed"
    (failed,) = workspace.session.batch([b'{"prompt": "a", "parameters": {"gone": 1}}'])
    with pytest.raises(UsageError, match="gone"):
        run(workspace, workspace.session.like(failed.id))


NAMED = "for r in requests: yield r.reply(Text(r.model.name))"
OF_MODELS = """
uses_model = True
def load(self, model): pass
def packaged_models(self): return []
def find_model(self, source): raise muniment.ModelError(source, "no")
def add_model(self, source, into, progress):
    (into / "weights").write_text(source)
    return {}
"""
ADAPTED = "adapter: str | None = param(None, model=True)"


def test_a_model_is_found_by_its_digest(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("named", NAMED, attributes=OF_MODELS)
    session = workspace.session
    generator = session.plugins.find("generator", "named").load_class()()
    session.models.add("first", "named", generator, name="one")
    source = session.generate("x", model="one")
    session.models.remove("one")
    session.models.add("first", "named", generator, name="two")
    assert session.like(source.id).model == "two"
    session.models.remove("two")
    session.models.add("second", "named", generator, name="one")
    with pytest.raises(UsageError, match="model one is not the recorded one"):
        session.like(source.id)
    assert session.like(source.id, model="one").model == "one"


def test_a_model_of_a_folder_is_found_by_its_path_as_it_was_given(
    workspace: Workspace, tmp_path: Path
) -> None:
    workspace.plugin_folder.generator("named", NAMED, attributes=OF_MODELS)
    folder = tmp_path / "mode\u0301l"  # a decomposed letter, as macOS writes it
    folder.mkdir()
    (folder / "weights").write_text("w")
    source = workspace.session.generate("x", model=str(folder))
    assert source.model is not None
    assert source.model.name == str(folder)
    assert run(workspace, workspace.session.like(source.id)).model == source.model
    assert workspace.session.store.count(Query(model=str(folder))) == 2
    assert (
        workspace.session.store.count(Query(model=unicodedata.normalize("NFC", str(folder)))) == 0
    )


def test_a_relative_path_with_the_form_of_a_hub_id_stays_a_path(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.plugin_folder.generator("named", NAMED, attributes=OF_MODELS)
    (tmp_path / "org" / "model").mkdir(parents=True)
    (tmp_path / "org" / "model" / "weights").write_text("w")
    monkeypatch.chdir(tmp_path)
    source = workspace.session.generate("x", model="./org/model")
    assert source.model is not None
    assert source.model.name == "org/model"
    again = workspace.session.like(source.id)
    assert run(workspace, again).model == source.model
    assert again.model == "./org/model"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    workspace.session.release_models()
    with pytest.raises(UsageError, match="this path does not exist"):
        run(workspace, workspace.session.like(source.id))


# ---- files from another store --------------------------------------------------------------------


def test_the_model_of_a_file_from_elsewhere_is_found_by_its_digest(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("named", NAMED, attributes=OF_MODELS, parameters=ADAPTED)
    session = workspace.session
    generator = session.plugins.find("generator", "named").load_class()()
    session.models.add("first", "named", generator, name="one")
    session.models.add("style", "named", generator, name="style")
    source = session.generate("x", model="one", parameters={"adapter": "style"})
    facts = source.provenance
    session.models.add("first", "named", generator, name="two")
    session.models.remove("one")
    spec = session.like(facts, seed=8)
    assert (spec.model, spec.parameters, spec.parents) == ("two", {"adapter": "style"}, ())
    assert (spec.prompt, spec.seed, spec.generator) == ("x", 8, "named")
    assert run(workspace, spec).text == "two"
    session.models.remove("two")
    with pytest.raises(UsageError, match=facts.model_digest):
        session.like(facts)
    assert session.like(facts, model="style").model == "style"
    session.models.remove("style")
    with pytest.raises(UsageError, match=facts.models["adapter"]):
        session.like(facts, model="style")


def test_a_path_in_a_file_from_elsewhere_is_not_used(workspace: Workspace) -> None:
    workspace.plugin_folder.generator("adapted", ECHO, parameters=ADAPTED)
    facts = workspace.session.generate("x", generator="adapted").provenance
    hostile = dataclasses.replace(facts, parameters={"adapter": "/etc"}, model="/etc")
    spec = workspace.session.like(hostile)
    assert (spec.model, spec.parameters) == (None, {})


def test_another_generator_gets_only_the_prompt_and_the_seed_of_a_file(
    workspace: Workspace,
) -> None:
    workspace.plugin_folder.generator("echo", ECHO, parameters=PARAMETERS)
    workspace.plugin_folder.generator("other", ECHO)
    source = workspace.session.generate(
        "x", generator="echo", seed=7, parameters={"words": ["b", "c"]}
    )
    assert workspace.session.like(source.provenance).parameters["words"] == ("b", "c")
    spec = workspace.session.like(source.provenance, generator="other")
    assert (spec.prompt, spec.seed, spec.parameters) == ("x", 7, {})
    assert run(workspace, spec).parents == ()
