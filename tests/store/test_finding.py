"""Every filter finds what it should and nothing else; ids can be shortened."""

from __future__ import annotations

import itertools
import random
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import event

from muniment.errors import AmbiguousNameError, StoreError, UnknownNameError, UsageError
from muniment.ids import new_id
from muniment.store import Query, Store
from muniment.store.queries import time_index
from muniment.store.queries.loader import PAGE
from muniment.types.models import Model
from muniment.types.plugins import PluginRef
from muniment.types.verdicts import Verdict
from support.databases import change, only_sqlite

pytestmark = pytest.mark.dialect

# Ids of runs that are the same in every process: parts of the names of tests are made of them.
NEWS, TALES = "01KJMZ8Q0000000000000000N0", "01KJMZ8Q0000000000000000T0"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DOCUMENT = "rules: []"
SHA256 = sha256(DOCUMENT.encode()).hexdigest()
MODEL = Model("tiny", "tree1-sha256:" + "ab12" * 16, "/models/tiny")


@pytest.fixture
def filled(store: Store, start: Any, finish: Any) -> dict[str, str]:
    """Four generations that differ in everything that can be asked for; their ids by prompt."""
    noon = start().started_at
    blocked = Verdict("block", {"secret": 1.0}, (), "strict", "1", "output", "block", "default")
    observed = Verdict("block", {"abuse": 1.0}, (), "lenient", "1", "output", "allow", "default")
    flagged = Verdict(
        "flag", {"abuse": 0.5, "none": 0.0}, (), "words", "1", "prompt", "flag", "default"
    )
    first = [
        start("a", run_id=NEWS, tags=("x", "卫星"), model=MODEL, started_at=noon, line=1),
        start("b", run_id=NEWS, tags=("x",), actor="bert", started_at=noon + timedelta(hours=1)),
    ]
    second = [
        start("c", run_id=TALES, generator="other", seed=9, started_at=noon + timedelta(hours=2)),
        start(
            "d",
            run_id=TALES,
            started_at=noon + timedelta(hours=3),
            policy="lax@3",
            plugins=(PluginRef("Other.Words", "2", "tree1-sha256:" + "2" * 64),),
        ),
    ]
    store.record_started(first, policy_document="")
    store.record_started(second, policy_document=DOCUMENT)
    judge = PluginRef("muniment-judge", "0.2", "tree1-sha256:" + "3" * 64)
    store.record_outcomes(
        [
            finish(first[0], verdicts=(flagged, flagged)),
            finish(first[1], status="blocked", verdicts=(flagged, blocked)),
            finish(second[0], verdicts=(observed,), plugins=(*second[0].plugins, judge)),
        ]
    )
    store.events.add_review(first[1].id, "bert", "approve")
    store.events.add_review(first[1].id, "carl", "overturn")
    return {g.prompt: g.id for g in (*first, *second)}


@pytest.mark.parametrize(
    ("written", "prompts"),
    [
        *(("m", "ma"), ("./m", "wma"), ("m/", "ma"), ("./m/", "ma"), ("a/../m", "ma")),
        *(
            ("./tiny", "t"),
            ("e\u0301", "ce"),
            ("\u00e9", "c"),
            ("./e\u0301", "ce"),
            ("x" * 300, ""),
        ),
    ],
)
def test_a_path_of_a_model_finds_the_name_as_written_and_its_plain_form(
    store: Store, start: Any, finish: Any, written: str, prompts: str
) -> None:
    names = {"a": "m", "e": "e\u0301", "c": "\u00e9", "t": "tiny", "m": "m", "w": "./m"}
    started = [
        start(prompt, model=Model(name, "", ""), generator=f"g{prompt}")
        for prompt, name in names.items()
    ]
    store.record_started(started, policy_document="")
    store.record_outcomes([finish(one) for one in started])
    assert sorted(found(store, model=written)) == sorted(prompts)
    assert sorted(found(store, model=written, status="completed")) == sorted(prompts)
    unknown = [reason for reason in store.obstacles(Query(model=written)) if "model" in reason]
    assert bool(unknown) != bool(prompts)


