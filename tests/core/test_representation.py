"""`repr` of everything that a session returns: one short line that quotes no whole text."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import sys
import typing
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

import muniment
from muniment.models.records import ModelRecord
from muniment.plugins.registry import LoadFailure
from muniment.representation import MAX_CHARACTERS, showing
from muniment.signing import KeyStore
from support.workspace import Workspace

DIGEST = "0123456789abcdef" * 4
TEXT = "secret end of a long text"


class Hostile:
    """An object whose representation raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no representation")


class Lines:
    """An object whose representation has control characters."""

    def __repr__(self) -> str:
        return "two\nlines\x1b[31m\u202e" + "x" * 10_000 + TEXT


VALUES = [
    "\x1b[31m\n\u202e\ud800最近" + "long text " * 40 + TEXT,
    f"tree1-sha256:{DIGEST}",
    DIGEST.encode() * 10_000,
    [f"item {number} {'x' * 100}" for number in range(1000)],
    {f"key {number}\n{'x' * 100}": TEXT * 10 for number in range(1000)},
    {f"sha256:{DIGEST}": DIGEST},
    10**5000,
    datetime(2026, 1, 31, tzinfo=UTC),
    Path("/a" * 200),
    Hostile(),
    Lines(),
    [Hostile(), Lines()],
    {Hostile(): Lines()},
    None,
    -1.5,
]


@cache
def _namespace(module: str) -> dict[str, Any]:
    """Return the names of a module, with those that it imports for type checkers only."""
    names = dict(vars(sys.modules[module]))
    for node in ast.walk(ast.parse(inspect.getsource(sys.modules[module]))):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.body:
                if isinstance(statement, ast.ImportFrom):
                    source = importlib.import_module(str(statement.module))
                    for alias in statement.names:
                        names[alias.asname or alias.name] = getattr(source, alias.name)
    return names


def _classes(annotation: object) -> Iterator[type]:
    origin = typing.get_origin(annotation)
    if isinstance(origin or annotation, type):
        yield origin or annotation  # type: ignore[misc]
    for argument in typing.get_args(annotation):
        yield from _classes(argument)


def _annotations(owner: type) -> Iterator[object]:
    """Yield the types of the public attributes and of the results of the public methods."""
    for base in owner.__mro__:
        if not base.__module__.startswith("muniment"):
            continue
        written = {
            name: annotation
            for name, annotation in vars(base).get("__annotations__", {}).items()
            if not name.startswith("_")
        }
        for name, member in vars(base).items():
            function = getattr(member, "fget", None) or getattr(member, "func", member)
            if not name.startswith("_") and "return" in getattr(function, "__annotations__", {}):
                written[name] = function.__annotations__["return"]
        for annotation in written.values():
            if isinstance(annotation, str):
                yield eval(annotation, _namespace(base.__module__))
            else:
                yield annotation


def _reachable() -> list[type]:
    """Return the classes of the core that a session returns, or that those have as attributes."""
    public = [getattr(muniment, name) for name in muniment.__all__]
    found: list[type] = []
    waiting = [muniment.Session, ModelRecord, LoadFailure]
    waiting += [kind for kind in public if isinstance(kind, type)]
    while waiting:
        kind = waiting.pop(0)
        if kind in found or not kind.__module__.startswith("muniment"):
            continue
        found.append(kind)
        if kind is not muniment.Parameters and not issubclass(kind, Exception):
            waiting += [item for written in _annotations(kind) for item in _classes(written)]
    return found


def _is_data(kind: type) -> bool:
    """Return whether a class has fields. Others are found by name: `<Store …>`, plugins, errors."""
    return (
        dataclasses.is_dataclass(kind)
        or issubclass(kind, msgspec.Struct)
        or hasattr(kind, "_fields")
    )


# Parameters are those of a plugin, and the other two have whole numbers only.
_OTHERS = (muniment.Parameters, muniment.Cell, muniment.Levels)
DATA = [kind for kind in _reachable() if _is_data(kind) and kind not in _OTHERS]


