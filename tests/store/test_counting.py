"""Statistics, lineage and what follows, on every database."""

from __future__ import annotations

import threading
import time
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from alembic import command

from muniment.errors import UsageError
from muniment.ids import new_id
from muniment.ledger.payload_texts import PolicyText, encode_text
from muniment.store import Query, Store
from muniment.store.database import catalog
from muniment.store.database.migrations import configuration
from muniment.store.queries import finder
from muniment.store.queries.stats import GROUPS
from muniment.types.models import Model
from muniment.types.replies import Usage
from muniment.types.verdicts import Verdict
from support.databases import change


@pytest.fixture
def filled(store: Store, start: Any, finish: Any) -> Store:
    """Ten that were completed in 1 to 10 seconds, the last of them a day later, and one at work."""
    started = [
        start(
            str(n),
            actor="bert" if n == 1 else "anna",
            tags=("odd",) * (n % 2),
            model=Model("tiny", "file-sha256:" + "a" * 64, "") if n < 4 else None,
            started_at=start().started_at + timedelta(days=n == 10),
        )
        for n in range(1, 11)
    ]
    store.record_started([*started, start("open")], policy_document="")
    store.record_outcomes(
        [
            finish(
                g,
                finished_at=g.started_at + timedelta(seconds=n),
                usage=None if n == 10 else Usage(n, 2 * n),
            )
            for n, g in enumerate(started, 1)
        ]
    )
    return store


def test_everything_is_counted(filled: Store) -> None:
    found = filled.stats()
    assert found.total == 11
    assert found.statuses == {"completed": 10, "started": 1}
    assert found.decisions == {"allow": 10, "": 1}
    assert found.generators == {"words": 11}
    assert found.models == {"": 8, "tiny": 3}
    assert found.actors == {"anna": 10, "bert": 1}
    assert found.days == {date(2026, 3, 1): 10, date(2026, 3, 2): 1}
    assert found.latency is not None
    assert found.latency.percentiles == {50: 5000, 90: 9000, 95: 10000, 99: 10000}
    assert (found.latency.smallest, found.latency.largest) == (1000, 10000)
    assert found.latency.mean == 5500
    assert found.output_tokens is not None
    assert (found.output_tokens.count, found.output_tokens.largest) == (9, 18)


@pytest.mark.dialect
def test_a_generation_that_ended_without_a_finding_or_an_answer_is_not_allowed(
    store: Store, start: Any, finish: Any
) -> None:
    flag = (Verdict("flag", {}, (), "words", "1", "prompt", "flag", "default", 0.5),)
    outcomes: dict[str, dict[str, Any]] = {
        "completed": {},
        "interrupted": {"status": "interrupted"},
        "failed": {"status": "failed", "verdicts": ()},
        "flagged": {"status": "failed", "verdicts": flag},
    }
    started = {name: start(name, seed=n) for n, name in enumerate(outcomes)}
    store.record_started([*started.values()], policy_document="")
    store.record_outcomes([finish(started[name], **fields) for name, fields in outcomes.items()])
    assert store.stats().decisions == {"": 2, "allow": 1, "flag": 1}
    assert store.stats(by=["decision"]).groups["decision"][""] == {"": 2}
    assert store.stats(Query(decision="allow", generator="words")).total == 1
    for query in (Query(decision="allow"), Query(decision="allow", seed=1), Query(limit=9)):
        decisions = {item.prompt: item.decision for item in store.generations(query)}
        expected = {"completed": "allow", "interrupted": None, "failed": None, "flagged": "flag"}
        if query.decision:
            expected = {"completed": "allow"} if query.seed is None else {}
        assert decisions == expected
    for fields, prompts in (
        ({}, {"interrupted", "failed"}),
        ({"generator": "words"}, {"interrupted", "failed"}),
        ({"status": "failed"}, {"failed"}),
        ({"status": "completed"}, set()),
        ({"seed": 1}, {"interrupted"}),
    ):
        undecided = Query(decision="undecided", **fields)
        assert {item.prompt for item in store.generations(undecided)} == prompts, fields
        assert store.count(undecided) == store.stats(undecided).total == len(prompts), fields
    failed = Query(decision="allow", status="failed")
    assert list(store.generations(failed)) == []


