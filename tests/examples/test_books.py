"""The example of a list: a blocked book falls out, feedback names a book, and all is on record."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from muniment import Session, UsageError
from muniment.plugins.discovery import installed_plugins
from muniment.plugins.registry import Plugins
from support.commands import ROOT
from support.databases import Server
from support.environments import python_with_packages
from support.plugins import PluginFolder

EXAMPLE = ROOT / "examples" / "muniment-books"
POLICY = """
policy: no-whales
version: "1"
filters:
  - filter: blocklist
    stages: [item]
    parameters: {category: whales, terms: [whale]}
"""


@pytest.fixture
def session(
    kind: str, tmp_path: Path, plugin_folder: PluginFolder, request: pytest.FixtureRequest
) -> Iterator[Session]:
    """A session on a new store with the example and the moderation plugin."""
    source = (EXAMPLE / "muniment_books" / "__init__.py").read_text(encoding="utf-8")
    books = plugin_folder.add(source, distribution="muniment-books")
    moderation = [
        item for item in installed_plugins() if item.distribution == "muniment-moderation"
    ]
    url = None
    if kind == "postgresql":
        server: Server = request.getfixturevalue("postgresql")
        url = server.create()
    with Session(tmp_path / "home", store=url, plugins=Plugins([books, *moderation])) as opened:
        yield opened
    if url is not None:
        server.drop(url)


@pytest.mark.dialect
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_blocked_book_falls_out_and_the_next_moves_up_on_record(
    session: Session, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    arguments = {"generator": "books", "parameters": {"count": 3}, "seed": 7}
    free = session.generate("a white whale", policy="none", **arguments)  # type: ignore[arg-type]
    made = session.generate("a white whale", policy=policy, **arguments)  # type: ignore[arg-type]
    free_ids, ids = ([id for id, _ in json.loads(item.outputs[0].data)] for item in (free, made))
    assert (free_ids[0], len(ids)) == ("moby-dick", 3)
    assert ids[:2] == free_ids[1:]

    recorded = session.generation(made.id)
    candidates = session.candidates(recorded)
    assert (len(candidates), [item.id for item in candidates if item.kept]) == (20, ids)
    assert recorded.outputs[0].data == session.generation(free.id).outputs[0].data
    assert [(v.item, v.action) for v in recorded.verdicts] == [
        (1, "block"),
        *((item, "allow") for item in (2, 3, 4)),
    ]
    assert session.selection(recorded).outputs == made.outputs

    liked = session.feedback(made.id, action="like", item=ids[1])
    assert (liked.entry.action, liked.entry.item) == ("like", 3)
    with pytest.raises(UsageError, match=ids[0]):
        session.feedback(made.id, action="like", item="moby-dick")

    assert [item.result for item in session.replay([recorded])] == ["exact"]
    target = tmp_path / "books.jsonl"
    session.export(target)
    lines = {line["id"]: line for line in map(json.loads, target.read_text().splitlines())}
    assert lines[made.id]["outputs"][0]["kept"] == [1, 2, 3]
    verification = session.verify(projections=True, payloads=True, search=True)
    assert verification.ok, verification.problems


@pytest.mark.integration
def test_it_passes_its_own_tests(tmp_path: Path) -> None:
    python = python_with_packages(tmp_path / "environment")
    options = ("--quiet", "--no-deps", "--no-index", "--no-build-isolation")
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", *options, EXAMPLE], check=True
    )
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=EXAMPLE,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