def found(store: Store, **wanted: Any) -> str:
    prompts = [g.prompt for g in store.generations(Query(**wanted))]
    if "limit" not in wanted:
        assert store.count(Query(**wanted)) == len(prompts)
    return "".join(prompts)


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
        ({"decision": "undecided"}, "d"),
        ({"decision": "undecided", "status": "started"}, "d"),
        ({"decision": "undecided", "policy": "lax"}, "d"),
        ({"decision": "flag"}, "a"),
        ({"decision": "block"}, "b"),
        ({"filter": "words"}, "ba"),
        ({"filter": "words", "limit": 1}, "b"),
        ({"filter": "words", "decision": "flag"}, "ba"),
        ({"filter": "words", "decision": "block"}, ""),
        ({"filter": "lenient", "decision": "block"}, "c"),  # observed only
        ({"filter": "lenient", "decision": "allow"}, ""),
        ({"category": "abuse"}, "cba"),
        ({"category": "none"}, ""),
        ({"category": "secret"}, "b"),
        ({"category": "abuse", "filter": "words"}, "ba"),
        ({"category": "secret", "filter": "words"}, ""),
        ({"category": "abuse", "decision": "flag", "limit": 5}, "a"),
        ({"policy": "default"}, "cba"),
        ({"policy": "lax"}, "d"),
        ({"policy": "lax@3"}, "d"),
        ({"policy": "lax@"}, ""),
        ({"policy": "la_"}, ""),
        ({"policy": "strict"}, ""),
        ({"policy": SHA256}, "dc"),
        ({"policy": "sha256:" + SHA256[:8]}, "dc"),
        ({"made_with": "muniment-words"}, "cba"),
        ({"made_with": "Muniment_Words"}, "cba"),
        ({"made_with": "muniment-judge"}, "c"),
        ({"made_with": "muniment-judge==0.2"}, "c"),
        ({"made_with": "muniment-judge == 0.2"}, "c"),
        ({"made_with": "muniment-judge==0.1"}, ""),
        ({"made_with": "other-words"}, "d"),
        ({"made_with": "words"}, ""),
        ({"reviewed": True}, "b"),
        ({"reviewed": False}, "dca"),
        ({"reviewed": False, "decision": "flag", "made_with": "muniment-words"}, "a"),
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


def test_who_was_recorded_late_is_found_by_when_it_started(store: Store, start: Any) -> None:
    starts = [NOON + timedelta(hours=h) for h in (0, 5, 1, 9, -30, 6)]
    for number, at in enumerate(starts):
        store.record_started([start(str(number), started_at=at)], policy_document="")
    hour = timedelta(hours=1)
    assert found(store, until=NOON) == "4"
    assert found(store, until=NOON + 2 * hour) == "420"
    assert found(store, since=NOON + hour, until=NOON + 6 * hour) == "21"
    with store._database.reading() as connection:
        assert time_index.mismatches(connection) == []


@pytest.mark.parametrize("stretch", [1, 2, 3, 4096])
def test_stretches_of_any_length_find_the_same(
    store: Store, start: Any, stretch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_index, "BLOCK", stretch)
    source = random.Random(stretch)
    starts = [NOON + timedelta(minutes=source.randrange(50)) for _ in range(40)]
    store.record_started(
        [start(str(n), started_at=at) for n, at in enumerate(starts)], policy_document=""
    )
    for since, until in ((None, 20), (10, None), (10, 11), (25, 40), (60, None)):
        first = NOON + timedelta(minutes=since or 0)
        last = NOON + timedelta(minutes=60 if until is None else until)
        prompts = [str(n) for n, at in enumerate(starts) if first <= at < last][::-1]
        query = Query(since=since and first, until=until and last)
        assert [g.prompt for g in store.generations(query)] == prompts


