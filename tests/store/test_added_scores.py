"""Scores that are added to generations after their outcomes, on every database."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from muniment.errors import PromptError, UnknownNameError
from muniment.ids import new_id
from muniment.store import Query, Rule, Store
from muniment.store.database.tables import entry
from muniment.store.recording.scores import Evaluation
from muniment.types.generations import Generation
from muniment.types.plugins import PluginRef
from muniment.types.scores import Score
from support.databases import ask, change

pytestmark = pytest.mark.dialect

Make = Callable[..., Generation]
CORE = PluginRef("muniment", "0.1", "tree1-sha256:" + "1" * 64)
JUDGE = PluginRef("muniment-judge", "2", "tree1-sha256:" + "2" * 64)
DIGEST = "tree1-sha256:" + "ab" * 32
CANARY = "scorecanaryx"


def score(value: float | None, scale: int = 1, evaluator: str = "chrf") -> Score:
    name = evaluator if scale == 1 else f"{evaluator}(scale={scale}, note={CANARY})"
    failure = f"no words {CANARY}" if value is None else None
    parameters = {"scale": scale, "note": CANARY}
    return Score(name, "0.1", "value", value, "", True, failure, parameters, {"judge": DIGEST})


@pytest.fixture
def made(store: Store, start: Make, finish: Make) -> list[Generation]:
    """Four recorded generations with the scores 0.1 to 0.4 by one evaluator."""
    started = [start(str(number)) for number in range(4)]
    store.record_started(started, policy_document="")
    ended = [finish(g, scores=(score((n + 1) / 10),)) for n, g in enumerate(started)]
    store.record_outcomes(ended)
    return ended


def add(store: Store, generation: Generation, *scores: Score, **fields: Any) -> None:
    store.scores.add("eve", [Evaluation(generation.id, scores, [CORE, JUDGE], **fields)])


def ids(store: Store, **fields: Any) -> list[str]:
    return [g.id for g in store.generations(Query(**fields))]


def verified(store: Store) -> None:
    verification = store.verify(projections=True, payloads=True, search=True)
    assert verification.ok, verification.problems


def test_added_scores_are_read_back(store: Store, made: list[Generation]) -> None:
    first, second, third, _ = made
    scores = [score(0.9), score(0.5, 2)]
    store.scores.add(
        "eve",
        [
            Evaluation(first.id, scores, [CORE, JUDGE], [second.id, third.id], f"{CANARY} 卫星"),
            Evaluation(second.id, [score(None)], [CORE]),
        ],
    )
    read = store.generation(first.id)
    assert read.scores == first.scores
    assert read.added_scores == tuple(scores)
    assert read.newest_scores == tuple(scores)
    assert read.to_json()["scores"][0]["value"] == 0.9
    assert (read.erased, read.altered) == ((), ())
    [event] = store.scores.of(first.id)
    assert event.scores == tuple(scores)
    assert (event.actor, list(event.plugins)) == ("eve", [CORE, JUDGE])
    assert event.text("references") == f"{CANARY} 卫星"
    numbers = ask(store.url, "SELECT seq, id FROM generation")
    of = {row.id: row.seq for row in numbers}
    assert event.entry.siblings == [of[second.id], of[third.id]]
    shown = event.to_json()
    assert list(shown) == ["at", "actor", "scores", "plugins", "references", "altered"]
    assert shown["scores"][1]["evaluator"] == f"chrf(scale=2, note={CANARY})"
    assert store.generation(second.id).newest_scores == (score(None),)
    assert store.generation(third.id).added_scores == ()
    verified(store)


def test_lists_use_the_newest_score(store: Store, made: list[Generation]) -> None:
    first, second, third, fourth = (g.id for g in made)
    assert ids(store, sort="score:value") == [first, second, third, fourth]
    add(store, made[0], score(0.9))
    add(store, made[1], score(0.05, 2))
    add(store, made[3], score(None))
    assert ids(store, scores=["value>0.35"]) == [first]
    assert ids(store, scores=["value<0.15"]) == [second]
    assert ids(store, scores=["chrf().value<0.15"]) == []
    assert ids(store, scores=[f"chrf(scale=2, note={CANARY}).value>0"]) == [second]
    assert store.count(Query(scores=["value>0"])) == 3
    assert ids(store, sort="score:value") == [second, third, first, fourth]
    assert ids(store, sort="-score:value") == [first, third, second, fourth]
    assert ids(store, sort="score:chrf().value") == [second, third, first, fourth]
    add(store, made[0], score(0.01))
    assert ids(store, sort="score:value", limit=1) == [first]
    assert ids(store, sort="-score:value", limit=2) == [third, second]
    assert ids(store, scores=["value>0.35"]) == []
    verified(store)


def test_the_view_has_all_scores_and_marks_the_newest(store: Store, made: list[Generation]) -> None:
    add(store, made[0], score(0.9), score(0.5, 2))
    add(store, made[0], score(0.7))
    columns = "value, newest, version, higher_is_better, failed, at"
    statement = f"SELECT {columns} FROM v_score WHERE generation = '{made[0].id}'"
    with store.select(statement) as selected:
        rows = sorted(tuple(row) for row in selected.rows)
    assert [row[:2] for row in rows] == [(0.1, 0), (0.5, 1), (0.7, 1), (0.9, 0)]
    assert {row[2:5] for row in rows} == {("0.1", 1, 0)}
    assert rows[0][5] == "2026-03-01T12:00:02.000Z"
    assert rows[1][5] > rows[0][5]


def test_scores_of_unknown_generations_are_refused_whole(
    store: Store, made: list[Generation]
) -> None:
    good = Evaluation(made[0].id, [score(1.0)], [CORE])
    for wrong in (
        Evaluation(new_id(), [score(1.0)], [CORE]),
        Evaluation(made[1].id, [score(1.0)], [CORE], [new_id()]),
    ):
        with pytest.raises(UnknownNameError):
            store.scores.add("eve", [good, wrong])
    with pytest.raises(PromptError):
        add(store, made[0], score(1.0), references="a\0b")
    store.scores.add("eve", [])
    assert ask(store.url, "SELECT 1 FROM entry WHERE kind = 'scored'") == []


def test_added_scores_are_rebuilt(store: Store, made: list[Generation]) -> None:
    add(store, made[0], score(0.9), score(None, 2))
    rows = ask(store.url, "SELECT * FROM score ORDER BY 1, 2, 3")
    assert store.rebuild()["score"] == len(rows) == 6
    assert ask(store.url, "SELECT * FROM score ORDER BY 1, 2, 3") == rows
    verified(store)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE score SET value = 0.8 WHERE value = 0.9",
        "UPDATE score SET entry = entry + 1 WHERE value = 0.9",
        "UPDATE score SET generation = generation + 1 WHERE value = 0.9",
        "DELETE FROM score WHERE value = 0.9",
        "INSERT INTO score SELECT generation, entry, 7, 'x', 'y', 1.0 FROM score WHERE value = 0.9",
        "DELETE FROM event WHERE kind = 'scored'",
    ],
)
def test_an_altered_row_is_reported(store: Store, made: list[Generation], statement: str) -> None:
    add(store, made[0], score(0.9))
    assert change(store.url, statement)
    problems = store.verify(projections=True).problems
    assert problems
    assert {problem.kind for problem in problems} == {"projection"}
    store.rebuild()
    verified(store)


def test_an_altered_payload_has_no_parameters(store: Store, made: list[Generation]) -> None:
    add(store, made[0], score(0.9, 2), references="one")
    kinds = "entry IN (SELECT seq FROM entry WHERE kind = 'scored')"
    assert change(store.url, f"UPDATE payload SET content = salt WHERE {kinds}") == 2
    [event] = store.scores.of(made[0].id)
    assert event.altered == ("detail", "references")
    assert [one.evaluator for one in event.scores] == ["chrf"]
    assert event.text("references") is None
    assert store.verify(payloads=True).problems


def test_an_altered_entry_is_marked(store: Store, made: list[Generation]) -> None:
    add(store, made[0], score(0.25))
    statement = "UPDATE entry SET canonical_bytes = :new WHERE kind = 'scored'"
    [row] = ask(store.url, "SELECT canonical_bytes FROM entry WHERE kind = 'scored'")
    forged = bytes(row.canonical_bytes).replace(b'"value":"0.25"', b'"value":"0.75"')
    assert change(store.url, statement, {"new": forged})
    assert store.generation(made[0].id).altered == ("entry",)
    assert store.generation(made[1].id).altered == ()


@pytest.mark.parametrize("by_event", [True, False])
def test_erased_texts_are_in_no_file_of_the_store(
    store: Store, made: list[Generation], by_event: bool
) -> None:
    add(store, made[0], score(None, 2), references=f"{CANARY} words")
    [event] = store.scores.of(made[0].id)
    if by_event:
        store.erasures.erase_event(event.number, "keeper")
        store.erasures.erase(Query(), "keeper")
    else:
        assert store.erasures.erase(Query(), "keeper").erased == 4
    [erased] = store.scores.of(made[0].id)
    assert erased.entry == event.entry
    assert (erased.text("references"), erased.scores[0].parameters) == (None, {})
    assert store.generation(made[0].id).newest_scores[0].evaluator == "chrf"
    if store.path is not None:
        for file in store.path.parent.iterdir():
            assert CANARY.encode() not in file.read_bytes()
    kinds = "SELECT 1 FROM payload WHERE kind IN ('detail', 'references')"
    assert ask(store.url, kinds) == []
    verified(store)
    store.rebuild()
    verified(store)


def test_a_hold_protects_the_references(store: Store, made: list[Generation]) -> None:
    add(store, made[0], score(0.9), references="words")
    store.holds.add(Query(ids=[made[0].id]), "court", "case 7")
    store.retention.set_rule(Rule(payload="references", most_days=0), "keeper")
    store.retention.run("keeper")
    [event] = store.scores.of(made[0].id)
    assert event.text("references") == "words"
    store.holds.release(store.holds.in_force()[0].id, "court")
    store.retention.run("keeper")
    [event] = store.scores.of(made[0].id)
    assert (event.text("references"), event.scores) == (None, (score(0.9),))


def test_exports_have_the_newest_scores(
    store: Store, made: list[Generation], tmp_path: Any
) -> None:
    add(store, made[3], score(0.9))
    store.export(tmp_path / "e.jsonl", "jsonl").run()
    values = {}
    for line in (tmp_path / "e.jsonl").read_text().splitlines():
        record = json.loads(line)
        values[record["id"]] = [one["value"] for one in record["scores"]]
    assert values == {g.id: [v] for g, v in zip(made, (0.1, 0.2, 0.3, 0.9), strict=True)}


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(text=st.text("ЖЩЪЫЭЮЯ卫星发射成功", min_size=4, max_size=20))
def test_no_text_of_an_evaluation_reaches_an_entry(
    store: Store, start: Make, finish: Make, text: str
) -> None:
    started = start()
    store.record_started([started], policy_document="")
    store.record_outcomes([finish(started)])
    name = f'chrf(note="{text}")'
    own = Score(name, "1", "chrf", None, "", True, text, {"note": text}, {"judge": text})
    store.scores.add(text, [Evaluation(started.id, [own], [CORE], [], text)])
    assert store.generation(started.id).added_scores == (own,)
    with store._database.reading() as connection:
        rows = connection.execute(entry.select().order_by(entry.c.seq.desc()).limit(3)).all()
    assert rows[0].kind == "scored"
    for row in rows:
        assert not set(text) & set(bytes(row.canonical_bytes).decode())
        assert b"\\u" not in bytes(row.canonical_bytes)
