"""Finding and ordering generations by a score."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from muniment.errors import AmbiguousNameError, StoreError, UnknownNameError, UsageError
from muniment.store import Query, Store
from muniment.store.queries import filters, loader, planner
from muniment.types.generations import Generation
from muniment.types.scores import Score
from support.databases import ask, change

pytestmark = pytest.mark.dialect

Record = Callable[..., list[Generation]]


@pytest.fixture
def record(store: Store, start: Any, finish: Any) -> Record:
    """Record one generation for each sequence of scores."""

    def make(*scores: Sequence[Score], **fields: Any) -> list[Generation]:
        started = [start(**fields) for _ in scores]
        store.record_started(started, policy_document="")
        ended = [finish(g, scores=tuple(own)) for g, own in zip(started, scores, strict=True)]
        store.record_outcomes(ended)
        return ended

    return make


def perplexity(value: float | None, evaluator: str = "quality") -> Score:
    failure = "no trace" if value is None else None
    return Score(evaluator, "1", "perplexity", value, "", False, failure)


def ids(store: Store, **fields: Any) -> list[str]:
    return [g.id for g in store.generations(Query(**fields))]


VALUES = (20.0, None, -3.5, 20.5, 1e300, 0.1, 7.0)


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        ("perplexity<20", [-3.5, 0.1, 7.0]),
        ("perplexity<=20", [20.0, -3.5, 0.1, 7.0]),
        ("perplexity > 20", [20.5, 1e300]),
        ("perplexity>=20", [20.0, 20.5, 1e300]),
        ("perplexity=0.1", [0.1]),
        ("perplexity!=20", [-3.5, 20.5, 1e300, 0.1, 7.0]),
        ("quality.perplexity<-3", [-3.5]),
        ("perplexity<-1e9", []),
    ],
)
def test_condition_selects_by_value(
    store: Store, record: Record, condition: str, matches: list[float]
) -> None:
    made = record(*([perplexity(value)] for value in VALUES), [])
    expected = [g.id for g in made if g.scores and g.scores[0].value in matches]
    query = Query(scores=[condition])
    assert ids(store, scores=[condition]) == expected[::-1]
    assert store.count(query) == store.stats(query).total == len(expected)
    assert ids(store, scores=[condition], tag="none") == []
    found = [hit.generation.id for hit in store.search("prompt", query)]
    assert found == expected[::-1]
    last = store.tail(Query(scores=[condition], limit=99), follow=False)
    assert [g.id for g in last] == expected


def test_several_conditions_must_all_hold(store: Store, record: Record) -> None:
    made = record(*([perplexity(float(value))] for value in range(10)))
    assert ids(store, scores=["perplexity>=3", "perplexity<5"]) == [made[4].id, made[3].id]


def test_conditions_combine_with_other_filters(store: Store, record: Record) -> None:
    low = record([perplexity(1.0)], [perplexity(9.0)], actor="anna")
    record([perplexity(1.0)], actor="bert")
    assert ids(store, scores=["perplexity<5"], actor="anna") == [low[0].id]
    assert ids(store, scores=["perplexity<5"], actor="anna", since=low[0].started_at) == [low[0].id]
    until = low[0].started_at - timedelta(days=1)
    assert ids(store, scores=["perplexity<5"], until=until) == []


@pytest.mark.parametrize("path_limit", [planner.MAX_NARROWING, 0])
def test_order_by_score_is_total_and_paged(
    store: Store, record: Record, monkeypatch: pytest.MonkeyPatch, path_limit: int
) -> None:
    monkeypatch.setattr(loader, "PAGE", 3)
    for module in (filters, planner):
        monkeypatch.setattr(module, "MAX_NARROWING", path_limit)
    chosen = random.Random(7)
    values = [chosen.choice([None, 1.0, 2.0, 3.0, -4.0]) for _ in range(20)]
    made = record(*([perplexity(value)] for value in values), [], [])
    seqs = {g.id: number for number, g in enumerate(made)}
    scored = [g for g in made if g.scores and g.scores[0].value is not None]
    unscored = [g.id for g in made if g not in scored][::-1]

    def key(g: Generation) -> tuple[float, int]:
        return g.scores[0].value or 0.0, seqs[g.id]

    lowest_first = [g.id for g in sorted(scored, key=key)]
    assert ids(store, sort="score:perplexity") == lowest_first + unscored
    assert ids(store, sort="-score:perplexity") == lowest_first[::-1] + unscored
    everything = lowest_first + unscored
    for limit in (1, 3, len(scored), len(scored) + 1, 21, 30):
        assert ids(store, sort="score:perplexity", limit=limit) == everything[:limit]
    for g in (made[3], made[20]):
        assert ids(store, sort="score:perplexity", run=g.run_id) == [g.id]
    assert ids(store, sort="score:perplexity", status="completed", actor="anna") == everything


def test_a_name_of_two_evaluators_needs_the_evaluator(store: Store, record: Record) -> None:
    first, second = record([perplexity(1.0)], [perplexity(2.0, "other")])
    for fields in ({"scores": ["perplexity<9"]}, {"sort": "score:perplexity"}):
        with pytest.raises(AmbiguousNameError) as caught:
            ids(store, **fields)
        assert caught.value.candidates == ("other.perplexity", "quality.perplexity")
    assert ids(store, scores=["other.perplexity<9"]) == [second.id]
    assert ids(store, sort="score:quality.perplexity") == [first.id, second.id]


def test_an_unknown_name_lists_the_names(store: Store, record: Record) -> None:
    record([perplexity(1.0), Score("statistics", "1", "length", 3.0)])
    for fields in ({"scores": ["perplxity<9"]}, {"sort": "score:perplxity"}):
        with pytest.raises(UnknownNameError) as caught:
            ids(store, **fields)
        assert caught.value.known == ("length", "perplexity")


@pytest.mark.parametrize(
    "condition",
    ["", "perplexity", "<20", "perplexity<", "perplexity<x", "perplexity<nan", "perplexity<inf"],
)
def test_a_malformed_condition_is_a_usage_error(condition: str) -> None:
    with pytest.raises(UsageError):
        Query(scores=[condition])


@pytest.mark.parametrize("order", ["", "perplexity", "score:", "+score:x", "score:x desc "[:5]])
def test_a_malformed_order_is_a_usage_error(order: str) -> None:
    with pytest.raises(UsageError):
        Query(sort=order)


def test_exports_apply_conditions_and_resume(store: Store, record: Record, tmp_path: Any) -> None:
    made = record([perplexity(1.0)], [perplexity(30.0)], [perplexity(2.0)])
    job = store.export(tmp_path / "e.csv", "csv", Query(scores=["perplexity<20"]))
    assert job.query == Query(scores=["perplexity<20"])
    assert job.run(lambda rows: None, 1) == 2
    text = (tmp_path / "e.csv").read_text()
    assert [g.id in text for g in made] == [True, False, True]


@pytest.mark.parametrize(
    "attack",
    [
        "UPDATE score SET value = value + 1 WHERE position = 0",
        "UPDATE score SET value = NULL WHERE position = 0",
        "UPDATE score SET value = 5 WHERE value IS NULL",
        "UPDATE score SET evaluator = 'fourth' WHERE position = 1",
        "UPDATE score SET name = 'other' WHERE position = 1",
        "UPDATE score SET position = 7 WHERE position = 1",
        "UPDATE score SET generation = generation + 1 WHERE position = 1",
        "DELETE FROM score WHERE position = 1",
        "UPDATE score SET entry = entry + 1 WHERE position = 1",
        "INSERT INTO score SELECT generation, entry, 9, name, name, 1 FROM score LIMIT 1",
        "INSERT INTO score SELECT generation, 0, 0, name, name, 1 FROM score WHERE position = 0",
        "INSERT INTO score VALUES (123456, 1, 0, 'quality', 'perplexity', 1)",
    ],
)
def test_an_altered_score_is_found_and_rebuilt(
    store: Store, record: Record, url: str, attack: str
) -> None:
    record([perplexity(1.0), perplexity(None, "other"), perplexity(2.0, "third")])
    assert store.verify(projections=True).problems == []
    assert change(url, attack) > 0
    problems = store.verify(projections=True).problems
    assert any(problem.where.startswith("score") for problem in problems)
    store.rebuild()
    assert store.verify(projections=True).problems == []


def similarity(scale: float, value: float | None) -> Score:
    failure = "no words" if value is None else None
    name = "similarity" if scale == 1.0 else f"similarity(scale={scale:g})"
    parameters = {"scale": scale, "words": ("卫星", "b")}
    return Score(name, "1", "value", value, "", True, failure, parameters, {"clip": DIGEST})


DIGEST = "tree1-sha256:" + "ab" * 32


def test_parameters_and_models_of_an_evaluator_are_recorded(
    store: Store, record: Record, url: str
) -> None:
    scores = [similarity(1.0, 0.5), similarity(2.0, None), perplexity(3.0)]
    (made,) = record(scores)
    assert list(store.generation(made.id).scores) == scores
    assert store.verify(projections=True, payloads=True).problems == []
    names = ask(url, "SELECT evaluator FROM score ORDER BY position")
    assert [row[0] for row in names] == ["similarity", "similarity", "quality"]


def test_an_erased_score_keeps_the_name_and_the_digests(store: Store, record: Record) -> None:
    (made,) = record([similarity(2.0, None)])
    store.erasures.erase(Query(ids=[made.id]), "anna")
    (score,) = store.generation(made.id).scores
    assert (score.evaluator, score.parameters, score.models) == (
        "similarity",
        {},
        {"clip": DIGEST},
    )


def test_order_by_score_lists_a_generation_once(store: Store, record: Record) -> None:
    made = record(
        [similarity(1.0, 0.5), similarity(2.0, 0.1), similarity(3.0, None)],
        [similarity(1.0, 0.3), similarity(2.0, 0.3)],
        [similarity(2.0, 0.4)],
    )
    first, second, third = (g.id for g in made)
    assert ids(store, sort="score:value") == [first, second, third]
    assert ids(store, sort="-score:similarity.value") == [first, third, second]
    assert ids(store, scores=["similarity.value<0.2"]) == [first]
    query = Query(scores=["similarity.value<0.5"])
    assert store.count(query) == len(ids(store, scores=["similarity.value<0.5"])) == 3


def test_conditions_and_orders_know_evaluators_with_parameters(
    store: Store, record: Record
) -> None:
    words, both = "quality(unit=words)", 'quality(unit=words, note="a) b=1")'
    made = record(
        [perplexity(1.0), perplexity(9.0, words)],
        [perplexity(8.0), perplexity(2.0, words)],
        [perplexity(9.0), perplexity(5.0, both)],
        [],
    )
    first, second, third, last = (item.id for item in made)
    assert ids(store, scores=[f"{words}.perplexity>5"]) == [first]
    assert ids(store, scores=[f"{words}.perplexity <= 5"]) == [second]
    assert ids(store, scores=[f"{both}.perplexity=5"]) == [third]
    assert ids(store, scores=[f"{words}.perplexity>0", "quality.perplexity<2"]) == [first]
    assert store.count(Query(scores=[f"{words}.perplexity>0"])) == 2
    order = ids(store, sort=f"score:{words}.perplexity")
    assert order == [second, first, last, third]
    assert ids(store, sort=f"-score:{words}.perplexity") == [first, second, last, third]
    with pytest.raises(UnknownNameError, match="unit=words"):
        ids(store, scores=["quality(unit=bytes).perplexity>0"])
    with pytest.raises(UnknownNameError):
        ids(store, scores=["other(unit=bytes).perplexity>0"])
    with pytest.raises(UsageError):
        Query(scores=["quality(unit=words)"])
    store.erasures.erase(Query(ids=[first]), "auditor")
    assert ids(store, scores=[f"{words}.perplexity>0"]) == [second]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ('rated(k=5, word="a b")', [0]),
        ('rated(k=5,word="a b")', [0]),
        ('rated( word = "a b", k = 5 )', [0]),
        ('rated(k=5.0, word="a b", scale=1.0)', [0]),
        ("rated(scale=1,k=5)", [1]),
        ("rated()", [2]),
        ("rated(k=1)", [2]),
        ("rated(word=x)", [2]),
    ],
)
def test_a_condition_reads_parameters_as_an_evaluator_does(
    store: Store, record: Record, name: str, found: list[int]
) -> None:
    def rated(full_name: str, **changed: Any) -> Score:
        parameters = {"k": 1, "word": "x", "scale": 1.0, **changed}
        return Score(full_name, "1", "size", 2.0, parameters=parameters)

    made = record(
        [rated('rated(k=5, word="a b")', k=5, word="a b"), perplexity(1.0)],
        [rated("rated(k=5)", k=5)],
        [rated("rated")],
        [rated("rated")],
    )
    store.erasures.erase(Query(ids=[made[3].id]), "anna")
    assert ids(store, scores=[f"{name}.size=2"]) == [made[number].id for number in found]
    assert ids(store, sort=f"score:{name}.size")[0] == made[found[0]].id
    for wrong in ("rated(k=6).size>0", "rated(other=1).size>0", "rated(k=5),rated().size>0"):
        with pytest.raises(UsageError, match=re.escape(wrong.split(">")[0].removesuffix(".size"))):
            ids(store, scores=[wrong])
    with pytest.raises(UnknownNameError) as error:
        ids(store, scores=[f"{name}.length>0"])
    assert f"{name}.length" in str(error.value)
    assert "size" in str(error.value)
    assert "perplexity" not in str(error.value)


def test_a_condition_on_parameters_in_an_unreadable_payload_is_an_error_of_the_store(
    store: Store, record: Record
) -> None:
    words = "quality(unit=words)"
    record([perplexity(1.0, words)])
    change(store.url, "UPDATE payload SET content = :it WHERE kind = 'detail'", {"it": b"\xff{"})
    with pytest.raises(StoreError):
        ids(store, scores=[f"{words}.perplexity>0"])
