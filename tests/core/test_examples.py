"""Every public class, function and method of `muniment` has an example, and the examples run.

They are doctests in the section `Example:` of a docstring. They use `session`, an open session, and
`done`, a generation that it recorded. `folder` is the path of an empty folder, `run_id` a new id.
"""

from __future__ import annotations

import doctest
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import muniment
from muniment.ids import new_id
from muniment.signing import KeyStore
from support.lists import add_lists
from support.workspace import Workspace

GENERATOR = """
import muniment

class Greeting(muniment.Generator):
    name, media_type, determinism = "text", "text/plain", "exact"

    def generate(self, requests):
        for request in requests:
            if request.stream:
                yield request.chunk(request.prompt)
            yield request.reply(muniment.Text(request.prompt + ", 你好", "stop"))

    def score(self, requests, texts):
        return [muniment.TokenScores([7], [-0.5], [(0, len(text))]) for text in texts]

    def embed(self, outputs):
        return [[1.0, float(len(output.data))] for output in outputs]

@muniment.hookimpl
def muniment_generators(register):
    register(Greeting)
"""


def documented() -> Iterator[tuple[str, Any]]:
    """Yield the public names and their public members, as `docs/reference/api.md` lists them."""
    for name in muniment.__all__:
        value = getattr(muniment, name)
        if name != "hookimpl" and not isinstance(value, str):  # of pluggy, or a constant
            yield name, value
    for owner in muniment.Session.__mro__[:-1]:
        for name, member in vars(owner).items():
            if not name.startswith("_") and inspect.getdoc(member):
                yield f"Session.{name}", member


def examples_of(value: object) -> list[doctest.Example]:
    return doctest.DocTestParser().get_examples(inspect.getdoc(value) or "")


@pytest.fixture
def recorded(workspace: Workspace) -> dict[str, Any]:
    """The names of the examples that read a store."""
    workspace.plugin_folder.add(GENERATOR, distribution="greeting")
    workspace.plugin_folder.evaluator(
        "words",
        "return {'words': len(generation.text.split())}",
        measures="Measure('words', 'words')",
    )
    add_lists(workspace.plugin_folder)
    session = workspace.session
    done = session.generate("Once upon a time", seed=7)
    keys = KeyStore(session.home)
    keys.generate(session.store.log)
    keys.sign(session.store)
    return {"session": session, "done": done}


@pytest.mark.parametrize("name", dict(documented()))
def test_the_example_of_a_public_name_runs(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    examples = examples_of(dict(documented())[name])
    assert examples, f"{name} has no example"
    source = "".join(example.source for example in examples)
    assert name.rpartition(".")[2] in source
    folder = tmp_path / "folder"
    folder.mkdir()
    names: dict[str, Any] = {"muniment": muniment, "folder": folder, "run_id": new_id()}
    if re.search(r"\b(session|done)\b", source):
        names |= request.getfixturevalue("recorded")
    printed: list[str] = []
    test = doctest.DocTest(examples, names, name, None, None, None)
    result = doctest.DocTestRunner().run(test, out=printed.append)
    assert result.failed == 0, "".join(printed)


@pytest.mark.parametrize("name", [name for name in muniment.__all__ if name != "hookimpl"])
def test_every_member_is_in_the_example_of_its_class_or_in_one_of_its_own(name: str) -> None:
    kind = getattr(muniment, name)
    if not isinstance(kind, type) or kind is muniment.Session:
        return
    shown = "".join(example.source for example in examples_of(kind))
    for member, value in vars(kind).items():
        if member.startswith("_") or not (isinstance(value, property) or inspect.isroutine(value)):
            continue
        assert re.search(rf"\b{member}\b", shown) or examples_of(value), f"{name}.{member}"