def test_ids_find_those_of_them_that_exist(store: Store, filled: dict[str, str]) -> None:
    assert found(store, ids=[filled["a"], filled["c"], new_id()]) == "ca"


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"tag": "t"},
        {"filter": "words"},
        {"run": NEWS},
        {"policy": "default"},
        {"category": "abuse"},
    ],
    ids=str,
)
def test_long_lists_are_whole_and_in_order(
    store: Store, start: Any, finish: Any, filters: dict[str, Any]
) -> None:
    many = [start(str(n), tags=("t", "t"), run_id=NEWS) for n in range(2 * PAGE + 7)]
    verdict = Verdict("flag", {"abuse": 1.0}, (), "words", "1", "output", "flag")
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


FILTERS: list[dict[str, Any]] = [
    {"since": NOON},
    {"until": NOON},
    {"status": "completed"},
    {"status": "started"},
    {"status": "interrupted"},
    {"generator": "words"},
    {"model": "tiny"},
    {"model": MODEL.digest},
    {"decision": "flag"},
    {"decision": "undecided"},
    {"filter": "words"},
    {"filter": "words", "decision": "flag"},
    {"category": "abuse"},
    {"policy": "default"},
    {"made_with": "muniment-words"},
    {"reviewed": True},
    {"reviewed": False},
    {"actor": "bert"},
    {"tag": "x"},
    {"run": NEWS},
    {"seed": 9},
    {"ids": [NEWS]},
]
PAIRS = [
    one | other
    for one, other in itertools.combinations(FILTERS, 2)
    if not {"decision": "undecided", "filter": "words"}.items() <= (one | other).items()
]


@only_sqlite
def test_no_filter_and_no_pair_of_them_scans_a_table(store: Store, filled: dict[str, str]) -> None:
    for wanted in [*FILTERS, *PAIRS]:
        query = Query(**wanted, limit=20)
        for statement, plan in plans(store, lambda query=query: list(store.generations(query))):
            first_only = statement.endswith("LIMIT 1")
            assert first_only or not any(map(SCANS.match, plan)), (wanted, statement, plan)
            # What is ordered there is at most a page of each branch.
            if "UNION" not in statement:
                assert not any("TEMP B-TREE FOR ORDER" in step for step in plan), (wanted, plan)


@only_sqlite
def test_no_search_scans_a_table(store: Store, filled: dict[str, str]) -> None:
    for wanted in [{}, *FILTERS]:
        query = Query(**wanted, limit=20)
        for statement, plan in plans(store, lambda query=query: list(store.search("a", query))):
            first_only = statement.endswith("LIMIT 1")
            assert first_only or not any(map(SCANS.match, plan)), (wanted, statement, plan)


SCANS = re.compile(
    r"SCAN (g|v|c|t|p|s|event|verdict_category|generation|verdict|generation_tag|payload|entry)\b"
    r"(?!.*(VIRTUAL|_open$))"
)