def _filled(kind: type, value: object) -> object:
    """Return an object with this value in every field, without a check of types."""
    if issubclass(kind, tuple):
        return tuple.__new__(kind, [value] * len(kind._fields))  # type: ignore[attr-defined]
    if issubclass(kind, msgspec.Struct):  # its constructor checks no types
        fields = dict.fromkeys(kind.__struct_fields__, value)
        if "__post_init__" in dir(kind):  # but this method checks values
            kind = type(kind)(kind.__name__, (kind,), {"__post_init__": lambda self: None})
        return kind(**fields)
    made = object.__new__(kind)
    for field in dataclasses.fields(kind):
        object.__setattr__(made, field.name, value)
    return made


def check(shown: str) -> None:
    assert len(shown) <= MAX_CHARACTERS
    assert shown.isprintable()
    assert DIGEST[:32] not in shown
    assert TEXT not in shown
    assert " object at 0x" not in shown


def test_the_classes_that_a_session_returns_are_found() -> None:
    names = {kind.__name__ for kind in DATA}
    assert {"Generation", "Output", "Verdict", "Hit", "Stats", "Replay", "ErasureResult"} <= names
    assert {"Verification", "Proof", "RecordedEvent", "FeedbackEntry", "Candidate"} <= names
    assert len(DATA) > 60


@pytest.mark.parametrize("kind", DATA, ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")
def test_the_representation_of_any_content_is_one_short_line(kind: type) -> None:
    for value in VALUES:
        shown = repr(_filled(kind, value))
        check(shown)
        assert shown.startswith(f"{kind.__qualname__}(")
    for value in VALUES[:6]:
        nested = repr(_filled(kind, (_filled(kind, value),) * 3))
        check(nested)


@pytest.mark.parametrize("kind", DATA, ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}")
def test_the_representation_of_an_object_without_attributes_does_not_raise(kind: type) -> None:
    if dataclasses.is_dataclass(kind):
        assert repr(object.__new__(kind)) == f"{kind.__qualname__}()"


def test_representations_name_the_object_and_quote_its_texts(workspace: Workspace) -> None:
    workspace.plugin_folder.generator(
        "echo", "for r in requests: yield r.reply(Text(r.prompt * 100, 'stop'))"
    )
    workspace.plugin_folder.generator(
        "dots",
        "for r in requests: yield r.reply(Output('image/png', b'x' * 5000))",
        media_type="image/png",
    )
    session = workspace.session
    done = session.generate("最近我国 satellites", tags=["a"])
    assert repr(done).startswith(f"Generation(id='{done.id}', status='completed', prompt='最近")
    assert "output='最近" in repr(done)
    assert repr(done.outputs[0]).startswith("Output(media_type='text/plain', finish_reason='stop',")
    picture = session.generate("a dot", generator="dots")
    assert "output=['image/png']" in repr(picture)
    assert repr(picture.outputs[0]) == "Output(media_type='image/png', content=5,000 bytes)"
    KeyStore(session.home).generate(session.store.log)
    returned: list[object] = [
        *(session, session.store, session.media, session.plugins, session.models, session.config),
        *(done, picture, done.provenance, *done.plugins, *session.generations()),
        *(session.like("last"), *session.search("satellites"), session.stats(by=["decision"])),
        *(session.diff(done.id, picture.id), session.verify(), session.feedback(done.id, "up")),
        *(*session.feedback_events(), *session.replay([done]), muniment.Query(tag="a", limit=3)),
        *(session.prove(done.id, ["prompt"]), session.hold(muniment.Query(ids=[done.id]), "why")),
        session.erase(muniment.Query(ids=[picture.id])),
    ]
    for item in returned:
        check(repr(item))
    assert "tester" in repr(session)
    assert "tag='a', limit=3" in repr(muniment.Query(tag="a", limit=3))
    assert "rating='up'" in repr(next(iter(session.feedback_events())))


def test_the_representation_of_a_session_has_no_password(home: Path) -> None:
    with muniment.open(home, store="postgresql://me:hidden@localhost/db") as session:
        assert "hidden" not in repr(session)
        assert "localhost" in repr(session)


def test_many_fields_are_cut_and_the_limit_is_shared() -> None:
    class Wide:
        def __init__(self) -> None:
            for number in range(40):
                setattr(self, f"field{number}", "x" * 40)

        __repr__ = showing(*(f"field{number}" for number in range(40)))

    assert len(repr(Wide())) == MAX_CHARACTERS
    assert repr(Wide()).endswith("…)")