@pytest.mark.dialect
def test_local_days_begin_where_those_of_the_filters_do(
    store: Store, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        midnight = datetime(2026, 3, 1, 16, tzinfo=UTC)  # of 2 March in Shanghai
        starts = [midnight - timedelta(milliseconds=1), midnight, midnight + timedelta(hours=9)]
        now = datetime.now(UTC)
        started = [start(started_at=at) for at in (*starts, now)]
        store.record_started(started, policy_document="")
        local = store.stats(by=["day"], local_days=True)
        today = now.astimezone().date()
        assert local.days == {date(2026, 3, 1): 1, date(2026, 3, 2): 2, today: 1}
        assert local.groups["day"]["2026-03-02"] == {"": 2}
        assert store.stats(Query(until="2026-03-02")).days[date(2026, 3, 2)] == 1  # in UTC
        for day, count in ({today.isoformat(): 1, "today": 1, "2026-03-02": 2}).items():
            assert store.stats(Query(since=day, until=day)).total == count
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("wanted", "total"),
    [
        ({"tag": "odd"}, 5),
        ({"actor": "bert"}, 1),
        ({"status": "started"}, 1),
        ({"model": "tiny", "tag": "odd"}, 2),
        ({"filter": "words"}, 10),
        ({"seed": 1}, 0),
    ],
    ids=str,
)
def test_only_what_is_wanted_is_counted(filled: Store, wanted: dict[str, Any], total: int) -> None:
    assert filled.stats(Query(**wanted)).total == total


@pytest.fixture
def judged(store: Store, start: Any, finish: Any) -> list[str]:
    """The ids of generations with verdicts: one with two categories, one observed, one allowed."""

    def verdict(decision: str, action: str = "", filter: str = "words", **scores: float) -> Any:
        return Verdict(
            decision, scores, (), filter, "1", "output", action or decision, "default", 0.5
        )

    started = [start(str(n), policy="strict" if n else "lax") for n in range(4)]
    store.record_started(started, policy_document="rules: []")
    verdicts = [
        (
            verdict("flag", abuse=0.5, other=0.0, secret=1.0),
            verdict("block", filter="list", abuse=1.0),
        ),
        (verdict("flag", "allow", abuse=0.1), verdict("flag", "allow", abuse=0.1)),
        (verdict("allow", abuse=0.9),),
    ]
    ended = [finish(g, verdicts=v) for g, v in zip(started, verdicts, strict=False)]
    store.record_outcomes(ended, declared_categories={"words": frozenset({"abuse", "other"})})
    store.events.add_review(started[0].id, "bert", "overturn")
    store.events.add_review(started[0].id, "carl", "approve")
    store.events.add_review(started[1].id, "bert", "approve")
    return [g.id for g in started]


@pytest.mark.dialect
def test_groups_are_counted_by_decision(store: Store, judged: list[str]) -> None:
    found = store.stats(by=GROUPS).groups
    assert list(found) == list(GROUPS)
    assert found["category"] == {"abuse": {"flag": 2, "block": 1}, "secret": {"flag": 1}}
    assert found["filter"] == {"words": {"flag": 2, "allow": 1}, "list": {"block": 1}}
    assert found["policy"] == {"strict": {"allow": 2, "": 1}, "lax": {"block": 1}}
    assert found["decision"] == {"allow": {"allow": 2}, "": {"": 1}, "block": {"block": 1}}
    assert found["actor"] == {"anna": {"allow": 2, "": 1, "block": 1}}
    assert found["day"] == {"2026-03-01": {"allow": 2, "": 1, "block": 1}}
    assert found["generator"] == {"words": {"allow": 2, "": 1, "block": 1}}
    assert found["model"] == {"": {"allow": 2, "": 1, "block": 1}}
    assert found["reviewer"] == {"bert": {"overturn": 1, "approve": 1}, "carl": {"approve": 1}}
    assert store.stats().groups == {}
    only = store.stats(Query(decision="block"), by=["category", "reviewer"]).groups
    assert only["category"] == {"abuse": {"flag": 1, "block": 1}, "secret": {"flag": 1}}
    assert only["reviewer"] == {"bert": {"overturn": 1}, "carl": {"approve": 1}}
    with pytest.raises(UsageError, match="colour"):
        store.stats(by=["colour"])


