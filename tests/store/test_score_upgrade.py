"""Upgrading a full store of the first revision: the table of scores is filled page by page."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic import command

from muniment.errors import StoreVersionError
from muniment.store import Query, Store
from muniment.store.database import catalog, migrations
from muniment.store.database.migrations import configuration
from muniment.types.scores import Score
from support.databases import ask
from support.programs import Programs

pytestmark = pytest.mark.dialect

FIRST, SECOND = "1001", "1002"
NUMBER = 40  # generations
Record = Callable[..., Any]


@pytest.fixture
def scores(store: Store, start: Record, finish: Record) -> list[tuple[Any, ...]]:
    """The rows of `score` after a full store was taken back to the first revision."""
    started = [start(f"prompt {number}") for number in range(NUMBER)]
    store.record_started(started, policy_document="")
    values = {0: (), 1: (None,), 2: (0.1, -1e300, None)}
    # The outcomes are not in the order in which the generations started.
    store.record_outcomes(
        [
            finish(
                g,
                scores=tuple(
                    Score("quality", "1", f"s{n}", v, "", None, "no" if v is None else None)
                    for n, v in enumerate(values.get(number % 5, (float(number),)))
                ),
            )
            for number, g in reversed(list(enumerate(started[:-1])))
        ]
    )
    assert store.verify(projections=True, payloads=True).problems == []
    rows = ask(store.url, SCORES)
    config = configuration(catalog.migrations())
    with store._database.upgrading() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, FIRST)
    store.close()
    return rows


SCORES = "SELECT generation, position, evaluator, name, value FROM score ORDER BY 1, 2"


def upgrade(url: str) -> Path | None:
    with Store.open(url, create=False, outdated=True) as store:
        return store.upgrade()


@pytest.fixture
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let pages have seven entries."""
    monkeypatch.setattr(migrations, "PAGE", 7)


def test_an_upgraded_store_has_all_scores(scores: list[Any], url: str, short_pages: None) -> None:
    with pytest.raises(StoreVersionError):
        Store.open(url, create=False)
    steps: list[tuple[int, int]] = []
    with Store.open(url, create=False, outdated=True) as store:
        store.upgrade(lambda step, done, total: steps.append((done, total)))
    assert len(scores) > NUMBER
    assert ask(url, SCORES) == scores
    assert len(steps) > 3
    pages = [done for done, _ in steps]
    again = pages.index(steps[-1][1] - 1) + 1  # where the next migration begins to read the entries
    assert pages[:again] == sorted(pages[:again])
    assert steps[-1][0] == steps[-1][1]
    with Store.open(url, create=False) as store:
        assert store.status().current
        assert store.verify(projections=True, payloads=True).problems == []
        with store.select("SELECT count(*), count(value), sum(failed) FROM v_score") as selected:
            assert [tuple(map(int, row)) for row in selected.rows] == [
                (len(scores), *(len([1 for row in scores if row.value is not None]),), 16)
            ]
        assert [g.prompt for g in store.generations(Query(sort="-score:s0", limit=1))] == [
            "prompt 38"
        ]
        assert store.rebuild()["score"] == len(scores)


PAGES_THEN_KILLED = """
from muniment.store.database import migrations
migrations.PAGE = 7
pages, original = int(arguments[0]), migrations.fill_page
def fill_page(connection, folder):
    global pages
    result = original(connection, folder)
    if pages == 0:
        os._exit(9)  # before this page is committed
    pages -= 1
    return result
migrations.fill_page = fill_page
with Store.open(url, create=False, outdated=True) as store:
    store.upgrade()
"""


def test_an_upgrade_killed_between_pages_is_continued(
    scores: list[Any], url: str, run: Programs
) -> None:
    for pages in (0, 2, 1):
        assert run(PAGES_THEN_KILLED, pages).wait(60) == 9
        with pytest.raises(StoreVersionError):
            Store.open(url, create=False)
        with Store.open(url, create=False, outdated=True) as store:
            assert not store.status().current
    (revision, position), *_ = ask(url, "SELECT revision, position FROM backfill ORDER BY revision")
    assert (revision, position) == (SECOND, 20)  # three pages of seven entries, from number 0
    copies = list(Path(url.removeprefix("sqlite:///")).parent.glob("*before-upgrade*"))
    assert upgrade(url) is None
    assert ask(url, SCORES) == scores
    assert ask(url, "SELECT * FROM backfill") == []
    if url.startswith("sqlite"):  # only the first attempt made a copy
        assert len(copies) == 1
    with Store.open(url, create=False) as store:
        assert store.verify(projections=True, payloads=True).problems == []


def test_a_new_store_is_current_without_filling(store: Store, url: str) -> None:
    assert ask(url, "SELECT * FROM backfill") == []


def test_the_migration_does_not_import_the_package() -> None:
    (path,) = (catalog.migrations() / "versions").glob(f"{SECOND}_*.py")
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported == {"__future__", "alembic", "collections", "sqlalchemy", "typing"}