def plans(store: Store, ask: Callable[[], object]) -> Iterator[tuple[str, list[str]]]:
    """Yield each statement that is run when something is asked, and how SQLite goes about it."""
    statements: list[tuple[str, Any]] = []
    engine = store._database.engine

    @event.listens_for(engine, "before_cursor_execute")
    def _note(conn: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> None:
        if statement.startswith("SELECT"):
            statements.append((statement, parameters))

    ask()
    event.remove(engine, "before_cursor_execute", _note)
    assert statements
    assert store.path is not None
    with closing(sqlite3.connect(store.path)) as database:
        for statement, parameters in statements:
            plan = database.execute("EXPLAIN QUERY PLAN " + statement, parameters)
            yield statement, [row[3] for row in plan]


def test_an_interrupted_generation_is_found_by_the_plugins_of_its_start(
    store: Store, start: Any
) -> None:
    store.record_started([start("lost")], policy_document="")
    store.close()
    with Store.open(store.url, create=False) as again:
        assert found(again, made_with="muniment-words", status="interrupted") == "lost"
        again.erasures.erase(Query(tag="none"), "bert")  # records interruptions
        assert found(again, made_with="muniment-words", status="interrupted") == "lost"
        assert again.verify(projections=True).problems == []
        assert again.rebuild()["generation"] == 1
        assert found(again, made_with="muniment-words") == "lost"


def test_filters_find_generations_of_many_plugins_policies_and_models(
    store: Store, start: Any, finish: Any
) -> None:
    digest = "tree1-sha256:" + "1" * 64
    started = [
        start(
            str(number),
            policy=f"team@{number}",
            plugins=(PluginRef("editable", str(number), digest),),
            model=Model(f"model {number % 60}", digest, "/models/m"),
        )
        for number in range(600)
    ]
    for item in started:
        store.record_started([item], policy_document=f"version: {item.prompt}")
    store.record_outcomes([finish(started[7])])
    for wanted in ({"made_with": "editable"}, {"policy": "team"}, {"generator": "words"}):
        query = Query(**wanted)
        assert store.count(query) == store.stats(query).total == 600
        assert [item.prompt for item in store.generations(Query(**wanted, limit=2))] == [
            *("599", "598"),
        ]
        ordered = store.generations(Query(**wanted, sort="score:length", limit=1))
        assert [item.prompt for item in ordered] == ["7"]
        assert [hit.generation.prompt for hit in store.search("7", query)] == ["7"]
    assert found(store, made_with="editable==7") == found(store, policy="team@7") == "7"


def test_a_generation_whose_plugins_are_unknown_hides_no_other(
    store: Store, filled: dict[str, str]
) -> None:
    change(store.url, "UPDATE generation SET plugins = NULL WHERE id = :id", {"id": filled["b"]})
    assert found(store, made_with="muniment-words") == "ca"
    assert store.count(Query(made_with="muniment-words")) == 2


@pytest.mark.parametrize("content", [b"\xff\x00", b'{"document":"rules: []","name":"x"}'], ids=str)
def test_an_altered_policy_is_not_found_by_its_digest(
    store: Store, filled: dict[str, str], content: bytes
) -> None:
    assert found(store, policy=SHA256[:12]) == "dc"
    statement = "UPDATE payload SET content = :content WHERE kind = 'policy'"
    assert change(store.url, statement, {"content": content}) > 1
    assert found(store, policy=SHA256[:12]) == ""
    assert found(store, policy="lax") == "d"


@pytest.mark.parametrize(
    "wanted",
    [
        {"category": " "},
        {"policy": ""},
        {"reviewed": "yes"},
        {"status": "done"},
        {"decision": "blocked"},
        {"filter": "words", "decision": "undecided"},
    ],
    ids=str,
)
def test_an_empty_or_malformed_filter_is_refused(wanted: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(wanted))):
        Query(**wanted)


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


def test_a_reference_with_nul_finds_nothing(store: Store, filled: dict[str, str]) -> None:
    for find in (store.find, store.find_run, store.generation, store.run, store.lineage):
        with pytest.raises((UnknownNameError, StoreError)) as caught:
            find("\0" * 26)
        assert "\n" not in str(caught.value)
        assert "connection" not in str(caught.value)


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


# ---- samples -----------------------------------------------------------------------------------


def test_a_sample_is_of_the_completed_generations_of_a_query(
    store: Store, filled: dict[str, str]
) -> None:
    for query in (Query(), Query(run=NEWS), Query(tag="x"), Query(actor="bert"), Query(limit=1)):
        found = store.generations(Query(run=query.run, tag=query.tag, actor=query.actor))
        completed = {one.id for one in found if one.status == "completed"}
        sample = store.sample(9, "k", query)
        assert set(sample) == completed
        assert store.sample(1, "k", query) == sample[:1]
    assert store.sample(9, "k", Query(status="blocked")) == []
