"""Erased texts are gone from every file of the store, and everything else still holds."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from muniment.errors import DamagedStoreError, UnknownNameError, UsageError
from muniment.ids import new_id
from muniment.ledger.canonical import canonical
from muniment.ledger.events import FeedbackEntry, ReviewEntry
from muniment.store import Query, Store, plan_restore, restore
from muniment.store.retention.erasure import ErasureResult
from muniment.store.retention.protection import Rule
from muniment.types.generations import Generation
from muniment.types.models import Model
from muniment.types.outputs import Output
from muniment.types.scores import Score
from muniment.types.verdicts import Reason, Verdict
from support.databases import ask, by_hand, only_sqlite

WORD, PHRASE, TAG, REASON = "xylocanary", "鸢尾鹦鹉螺", "tagcanaryx", "reasoncanaryx"
NAME, PATH, COMMENT = "actorcanaryx", "/models/pathcanaryx", "commentcanaryx"
CANARIES = (WORD, PHRASE, TAG, REASON, NAME, PATH, COMMENT)


pytestmark = pytest.mark.usefixtures("programs")


@pytest.fixture
def canary(store: Store, start: Any, finish: Any) -> Generation:
    """A generation with a canary in every place where a text can be, among others."""
    others = [start(f"other {n} 卫星", tags=("t",)) for n in range(300)]
    store.record_started(others, policy_document="")
    store.record_outcomes([finish(g) for g in others])
    started = start(
        f"{WORD} {PHRASE}",
        actor=NAME,
        system=f"system {WORD}",
        tags=(TAG,),
        model=Model(WORD, "tree1-sha256:" + "ab" * 32, PATH),
        parameters={"stop": (PHRASE,), "adapter": WORD},
        models={"adapter": Model(WORD, "tree1-sha256:" + "cd" * 32, PATH)},
    )
    ended = finish(
        started,
        f"{PHRASE} and {WORD}",
        verdicts=(
            Verdict("flag", {"my own": 1.0}, (Reason("my own", REASON),), "words", "1", "prompt",
                    "flag", started.policy),
        ),
        scores=(
            Score("statistics", "1", "length", None, failure=WORD),
            Score(f"likeness(to={WORD})", "1", "value", 1.0, parameters={"to": WORD}),
        ),
    )  # fmt: skip
    store.record_started([started], policy_document="")
    store.record_outcomes([ended])
    store.events.add_feedback(started.id, "bert", "down", COMMENT)
    store.events.add_review(started.id, "bert", "overturn", REASON)
    after = [start(f"later {n}") for n in range(20)]
    store.record_started(after, policy_document="")
    store.record_outcomes([finish(g) for g in after])
    return ended


def places(store: Store) -> Iterator[bytes]:
    """The bytes of every file of the store."""
    assert store.path is not None
    for file in store.path.parent.iterdir():
        yield file.read_bytes()


def terms_in(store: Store) -> str:
    """Everything that the search index says."""
    with store._database.reading() as connection:
        if store.path is None:
            rows = connection.exec_driver_sql("SELECT array_to_string(terms, ' ') FROM search")
        else:
            connection.exec_driver_sql(
                "CREATE VIRTUAL TABLE IF NOT EXISTS temp.vocabulary "
                "USING fts5vocab('main', 'search', 'row')"
            )
            rows = connection.exec_driver_sql("SELECT term FROM temp.vocabulary")
        return "\n".join(row[0] for row in rows)


def grams(phrase: str) -> list[str]:
    return [*phrase, *(phrase[n : n + 2] for n in range(len(phrase) - 1))]


def verified(store: Store) -> str:
    found = store.verify(projections=True, payloads=True)
    assert found.ok, found.problems
    return found.root


def test_the_canaries_are_there_before(store: Store, canary: Generation) -> None:
    for term in (WORD, *grams(PHRASE)):
        assert term in terms_in(store)
    if store.path is not None:
        content = b"".join(places(store))
        assert all(word.encode() in content for word in CANARIES)


def test_an_erased_generation_is_in_no_file_of_the_store(store: Store, canary: Generation) -> None:
    result = store.erasures.erase(Query(actor=NAME), "keeper", reason="they asked for it")
    assert result == ErasureResult(erased=1)
    said = terms_in(store)
    for term in (WORD, *grams(PHRASE), REASON):
        assert term not in said
    for word in (WORD, PHRASE, PHRASE[:2], PHRASE[0], REASON):
        assert list(store.search(word)) == []
    if store.path is not None:
        for content in places(store):
            for word in (*CANARIES, *grams(PHRASE)):
                if len(word) > 1:  # random salts can contain the three bytes of one character
                    assert word.encode() not in content, word
    verified(store)


def test_everything_else_still_holds(store: Store, canary: Generation) -> None:
    before = {g.id: g for g in store.generations() if g.id != canary.id}
    entries = store.verify().entries
    store.erasures.erase(Query(ids=[canary.id]), "keeper", reason="they asked for it")
    shown = store.generation(canary.id)
    assert shown.erased == ("detail", "output", "prompt", "request")
    assert shown.altered == ()
    assert (shown.prompt, shown.text, shown.tags, shown.model and shown.model.name) == (
        *("", "", ()),
        "",
    )
    assert shown.to_json()["outputs"][0]["text"] is None
    assert shown.status == "completed"
    assert shown.actor == NAME  # one of their generations was asked for, not they
    assert {g.id: g for g in store.generations() if g.id != canary.id} == before
    assert len(list(store.search("卫星"))) == 300
    assert store.verify(payloads=True, projections=True).entries > entries
    [feedback] = store.events.of(canary.id, FeedbackEntry)
    assert (feedback.entry.rating, feedback.text("comment")) == ("down", None)
    assert feedback.texts.erased == {"comment"}
    [review] = store.events.of(canary.id, ReviewEntry)
    assert (review.entry.decision, review.text("reason")) == ("overturn", None)
    assert review.texts.erased == {"reason"}
    (past,) = store.erasures.records()
    assert (past.actor, past.reason, past.generations, past.pending) == (
        *("keeper", "they asked for it"),
        *(1, False),
    )
    # What is erased can be erased again: nothing is left to do.
    assert store.erasures.erase(Query(ids=[canary.id]), "keeper").erased == 0


def test_a_payload_that_was_taken_out_without_an_erasure_is_noticed(
    store: Store, canary: Generation
) -> None:
    store.erasures.erase(Query(ids=[canary.id]), "keeper")
    verified(store)
    with store._database.writing() as connection:
        connection.exec_driver_sql("DELETE FROM payload WHERE kind = 'prompt' AND entry < 100")
    problems = store.verify(payloads=True).problems
    assert problems
    assert all("no entry records its erasure" in p.message for p in problems[:-1])


def test_many_are_erased_in_pages(store: Store, start: Any, finish: Any) -> None:
    many = [start(f"n {n}", tags=("go",)) for n in range(257)]
    store.record_started(many, policy_document="")
    store.record_outcomes([finish(g) for g in many])
    told: list[int] = []
    assert store.erasures.erase(Query(tag="go"), "keeper", progress=told.append).erased == 257
    assert told == [100, 100, 57]
    assert all(g.erased for g in store.generations())
    assert sum(past.generations for past in store.erasures.records()) == 257
    verified(store)


def test_what_is_under_way_is_left(store: Store, start: Any) -> None:
    store.record_started([start()], policy_document="")
    result = store.erasures.erase(Query(generator="words"), "keeper")
    assert (result.erased, result.running) == (0, 1)


@only_sqlite
def test_a_reader_keeps_an_erasure_pending_until_the_next_writer(
    store: Store, url: str, canary: Generation, start: Any
) -> None:
    with Store.open(url, create=False) as reader:
        with reader._database.reading() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM entry").scalar()
            result = store.erasures.erase(Query(actor=NAME), "keeper")
            assert result.pending
            assert [past.pending for past in store.erasures.records()] == [True, True]
        with Store.open(url, create=False) as writer:
            writer.record_started([start()], policy_document="")
        assert [past.pending for past in store.erasures.records()] == [False, False]
    for content in places(store):
        assert not any(word.encode() in content for word in CANARIES)


def test_a_backup_made_before_an_erasure_is_named(
    store: Store, url: str, canary: Generation, tmp_path: Path
) -> None:
    early = store.backup(tmp_path / "early")
    store.erasures.erase(Query(ids=[canary.id]), "keeper")
    store.backup(tmp_path / "late")
    (past,) = store.erasures.records()
    assert [backup.file.name for backup in past.backups] == ["early"]
    planned = plan_restore(url, early.file)
    assert planned.erased_since == [canary.id]
    restore(url, planned)
    assert store.generation(canary.id).prompt.startswith(WORD)
    store.erasures.erase(Query(ids=planned.erased_since), "keeper")
    assert store.generation(canary.id).erased
    verified(store)


# ---- holds and retention -----------------------------------------------------------------------


def test_a_hold_that_matches_nothing_records_nothing(store: Store, url: str) -> None:
    before = ask(url, "SELECT size FROM ledger_head")
    with pytest.raises(UsageError, match="no generation matches"):
        store.holds.add(Query(tag="missing"), "court", "case 7")
    assert ask(url, "SELECT size FROM ledger_head") == before


def test_a_hold_forbids_erasing_until_it_is_released(store: Store, canary: Generation) -> None:
    id, number = store.holds.add(Query(tag=TAG), "court", "case 7")
    assert number == 1
    result = store.erasures.erase(Query(actor=NAME), "keeper")
    assert (result.erased, result.held) == (0, 1)
    assert store.generation(canary.id).prompt == canary.prompt
    assert store.generation(canary.id).actor == NAME
    (held,) = store.holds.in_force()
    assert (held.id, held.actor, held.reason, held.generations) == (id, "court", "case 7", 1)
    with pytest.raises(UnknownNameError, match="hold list"):
        store.holds.release("ZZZZ", "court")
    assert store.holds.release(id[-6:].lower(), "court", "closed") == id
    assert store.holds.in_force() == []
    assert store.erasures.erase(Query(actor=NAME), "keeper").erased == 1
    verified(store)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event SET subject = subject + 1000 WHERE kind = 'hold'",
        "DELETE FROM event WHERE kind = 'hold'",
        "INSERT INTO event SELECT 9999, 0, 'release', NULL, key FROM event WHERE kind = 'hold'",
    ],
)
def test_altered_rows_of_events_do_not_end_a_hold(
    store: Store, url: str, canary: Generation, statement: str
) -> None:
    store.retention.set_rule(Rule("output", None, None, 0), "keeper")
    store.holds.add(Query(tag=TAG), "court", "case 7")
    with by_hand(url) as connection:
        connection.exec_driver_sql(statement)
    result = store.erasures.erase(Query(tag=TAG), "keeper")
    assert (result.erased, result.held) == (0, 1)
    assert store.retention.run("keeper").held == 1
    assert store.generation(canary.id).prompt == canary.prompt
    assert not store.generation(canary.id).erased


def test_the_row_of_an_event_does_not_erase_another_generation(
    store: Store, url: str, canary: Generation, start: Any, finish: Any
) -> None:
    other = start("other", tags=("free",))
    store.record_started([other], policy_document="")
    store.record_outcomes([finish(other)])
    store.holds.add(Query(tag=TAG), "court", "case 7")
    with by_hand(url) as connection:
        connection.exec_driver_sql(
            "INSERT INTO event (seq, position, kind, subject) SELECT held.seq, 0, 'feedback', "
            "free.seq FROM generation held, generation free WHERE "
            f"held.id = '{canary.id}' AND free.id = '{other.id}'"
        )
    assert store.erasures.erase(Query(tag="free"), "keeper").erased == 1
    assert store.generation(canary.id).prompt == canary.prompt


def test_an_altered_hold_prevents_erasures(store: Store, url: str, canary: Generation) -> None:
    store.holds.add(Query(tag=TAG), "court", "case 7")
    with by_hand(url) as connection:
        [(seq, data)] = connection.exec_driver_sql(
            "SELECT seq, canonical_bytes FROM entry WHERE kind = 'hold'"
        ).all()
        forged = canonical(json.loads(data) | {"generations": []})
        connection.execute(
            text("UPDATE entry SET canonical_bytes = :data WHERE seq = :seq"),
            {"data": forged, "seq": seq},
        )
    with pytest.raises(DamagedStoreError, match=f"entry {seq} "):
        store.erasures.erase(Query(tag=TAG), "keeper")
    assert store.generation(canary.id).prompt == canary.prompt


def aged(store: Store, start: Any, finish: Any) -> dict[str, Generation]:
    """Generations of several ages and decisions, by prompt."""
    now = datetime.now(UTC)
    made = {
        f"{decision} {days}": (
            start(f"{decision} {days}", started_at=now - timedelta(days=days)),
            decision,
        )
        for decision in ("allow", "block")
        for days in (1, 40, 100)
    }
    store.record_started([g for g, _ in made.values()], policy_document="")
    store.record_outcomes(
        [
            finish(
                g,
                "an output",
                verdicts=(Verdict(decision, {}, (), "words", "1", "output", decision, g.policy),),
            )
            for g, decision in made.values()
        ]
    )
    return {prompt: g for prompt, (g, _) in made.items()}


def test_retention_erases_what_was_kept_long_enough(store: Store, start: Any, finish: Any) -> None:
    made = aged(store, start, finish)
    store.retention.set_rule(Rule("output", None, None, 30), "keeper")
    store.retention.set_rule(Rule("output", "block", None, 90), "keeper")
    result = store.retention.run("keeper")
    assert result.erased == 3
    gone = {prompt for prompt, g in made.items() if store.generation(g.id).erased}
    assert gone == {"allow 40", "allow 100", "block 100"}
    assert store.generation(made["allow 40"].id).prompt == "allow 40"
    assert store.generation(made["allow 40"].id).erased == ("output",)
    assert [g.prompt for _, g in zip(range(9), store.generations(), strict=False)]
    assert len(list(store.search("allow"))) == 3  # the prompts are still found
    assert len(list(store.search('"an output"'))) == 3
    assert {past.cause for past in store.erasures.records()} == {"retention"}
    verified(store)
    assert store.retention.run("keeper").erased == 0


@pytest.fixture
def undecided(store: Store, start: Any, finish: Any) -> dict[str, Generation]:
    """Generations with each way to end, 40 and 10 days old, by status and days.

    `dead` is interrupted too, which is not recorded yet. No finding is recorded except for
    `flagged`, which failed.
    """
    flag = (Verdict("flag", {}, (), "words", "1", "prompt", "flag", "default", 0.5),)
    now = datetime.now(UTC)
    names = ("completed", "failed", "interrupted", "flagged", "dead")
    made = {
        f"{name} {days}": start(f"{name} {days}", started_at=now - timedelta(days=days))
        for name in names
        for days in (40, 10)
    }
    fields = {name: {"status": name} for name in names[:3]}
    fields["flagged"] = {"status": "failed", "verdicts": flag}
    with Store.open(store.url, create=False) as closed_before_the_end:
        dead = [g for name, g in made.items() if name.startswith("dead")]
        closed_before_the_end.record_started(dead, policy_document="")
    others = {name: g for name, g in made.items() if g not in dead}
    store.record_started([*others.values()], policy_document="")
    store.record_outcomes([finish(g, **fields[name.split()[0]]) for name, g in others.items()])
    return made


@pytest.mark.parametrize("decision", [None, "allow"])
def test_retention_erases_undecided_generations_by_the_rules_of_allowed_ones(
    store: Store, undecided: dict[str, Generation], decision: str | None
) -> None:
    store.retention.set_rule(Rule(None, decision, None, 30), "keeper")
    store.holds.add(Query(ids=[undecided["failed 40"].id]), "court", "case 7")
    expected = {"completed 40", "interrupted 40", "dead 40"}
    expected |= {"flagged 40"} if decision is None else set()
    plan = store.retention.plan()
    assert (plan.erased, plan.held) == (len(expected), 1)
    result = store.retention.run("keeper")
    assert (result.erased, result.held, result.running) == (len(expected), 1, 0)
    assert {name for name, g in undecided.items() if store.generation(g.id).erased} == expected
    assert store.generation(undecided["interrupted 40"].id).prompt == ""
    assert store.retention.plan().erased == 0
    verified(store)


def test_undecided_generations_are_kept_as_long_as_allowed_ones(
    store: Store, undecided: dict[str, Generation]
) -> None:
    store.retention.set_rule(Rule(None, None, 60, None), "keeper")
    store.retention.set_rule(Rule(None, "allow", 30, None), "keeper")
    query = Query(decision="undecided")
    plan = store.erasures.plan(query)
    assert (plan.matching, plan.erased, plan.kept) == (6, 3, 3)
    result = store.erasures.erase(query, "keeper")
    assert (result.erased, result.kept) == (3, 3)
    erased = {name for name, g in undecided.items() if store.generation(g.id).erased}
    assert erased == {"failed 40", "interrupted 40", "dead 40"}
    _, count = store.holds.add(query, "court", "case 7")
    assert count == 6
    verified(store)


def test_a_generation_counts_once_for_several_rules(store: Store, start: Any, finish: Any) -> None:
    made = aged(store, start, finish)
    for kind, days in (("prompt", 20), ("output", 30), ("request", 90)):
        store.retention.set_rule(Rule(kind, None, None, days), "keeper")
    plan = store.retention.plan()
    assert (plan.erased, plan.skipped) == (4, 0)
    assert store.retention.run("keeper").erased == 4
    erased = {prompt: store.generation(g.id).erased for prompt, g in made.items()}
    assert {erased[f"{decision} 40"] for decision in ("allow", "block")} == {("output", "prompt")}
    assert {len(erased[f"{decision} 100"]) for decision in ("allow", "block")} == {3}
    assert store.retention.plan().erased == 0
    verified(store)


def test_a_plan_counts_what_an_erasure_erases_and_skips(
    store: Store, start: Any, finish: Any
) -> None:
    made = aged(store, start, finish)
    store.record_started([start("open", tags=("x",))], policy_document="")
    store.holds.add(Query(ids=[made["block 1"].id]), "court", "case 7")
    store.retention.set_rule(Rule(None, "block", 50, None), "keeper")
    before = store.status()
    plan = store.erasures.plan(Query())
    assert store.status() == before
    result = store.erasures.erase(Query(), "keeper")
    assert plan.matching == len(made) + 1
    for name in ("erased", "held", "kept", "running", "shared"):
        assert getattr(plan, name) == getattr(result, name), name
    assert (plan.held, plan.kept, plan.running) == (1, 1, 1)
    assert len(plan.first) == plan.erased
    again = store.erasures.plan(Query(ids=plan.first))
    assert (again.matching, again.erased) == (plan.erased, 0)


def test_what_must_be_kept_longer_is_not_erased_on_request(
    store: Store, start: Any, finish: Any
) -> None:
    made = aged(store, start, finish)
    store.retention.set_rule(Rule(None, None, 30, None), "keeper")
    result = store.erasures.erase(Query(generator="words"), "keeper")
    assert (result.erased, result.kept) == (4, 2)
    assert not store.generation(made["block 1"].id).erased
    rules = store.retention.set_rule(Rule(None, None, None, None), "keeper")
    assert rules == store.retention.rules() == []
    assert store.erasures.erase(Query(generator="words"), "keeper").erased == 2


def test_the_texts_of_an_event_can_be_erased(store: Store, canary: Generation) -> None:
    hold, _ = store.holds.add(Query(tag=TAG), "court", "holdcanaryx")
    digest = "tree1-sha256:" + "ab" * 32
    store.events.add_model("ada", "added", digest, "modelcanaryx", "/models/sourcecanaryx")
    [seq] = [e.number for e in store.events.of(canary.id, FeedbackEntry)]
    with pytest.raises(UsageError, match="on hold"):
        store.erasures.erase_event(seq, "keeper")
    store.holds.release(hold, "court", "releasecanaryx")
    numbers = [int(row[0]) for row in ask(store.url, EVENTS)]
    for number in numbers:
        result = store.erasures.erase_event(number, "keeper", reason="law")
        assert (result.erased, result.pending) == (0, False)
        with pytest.raises(UsageError, match="has no texts"):
            store.erasures.erase_event(number, "keeper")
    for number in (0, 1, 10**6):
        with pytest.raises(UsageError, match="not that of an event"):
            store.erasures.erase_event(number, "keeper")
    assert store.events.of(canary.id, FeedbackEntry)[0].text("comment") is None
    verified(store)


EVENTS = "SELECT DISTINCT seq FROM v_event WHERE kind IN ('hold', 'release', 'model', 'feedback')"


def test_a_payload_that_is_not_there_is_not_kept(store: Store, start: Any, finish: Any) -> None:
    generation = aged(store, start, finish)["allow 1"]
    store.retention.set_rule(Rule("trace", None, 30, None), "keeper")
    result = store.erasures.erase(Query(actor=generation.actor), "keeper")
    assert (result.erased, result.kept) == (6, 0)
    assert store.generation(generation.id).actor == ""
    store.retention.set_rule(Rule("output", None, 30, None), "keeper")
    again = store.erasures.erase(Query(generator=generation.generator), "keeper")
    assert (again.erased, again.kept) == (0, 0)


# ---- people ------------------------------------------------------------------------------------


def test_feedback_and_reviews_are_appended_with_their_actors(
    store: Store, start: Any, finish: Any
) -> None:
    g = start("question")
    store.record_started([g], policy_document="")
    store.record_outcomes([finish(g)])
    store.events.add_feedback(g.id, "安娜", "5", "说得好")
    store.events.add_feedback(g.id, "bert", None, "no")
    feedback = store.events.of(g.id, FeedbackEntry)
    assert [(f.actor, f.entry.rating, f.text("comment")) for f in feedback] == [
        ("安娜", "5", "说得好"),
        ("bert", None, "no"),
    ]
    assert store.events.of(g.id, ReviewEntry) == []
    with pytest.raises(UnknownNameError):
        store.events.add_feedback(new_id(), "anna", "up")
    verified(store)


def test_flagged_and_blocked_generations_are_unreviewed_until_a_review(
    store: Store, start: Any, finish: Any
) -> None:
    made = aged(store, start, finish)
    assert {g.prompt for g in store.events.unreviewed(Query())} == {
        "block 1",
        "block 40",
        "block 100",
    }
    assert len(list(store.events.unreviewed(Query(limit=2)))) == 2
    store.events.add_review(made["block 40"].id, "mod", "approve")
    store.events.add_review(made["block 1"].id, "mod", "overturn", "harmless")
    assert [g.prompt for g in store.events.unreviewed(Query())] == ["block 100"]
    assert store.generation(made["block 1"].id).decision == "block"  # the record stays
    [review] = store.events.of(made["block 1"].id, ReviewEntry)
    assert (review.entry.decision, review.text("reason")) == ("overturn", "harmless")


def test_an_erased_generation_is_exported_as_it_is_shown(
    store: Store, canary: Generation, tmp_path: Path
) -> None:
    store.erasures.erase(Query(ids=[canary.id]), "keeper")
    for format in ("jsonl", "csv", "parquet"):
        store.export(tmp_path / format, format, Query(ids=[canary.id])).run()
    shown = dataclasses.replace(store.generation(canary.id), trace=None).to_json()
    exported = json.loads((tmp_path / "jsonl").read_bytes())
    assert [review["reason"] for review in exported.pop("reviews")] == [None]
    assert [item["comment"] for item in exported.pop("feedback")] == [None]
    assert exported == json.loads(json.dumps(shown))


FINGERPRINTS = "SELECT digest FROM fingerprint"


@pytest.mark.parametrize("kinds", [None, ["output"]])
def test_the_fingerprint_of_an_output_is_erased_with_it(
    store: Store, url: str, start: Any, finish: Any, kinds: Any
) -> None:
    images = [Output("image/png", b"\x89PNG", fingerprint=b"fingercanaryx %d" % n) for n in (1, 2)]
    started = [start("erased"), start("remaining")]
    store.record_started(started, policy_document="")
    store.record_outcomes(
        [finish(g, outputs=(image,)) for g, image in zip(started, images, strict=True)]
    )
    digests = [sha256(image.fingerprint or b"").hexdigest() for image in images]
    assert sorted(row.digest for row in ask(url, FINGERPRINTS)) == sorted(digests)
    assert store.erasures.erase(Query(ids=[started[0].id]), "auditor", kinds=kinds).erased == 1
    assert [row.digest for row in ask(url, FINGERPRINTS)] == digests[1:]
    output = store.generation(started[0].id).outputs[0]
    assert (output.fingerprint, output.data) == (None, b"")
    verified(store)
    assert store.rebuild()["fingerprint"] == 1
    if store.path is not None:
        content = b"".join(places(store))
        for word in (b"fingercanaryx 1", digests[0].encode()):
            assert word not in content
        assert b"fingercanaryx 2" in content


def test_a_fingerprint_is_kept_as_long_as_its_output(store: Store, url: str, rich: Any) -> None:
    store.record_started([rich[0]], policy_document="")
    store.record_outcomes([rich[1]])
    store.retention.set_rule(Rule("output", least_days=9999), "auditor")
    assert store.erasures.erase(Query(), "auditor").kept == 1
    assert store.erasures.erase(Query(), "auditor", kinds=["fingerprint"]).erased == 0
    store.retention.set_rule(Rule(most_days=0), "auditor")
    store.retention.run("auditor")
    assert store.generation(rich[1].id).outputs == rich[1].outputs
    assert len(ask(url, FINGERPRINTS)) == 1
    verified(store)


def test_prompts_are_erased_without_fingerprints(store: Store, url: str, rich: Any) -> None:
    store.record_started([rich[0]], policy_document="")
    store.record_outcomes([rich[1]])
    store.erasures.erase(Query(), "auditor", kinds=["prompt"])
    assert len(ask(url, FINGERPRINTS)) == 1
    assert store.generation(rich[1].id).outputs == rich[1].outputs
    verified(store)