@pytest.mark.dialect
def test_policies_of_one_name_with_different_texts_are_counted_apart(
    store: Store, start: Any
) -> None:
    texts = {"old": "rules: []", "new": "rules: [a]"}
    digests = {name: f"sha256:{sha256(text.encode()).hexdigest()}" for name, text in texts.items()}
    old, new = (f"team@1 ({digest[7:19]}…)" for digest in digests.values())
    made = {
        (name, policy, n): start(f"{name} {n}", policy=policy)
        for name, policy in (("old", "team@1"), ("new", "team@1"), ("new", "team@2"))
        for n in range(2 if name == "old" else 1)
    }
    for (name, _, _), generation in made.items():
        store.record_started([generation], policy_document=texts[name])
    store.record_started([start("without", policy="")], policy_document="")
    for (name, _, _), generation in made.items():
        assert store.generation(generation.id).policy_digest == digests[name]
        [hit] = store.search(f'"{generation.prompt}"', Query(policy=generation.policy))
        assert hit.generation.policy_digest == digests[name]

    def counts(**wanted: Any) -> dict[str, int]:
        group = store.stats(Query(**wanted), by=["policy"]).groups["policy"]
        return {value: sum(decisions.values()) for value, decisions in group.items()}

    assert counts() == {old: 2, "": 1, new: 1, "team@2": 1}
    for label, number in ((old, 2), (new, 1)):
        assert counts(policy=label) == {label: number}
        assert store.obstacles(Query(policy=label)) == []
        assert store.count(Query(policy=label.replace("@1", "@2"))) == int(label == new)
    assert store.count(Query(policy=f"{digests['new'][7:19]}…")) == 2
    # The text of an altered policy is unknown, so that no digest stands for it.
    statement = "UPDATE payload SET content = :it WHERE content = :recorded"
    content = encode_text(PolicyText("team@1", texts["new"]))
    assert change(store.url, statement, {"it": b"forged", "recorded": content})
    assert store.generation(made["new", "team@1", 0].id).policy_digest == ""
    assert counts() == {old: 2, "": 1, "team@1": 1, "team@2": 1}


@pytest.mark.dialect
def test_an_erased_category_is_not_counted(store: Store, judged: list[str]) -> None:
    store.erasures.erase(Query(ids=judged[:1]), "keeper")
    assert store.stats(by=["category"]).groups["category"] == {"abuse": {"flag": 2}}
    result = store.verify(projections=True, payloads=True)
    assert result.problems == []
    assert store.rebuild()["verdict_category"] == 3
    assert store.verify(projections=True, payloads=True).problems == []


@pytest.mark.dialect
def test_a_model_with_an_erased_name_is_counted_apart_from_no_model(
    store: Store, start: Any, finish: Any
) -> None:
    model = Model("tiny", "file-sha256:" + "a" * 64, "")
    started = [start(str(n), model=model if n else None) for n in range(3)]
    store.record_started(started, policy_document="")
    store.record_outcomes([finish(one) for one in started])
    store.erasures.erase(Query(ids=[one.id for one in started[:2]]), "keeper")
    found = store.stats(by=["model"])
    assert found.models == {"": 1, "[erased]": 1, "tiny": 1}
    assert {name: sum(counts.values()) for name, counts in found.groups["model"].items()} == (
        found.models
    )
    assert found.erased == 2


