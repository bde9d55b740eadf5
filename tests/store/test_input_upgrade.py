"""Upgrading a full store from before inputs, items and fingerprints: everything reads as before."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from alembic import command
from sqlalchemy import inspect

from muniment.errors import StoreVersionError
from muniment.ledger.events import FeedbackEntry
from muniment.store import Query, Store
from muniment.store.database import catalog
from muniment.store.database.migrations import configuration
from muniment.store.recording.schema_version import HEAD
from muniment.store.search import index
from muniment.types.generations import Failure, Generation
from muniment.types.inputs import Input
from muniment.types.outputs import Output
from muniment.types.policies import policy_digest
from support.databases import ask, by_hand, change
from support.version1 import without_new_fields, write_version_1

pytestmark = pytest.mark.dialect

BEFORE = "1002"
Make = Callable[..., Generation]
NEW_TABLES = {"generation_input", "fingerprint"}
VIEWS = ("v_generation", "v_verdict", "v_score", "v_event")


class Old(NamedTuple):
    """A store of the revision before, with the contents that it had."""

    url: str
    generations: list[Generation]
    rows: dict[str, list[Any]]
    views: dict[str, list[Any]]
    root: str


def migrate(store: Store, direction: Callable[..., None], revision: str) -> None:
    config = configuration(catalog.migrations())
    with store._database.upgrading() as connection:
        config.attributes["connection"] = connection
        direction(config, revision)


def rows_of(url: str) -> dict[str, list[Any]]:
    """Return the rows of all tables that are not about running processes or backups."""
    with by_hand(url) as connection:
        names = set(inspect(connection).get_table_names()) - {"alembic_version", "lease", "backup"}
    names = {name for name in names if not name.startswith("search")}
    return {name: sorted(map(repr, ask(url, f"SELECT * FROM {name}"))) for name in names}


def views_of(url: str) -> dict[str, list[Any]]:
    """Return the rows of the views, without the columns that are new."""
    views = {}
    for name in VIEWS:
        rows = [dict(row._mapping) for row in ask(url, f"SELECT * FROM {name}")]
        for row in rows:
            assert row.pop("item", None) is None
            if name == "v_score":
                assert row.pop("newest", 1) == 1
                row.pop("at", None)
        views[name] = sorted(map(repr, rows))
    return views


@pytest.fixture
def old(
    store: Store, start: Make, finish: Make, make_rich: Any, monkeypatch: pytest.MonkeyPatch
) -> Old:
    """A store of the revision before, with entries of version 1 of every kind of event."""
    with monkeypatch.context() as patched:
        write_version_1(patched)
        rich_started, rich_ended = map(without_new_fields, make_rich())
        many = [start(f"prompt {n}", line=n + 1, tags=("t", f"n{n % 3}")) for n in range(20)]
        store.record_started([rich_started, *many], policy_document="rules: []")
        failed = finish(many[0], status="failed", failure=Failure("refused", "too long"))
        ended = [failed, *map(finish, many[1:-1])]
        store.record_outcomes([rich_ended], declared_categories={"words": frozenset({"violence"})})
        store.record_outcomes(ended)
        store.events.add_feedback(rich_ended.id, "bert", "up", "说得好")
        store.events.add_review(many[1].id, "bert", "overturn", "a joke")
        store.holds.add(Query(ids=[many[2].id]), "court", "case 7")
        store.erasures.erase(Query(ids=[many[3].id]), "auditor", reason="asked for")
    versions = ask(store.url, "SELECT DISTINCT version FROM entry")
    assert [row.version for row in versions] == [1]
    rows, root = rows_of(store.url), store.verify().root
    views = views_of(store.url)
    expected = [
        dataclasses.replace(g, policy_digest=policy_digest("rules: []"))
        for g in (rich_ended, *ended)
        if g.id != many[3].id
    ]
    migrate(store, command.downgrade, BEFORE)
    store.close()
    return Old(store.url, expected, rows, views, root)


def upgrade(url: str) -> None:
    with Store.open(url, create=False, outdated=True) as store:
        store.upgrade()


def test_an_upgraded_store_reads_as_before(old: Old) -> None:
    with pytest.raises(StoreVersionError):
        Store.open(old.url, create=False)
    assert views_of(old.url) == old.views
    upgrade(old.url)
    assert ask(old.url, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    assert rows_of(old.url) == old.rows
    assert views_of(old.url) == old.views
    with Store.open(old.url, create=False) as store:
        assert store.status().current
        result = store.verify(projections=True, payloads=True, search=True)
        assert (result.problems, result.root) == ([], old.root)
        for expected in old.generations:
            assert store.generation(expected.id) == expected
        listed = {g.id: g for g in store.generations()}
        assert len(listed) == 21
        assert {g.inputs for g in listed.values()} == {()}
        assert [hit.generation.id for hit in store.search("卫星")] == [old.generations[0].id]
        (feedback,) = store.events.of(old.generations[0].id, FeedbackEntry)
        assert (feedback.entry.rating, feedback.entry.action, feedback.entry.item) == (
            *("up", None, None),
        )
        assert feedback.text("comment") == "说得好"
        assert len(store.holds.in_force()) == 1
        assert len(list(store.erasures.records())) == 1


def test_a_rebuild_after_the_upgrade_gives_equal_rows(old: Old) -> None:
    upgrade(old.url)
    with Store.open(old.url, create=False) as store:
        counts = store.rebuild()
        assert {counts[name] for name in NEW_TABLES} == {0}
        assert store.verify(projections=True, payloads=True, search=True).problems == []
    assert rows_of(old.url) == old.rows
    assert views_of(old.url) == old.views


def test_an_upgraded_store_has_old_and_new_entries(old: Old, start: Make, finish: Make) -> None:
    upgrade(old.url)
    digest, given = policy_digest("rules: []"), Input("context", "text/plain", b"new")
    started = start(inputs=(given,), parents=(), policy_digest=digest)
    with Store.open(old.url, create=False) as store:
        interrupted = [g.id for g in store.generations(Query(status="interrupted"))]
        store.record_started([started], policy_document="rules: []")
        output = Output("image/png", b"\x89", None, (0,), b"pixels")
        ended = finish(started, outputs=(output,))
        store.record_outcomes([ended])
        assert store.generation(ended.id) == ended
        assert [store.generation(id).status for id in interrupted] == ["interrupted"]
        assert store.verify(projections=True, payloads=True, search=True).problems == []
        rows = rows_of(old.url)
        assert {len(rows[name]) for name in NEW_TABLES} == {1}
        store.rebuild()
        assert rows_of(old.url) == rows
    versions = ask(old.url, "SELECT kind, version FROM entry WHERE kind = 'outcome'")
    assert {row.version for row in versions} == {1, 2}


def test_an_upgraded_store_can_be_downgraded_and_upgraded_again(old: Old) -> None:
    upgrade(old.url)
    with Store.open(old.url, create=False) as store:
        migrate(store, command.downgrade, BEFORE)
    with by_hand(old.url) as connection:
        assert NEW_TABLES.isdisjoint(inspect(connection).get_table_names())
        columns = {column["name"] for column in inspect(connection).get_columns("verdict")}
    assert "item" not in columns
    assert views_of(old.url) == old.views
    upgrade(old.url)
    assert rows_of(old.url) == old.rows
    with Store.open(old.url, create=False) as store:
        assert store.verify(projections=True, payloads=True).problems == []


def test_a_proof_of_an_old_generation_is_valid(old: Old, tmp_path: Any) -> None:
    from muniment.signing import KeyStore
    from support import outsider

    upgrade(old.url)
    with Store.open(old.url, create=False) as store:
        keys = KeyStore(tmp_path)
        keys.generate(store.log)
        note = keys.newest_checkpoint(store)
        proof = store.prove(old.generations[0].id, note, ["prompt", "output"])
        key = keys.private_key(store.log)
    assert key is not None
    outsider.verify(proof.write(), str(key.public))
    bodies = [json.loads(item["entry"]) for item in json.loads(proof.write())["entries"]]
    assert [(b["kind"], b["version"]) for b in bodies[:2]] == [("started", 1), ("outcome", 1)]


def test_an_upgrade_removes_the_terms_of_altered_texts(
    store: Store, start: Make, finish: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = (Output("application/json", b'["lighthouse"]'), Output("text/plain", b"harbour"))
    with monkeypatch.context() as patched:
        write_version_1(patched)
        patched.setattr("muniment.types.media_types._JSON_TYPE", re.compile("none"))
        started = start("x")
        store.record_started([started], policy_document="rules: []")
        store.record_outcomes([finish(started, outputs=outputs)])
    change(
        store.url,
        "UPDATE payload SET content = :new WHERE kind = 'output' AND position = 1",
        {"new": b"airport"},
    )
    migrate(store, command.downgrade, BEFORE)
    store.close()
    upgrade(store.url)
    with Store.open(store.url, create=False) as upgraded:
        [hit] = upgraded.search("lighthouse")
        assert (hit.generation.id, hit.generation.altered) == (started.id, ("output",))
        with upgraded._database.reading() as connection:
            words = {word for _, words in index.contents(connection) for word in words}
    assert "lighthouse" in words
    assert "harbour" not in words


def test_an_upgrade_adds_outputs_of_json_to_the_search_index(
    store: Store, start: Make, finish: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = (Output("application/json", b'["lighthouse"]'), Output("text/plain", b"harbour"))
    with monkeypatch.context() as patched:
        write_version_1(patched)
        # The revision before had no text of JSON.
        patched.setattr("muniment.types.media_types._JSON_TYPE", re.compile("none"))
        started = [start("x"), start("y")]
        store.record_started(started, policy_document="rules: []")
        store.record_outcomes([finish(started[0], outputs=outputs), finish(started[1])])
        assert list(store.search("lighthouse")) == []
    migrate(store, command.downgrade, BEFORE)
    store.close()
    upgrade(store.url)
    with Store.open(store.url, create=False) as upgraded:
        for word in ("lighthouse", "harbour"):
            assert [hit.generation.id for hit in upgraded.search(word)] == [started[0].id]
        assert upgraded.verify(projections=True, payloads=True, search=True).problems == []
        upgraded.erasures.erase(Query(ids=[started[0].id]), "auditor")
        assert list(upgraded.search("lighthouse")) == []
        assert upgraded.verify(projections=True, payloads=True, search=True).problems == []
