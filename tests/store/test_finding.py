"""Every filter finds what it should and nothing else; ids can be shortened."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from muniment.errors import AmbiguousNameError, UnknownNameError
from muniment.ids import new_id
from muniment.store import Query, Store
from muniment.store.reading import PAGE
from muniment.types import Model, Verdict
from support.databases import only_sqlite

NEWS, TALES = new_id(), new_id()
MODEL = Model("tiny", "tree1-sha256:" + "ab12" * 16, "/models/tiny")


@pytest.fixture
def filled(store: Store, start: Any, finish: Any) -> dict[str, str]:
    """Four generations that differ in everything that can be asked for; their ids by prompt."""
    noon = start().started_at
    blocked = Verdict("block", {}, (), "strict", "1", "output", "block", "default")
    observed = Verdict("block", {}, (), "lenient", "1", "output", "allow", "default")
    flagged = Verdict("flag", {}, (), "words", "1", "prompt", "flag", "default")
    first = [
        start("a", run_id=NEWS, tags=("x", "卫星"), model=MODEL, started_at=noon, line=1),
        start("b", run_id=NEWS, tags=("x",), actor="bert", started_at=noon + timedelta(hours=1)),
    ]
    second = [
        start("c", run_id=TALES, generator="other", seed=9, started_at=noon + timedelta(hours=2)),
        start("d", run_id=TALES, started_at=noon + timedelta(hours=3)),
    ]
    store.record_started(first, policy_document="")
    store.record_started(second, policy_document="")
    store.record_outcomes(
        [
            finish(first[0], verdicts=(flagged, flagged)),
            finish(first[1], status="blocked", verdicts=(flagged, blocked)),
            finish(second[0], verdicts=(observed,)),
        ]
    )
    return {g.prompt: g.id for g in (*first, *second)}


def found(store: Store, **wanted: Any) -> str:
    return "".join(g.prompt for g in store.generations(Query(**wanted)))


@pytest.mark.parametrize(
    ("wanted", "prompts"),
    [
        ({}, "dcba"),
        ({"limit": 2}, "dc"),
        ({"limit": 0}, ""),
        ({"status": "completed"}, "ca"),
        ({"status": "blocked"}, "b"),
        ({"status": "started"}, "d"),
        ({"status": "interrupted"}, ""),
        ({"generator": "words"}, "dba"),
        ({"model": "tiny"}, "a"),
        ({"model": MODEL.digest}, "a"),
        ({"model": "ab12ab12"}, "a"),
        ({"model": "tree1-sha256:ab12"}, "a"),
        ({"model": "file-sha256:ab12"}, ""),
        ({"model": "tin"}, ""),
        ({"decision": "allow"}, "c"),
        ({"decision": "flag"}, "a"),
        ({"decision": "block"}, "b"),
        ({"filter": "words"}, "ba"),
        ({"filter": "words", "limit": 1}, "b"),
        ({"filter": "words", "decision": "flag"}, "ba"),
        ({"filter": "words", "decision": "block"}, ""),
        ({"filter": "lenient", "decision": "block"}, "c"),  # observed only
        ({"filter": "lenient", "decision": "allow"}, ""),
        ({"actor": "bert"}, "b"),
        ({"actor": "nobody"}, ""),
        ({"tag": "x"}, "ba"),
        ({"tag": "卫星"}, "a"),
        ({"tag": "x", "filter": "strict"}, "b"),
        ({"run": NEWS}, "ba"),
        ({"seed": 9}, "c"),
        ({"run": TALES, "seed": 9, "generator": "other", "status": "completed"}, "c"),
    ],
    ids=str,
)
def test_a_query_finds(
    store: Store, filled: dict[str, str], wanted: dict[str, Any], prompts: str
) -> None:
    assert found(store, **wanted) == prompts


def test_since_is_included_and_until_is_not(
    store: Store, filled: dict[str, str], start: Any
) -> None:
    noon = start().started_at
    assert found(store, since=noon + timedelta(hours=1)) == "dcb"
    assert found(store, until=noon + timedelta(hours=1)) == "a"
    assert found(store, since=noon, until=noon + timedelta(hours=2)) == "ba"


def test_ids_find_those_of_them_that_exist(store: Store, filled: dict[str, str]) -> None:
    assert found(store, ids=[filled["a"], filled["c"], new_id()]) == "ca"


@pytest.mark.parametrize("filters", [{}, {"tag": "t"}, {"filter": "words"}, {"run": NEWS}], ids=str)
def test_long_lists_are_whole_and_in_order(
    store: Store, start: Any, finish: Any, filters: dict[str, Any]
) -> None:
    many = [start(str(n), tags=("t", "t"), run_id=NEWS) for n in range(2 * PAGE + 7)]
    verdict = Verdict("allow", {}, (), "words", "1")
    store.record_started(many, policy_document="")
    store.record_outcomes([finish(g, verdicts=(verdict, verdict)) for g in many])
    prompts = [int(g.prompt) for g in store.generations(Query(**filters))]
    assert prompts == list(reversed(range(2 * PAGE + 7)))
    assert len(list(store.generations(Query(**filters, limit=PAGE + 1)))) == PAGE + 1


def test_a_list_can_be_left_and_the_store_written_in_the_meantime(store: Store, start: Any) -> None:
    store.record_started([start() for _ in range(PAGE + 1)], policy_document="")
    listing = store.generations()
    next(listing)
    store.record_started([start()], policy_document="")
    assert len(list(listing)) == PAGE


@pytest.mark.parametrize(
    "wanted",
    [
        {"status": "completed"},
        {"status": "started"},
        {"generator": "words"},
        {"model": "tiny"},
        {"model": MODEL.digest},
        {"decision": "flag"},
        {"filter": "words"},
        {"filter": "words", "decision": "flag"},
        {"actor": "bert"},
        {"tag": "x"},
        {"run": NEWS},
        {"seed": 9},
        {"ids": [NEWS]},
    ],
    ids=str,
)
@only_sqlite
def test_every_filter_has_an_index(
    store: Store, filled: dict[str, str], wanted: dict[str, Any]
) -> None:
    statements: list[tuple[str, Any]] = []
    engine = store._database.engine

    @event.listens_for(engine, "before_cursor_execute")
    def _note(conn: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        if "FROM generation" in statement and "ORDER BY" in statement:
            statements.append((statement, parameters))

    list(store.generations(Query(**wanted, limit=20)))
    event.remove(engine, "before_cursor_execute", _note)
    statement, parameters = statements[-1]
    assert store.path is not None
    database = sqlite3.connect(store.path)
    plan = [row[3] for row in database.execute("EXPLAIN QUERY PLAN " + statement, parameters)]
    database.close()
    assert any(step.startswith("SEARCH") for step in plan), plan
    assert not any(step.startswith("SCAN") for step in plan), plan


# ---- shortened ids -----------------------------------------------------------------------------


def test_a_beginning_an_end_and_last_name_a_generation(
    store: Store, filled: dict[str, str]
) -> None:
    id = filled["d"]
    assert store.find("last") == store.find("LAST") == id
    for ref in (id, id.lower(), id[-4:], id[-10:].lower(), id[:25]):
        assert store.find(ref) == id


def test_what_fits_several_names_them(store: Store, start: Any) -> None:
    stem = new_id()[:-6]
    pair = [start(id=f"{stem}{end}") for end in ("AAQQQQ", "BBQQQQ")]
    store.record_started(pair, policy_document="")
    for ref in (stem, "qqqq"):
        with pytest.raises(AmbiguousNameError) as caught:
            store.find(ref)
        assert set(caught.value.candidates) == {g.id for g in pair}
    assert store.find("AAQQQQ") == pair[0].id


@pytest.mark.parametrize("ref", ["", "Q", "QQQ", "nothing", "%%%%", "____", "'; --", "~~~~"])
def test_what_fits_nothing_is_said_to_be_unknown(
    store: Store, filled: dict[str, str], ref: str
) -> None:
    with pytest.raises(UnknownNameError, match="no generation"):
        store.find(ref)
    with pytest.raises(UnknownNameError, match="no run"):
        store.find_run(ref)


def test_last_of_an_empty_store_says_that_nothing_is_recorded(store: Store) -> None:
    for find in (store.find, store.find_run):
        with pytest.raises(UnknownNameError, match="nothing is recorded yet"):
            find("last")


def test_an_unknown_id_is_an_error(store: Store) -> None:
    with pytest.raises(UnknownNameError):
        store.generation(new_id())
    with pytest.raises(UnknownNameError):
        store.run(new_id())


# ---- runs and lines ----------------------------------------------------------------------------


def test_runs_are_listed_with_what_became_of_them(store: Store, filled: dict[str, str]) -> None:
    tales, news = store.runs()
    assert (tales.id, news.id) == (TALES, NEWS)
    assert news.counts == {"completed": 1, "blocked": 1}
    assert tales.counts == {"completed": 1, "started": 1}
    assert tales.finished_at is None
    assert news.finished_at is not None
    assert news.generators == ("words",)
    assert tales.generators == ("other", "words")
    assert (news.lines, tales.lines) == (1, 0)
    assert news.actor == "anna"
    assert [run.id for run in store.runs(limit=1)] == [TALES]
    assert store.run(NEWS) == news


def test_a_run_is_found_by_part_of_its_id(store: Store, filled: dict[str, str]) -> None:
    assert store.find_run("last") == TALES
    assert store.find_run(NEWS[-6:].lower()) == NEWS


def test_a_line_is_its_completed_attempt_or_else_the_latest(
    store: Store, start: Any, finish: Any
) -> None:
    run = new_id()

    def attempt(line: int, prompt: str, status: str) -> None:
        started = start(prompt, run_id=run, line=line)
        store.record_started([started], policy_document="")
        store.record_outcomes([finish(started, status=status)])

    attempt(2, "two", "failed")
    attempt(1, "one", "interrupted")
    attempt(2, "two again", "failed")
    attempt(1, "one again", "completed")
    lines = list(store.lines(run))
    assert [(line.number, line.attempts) for line in lines] == [(1, 2), (2, 2)]
    assert [line.generation.prompt for line in lines] == ["one again", "two again"]
    assert [line.generation.status for line in lines] == ["completed", "failed"]
    assert list(store.lines(new_id())) == []