@pytest.mark.dialect
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE verdict_category SET category = 'x' WHERE category = 'secret'",
        "UPDATE verdict_category SET position = 9 WHERE category = 'secret'",
        "DELETE FROM verdict_category WHERE category = 'secret'",
        "INSERT INTO verdict_category SELECT max(generation), 7, 'secret' FROM verdict",
        "UPDATE generation SET policy = 1 WHERE policy IS NOT NULL",
        "UPDATE generation SET plugins = '1' WHERE outcome IS NOT NULL",
        "UPDATE generation SET plugins = '1' WHERE outcome IS NULL",
    ],
)
def test_an_altered_group_is_reported(store: Store, judged: list[str], statement: str) -> None:
    assert change(store.url, statement)
    problems = store.verify(projections=True).problems
    assert {problem.kind for problem in problems} == {"projection"}
    assert {problem.where.split(" ")[0] for problem in problems} <= {
        *("verdict_category", "verdict_category.category", "generation.policy"),
        "generation.plugins",
    }


@pytest.mark.dialect
def test_an_upgraded_store_counts_the_same_groups(store: Store, judged: list[str]) -> None:
    expected = store.stats(by=GROUPS)
    config = configuration(catalog.migrations())
    with store._database.upgrading() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "1003")
    store.close()
    with Store.open(store.url, create=False, outdated=True) as older:
        older.upgrade()
    with Store.open(store.url, create=False) as again:
        assert again.stats(by=GROUPS).groups.keys() == expected.groups.keys()
        for name in ("category", "filter", "reviewer"):
            assert again.stats(by=[name]).groups[name] == expected.groups[name]
        assert again.stats(by=["policy"]).groups["policy"]["lax"] == {"block": 1}
        assert again.stats(Query(made_with="muniment-words")).total == expected.total
        assert again.verify(projections=True, payloads=True).problems == []


def test_a_generation_whose_process_is_gone_counts_as_interrupted(filled: Store) -> None:
    filled.close()
    with Store.open(filled.url, create=False) as again:
        assert again.stats().statuses == {"completed": 10, "interrupted": 1}


def test_a_lineage_goes_up_and_down_and_to_other_attempts(
    store: Store, start: Any, finish: Any
) -> None:
    run = new_id()
    first = start("first", run_id=run, line=1)
    again = start("again", run_id=run, line=1)
    child = start("child", parents=(first.id,))
    other = start("other")
    for generation in (first, other, child):
        store.record_started([generation], policy_document="")
    store.record_outcomes([finish(first, status="failed")])
    store.record_started([again], policy_document="")
    for id in (first.id, again.id, child.id):
        found = store.lineage(id)
        assert [g.prompt for g in found.generations] == ["first", "child", "again"]
        assert found.attempts == {first.id: 1, again.id: 2}
        assert found.whole
    assert [g.prompt for g in store.lineage(other.id).generations] == ["other"]


def test_following_yields_what_ends_and_is_wanted(
    store: Store, start: Any, finish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finder, "POLL_SECONDS", 0.001)
    ready = threading.Event()

    def record() -> None:
        ready.wait()
        for n in range(250):
            g = start(str(n), tags=("t",) * (n % 2))
            store.record_started([g], policy_document="")
            store.record_outcomes([finish(g)])

    store.record_started([before := start("before", tags=("t",))], policy_document="")
    writer = threading.Thread(target=record)
    writer.start()
    try:
        found = store.tail(Query(tag="t", limit=1), follow=True)
        assert next(found).id == before.id
        ready.set()
        prompts = [next(found).prompt for _ in range(125)]
    finally:
        ready.set()
        writer.join()
    assert prompts == [str(n) for n in range(250) if n % 2]
