"""Generations are read back as they were recorded, and no text of a user is in an entry."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from sqlalchemy import select

from muniment.errors import PromptError, UnknownNameError
from muniment.ids import new_id
from muniment.ledger.canonical import SAFE
from muniment.ledger.schema import EntryError
from muniment.store import AlreadyRecordedError, Query, Store
from muniment.store.database.tables import entry
from muniment.types.experiments import Cell
from muniment.types.generations import Failure, Generation
from muniment.types.inputs import Input
from muniment.types.models import Model
from muniment.types.outputs import Output, Text
from muniment.types.plugins import PluginRef
from muniment.types.policies import policy_digest
from muniment.types.replies import Trace, Usage
from muniment.types.scores import Score
from muniment.types.verdicts import Reason, Verdict
from muniment.validation import recordable_name

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DECLARED = {"words": frozenset({"violence", "hate"})}

# ---- any generation ----------------------------------------------------------------------------


def generations(text: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[Generation, Generation]]:
    """Return generations as they started and as they ended.

    All texts are drawn from `text`. NUL is removed where it is refused, and control characters
    are escaped in names.
    """
    written = text.map(lambda value: value.replace("\0", ""))
    named = text.map(recordable_name)
    finite = st.floats(allow_nan=False, allow_infinity=False)
    fraction = st.floats(0, 1)
    names = st.sampled_from(["alpha", "beta_2", "gamma"])
    times = st.integers(0, 10**13).map(lambda ms: EPOCH + timedelta(milliseconds=ms))
    plugins = st.lists(
        st.builds(PluginRef, names, st.just("0.1"), st.just("tree1-sha256:" + "0" * 64)), max_size=2
    ).map(tuple)
    models = st.builds(
        Model, named, st.sampled_from(["file-sha256:" + "ab" * 32, "remote model"]), text
    )
    numeric = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | finite
    textual = text | st.lists(text, max_size=3).map(tuple)
    outputs = st.builds(
        Output,
        st.sampled_from(["text/plain", "image/png"]),
        text.map(str.encode),
        st.none(),
        st.none() | st.lists(st.integers(0, 9), max_size=3, unique=True).map(tuple),
        st.none() | st.binary(max_size=9),
        wanted=st.none() | st.integers(1, 9),
    ) | st.builds(Text, text, st.sampled_from([None, "stop", "length"]))
    reasons = st.builds(Reason, text, text, st.none() | st.integers(0, 99), st.none())
    decisions = st.sampled_from(["allow", "flag", "block"])
    categories = st.dictionaries(st.sampled_from(["violence", "hate"]), fraction) | (
        st.dictionaries(text, fraction, max_size=2)
    )
    verdicts = st.builds(
        Verdict,
        decisions,
        categories,
        st.lists(reasons, max_size=2).map(tuple),
        st.sampled_from(["words", "other"]),
        st.just("1"),
        st.sampled_from(["system", "prompt", "input", "output", "item"]),
        decisions,
        text,
        st.integers(0, 10**9).map(lambda us: us / 1000),
        st.none() | text,
        st.none() | decisions,
        st.none() | st.integers(0, 9),
        st.none() | st.integers(1, 9),
        st.none() | st.sampled_from(["context", "init"]),
        st.none() | names,
    )
    inputs = st.builds(
        lambda name, data: Input(name, "text/plain", data.encode()),
        st.sampled_from(["context", "init", "other"]),
        text,
    )
    scores = st.builds(
        Score,
        names | st.builds("{}(note={})".format, names, text),
        st.just("1"),
        names,
        st.none() | finite,
        st.sampled_from(["", "tokens"]),
        st.sampled_from([None, True, False]),
        st.none() | text,
        st.dictionaries(names, numeric | textual, max_size=2),
        st.dictionaries(names, st.sampled_from(["file-sha256:" + "cd" * 32, "remote"])),
    )
    traces = st.integers(0, 4).flatmap(
        lambda n: st.builds(
            Trace,
            st.tuples(*[st.integers(0, 2**20)] * n),
            st.tuples(*[finite] * n),
            st.tuples(*[finite | st.just(float("inf"))] * n),
        )
    )

    @st.composite
    def both(draw: st.DrawFn) -> tuple[Generation, Generation]:
        resolved = draw(st.booleans())
        keys = names if resolved else text
        parameters = draw(st.dictionaries(keys, numeric | textual, max_size=3))
        started = Generation(
            id=new_id(),
            run_id=new_id(),
            actor=draw(named),
            status="started",
            generator="words" if resolved else draw(named),
            prompt=draw(written),
            seed=draw(st.integers(0, 2**64 - 1)),
            started_at=draw(times),
            system=draw(st.none() | written),
            model=draw(st.none() | models),
            parameters=dict(sorted(parameters.items())),
            models=draw(st.dictionaries(names, models, max_size=2)) if resolved else {},
            policy=draw(named),
            tags=tuple(draw(st.lists(named, max_size=3))),
            parents=tuple(new_id() for _ in range(draw(st.integers(0, 2)))),
            line=draw(st.none() | st.integers(0, 10**6)),
            cell=draw(st.none() | st.builds(Cell, *[st.integers(0, SAFE)] * 4)),
            plugins=(PluginRef("words", "1", "x"), *draw(plugins)) if resolved else (),
            inputs=tuple(
                sorted(
                    draw(st.lists(inputs, max_size=2, unique_by=attrgetter("name"))),
                    key=attrgetter("name"),
                )
            ),
        )
        ended = dataclasses.replace(
            started,
            status=draw(st.sampled_from(["completed", "blocked", "failed", "interrupted"])),
            finished_at=draw(times),
            outputs=tuple(draw(st.lists(outputs, max_size=2))),
            verdicts=tuple(draw(st.lists(verdicts, max_size=3))),
            scores=tuple(draw(st.lists(scores, max_size=3))),
            usage=draw(st.none() | st.builds(Usage, st.integers(0, 99), st.integers(0, 99))),
            trace=draw(st.none() | traces),
            environment=draw(
                st.dictionaries(names, st.just("3.11") | st.integers(-(2**40), 2**40), max_size=2)
            ),
            failure=draw(
                st.none()
                | st.builds(Failure, st.sampled_from(["invalid", "refused", "generator"]), text)
            ),
        )
        return started, ended

    return both()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """A store that many examples are recorded in, of each kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('shared')}/muniment.db"
    else:
        url = request.getfixturevalue("postgresql").create()
    with Store.open(url, create=True) as store:
        yield store


some = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
texts = st.text(st.characters(codec="utf-8"), max_size=12)


@some
@given(both=generations(texts), document=texts)
def test_a_generation_is_read_back_as_it_was_recorded(
    shared_store: Store, both: tuple[Generation, Generation], document: str
) -> None:
    digest = policy_digest(document)
    started, ended = (dataclasses.replace(made, policy_digest=digest) for made in both)
    shared_store.record_started([started], policy_document=document)
    assert shared_store.generation(started.id) == started
    shared_store.record_outcomes([ended], declared_categories=DECLARED)
    assert shared_store.generation(ended.id) == ended
    [listed] = shared_store.generations(Query(ids=[ended.id]))
    assert listed == dataclasses.replace(ended, trace=None)


def test_everything_recorded_above_verifies(shared_store: Store) -> None:
    verification = shared_store.verify(projections=True, payloads=True)
    assert verification.problems == []
    assert verification.ok
    integrity = ["integrity"] if shared_store.path else []
    checks = ["schema", "tree", "entries", *integrity, "projections", "payloads"]
    assert verification.checked == checks


# No entry has any of these characters, so whatever is found of them came from a user.
CANARY = "ЖЩЪЫЭЮЯжщъыэюя卫星发射成功最近我国ŁØÞßæđŋħ"
canaries = st.text(CANARY, min_size=4, max_size=20)


@some
@given(both=generations(canaries), document=canaries)
def test_no_text_that_a_user_gave_reaches_an_entry(
    shared_store: Store, both: tuple[Generation, Generation], document: str
) -> None:
    started, ended = both
    shared_store.record_started([started], policy_document=document)
    shared_store.record_outcomes([ended], declared_categories=DECLARED)
    for data in entries(shared_store).splitlines()[-6:]:
        assert not set(CANARY) & set(data.decode()), data
        assert b"\\u" not in data  # nor in an escaped form


def test_a_generator_that_was_never_found_is_not_named_in_an_entry(
    store: Store, start: Any
) -> None:
    wrong = start(generator="my-secret-words", plugins=(), parameters={"my_secret": 3})
    store.record_started([wrong], policy_document="")
    assert store.generation(wrong.id).generator == "my-secret-words"
    assert store.generation(wrong.id).parameters == {"my_secret": 3}
    assert b"secret" not in entries(store)
    assert next(store.generations(Query(generator="my-secret-words"))).id == wrong.id


def test_a_category_that_its_filter_does_not_declare_is_not_named_in_an_entry(
    store: Store, start: Any, finish: Any
) -> None:
    started = start()
    verdict = Verdict("flag", {"violence": 0.5, "aunt-mary": 0.5}, (), "words", "1")
    store.record_started([started], policy_document="")
    store.record_outcomes([finish(started, verdicts=(verdict,))], declared_categories=DECLARED)
    assert b"violence" in entries(store)
    assert b"aunt-mary" not in entries(store)
    [read] = store.generation(started.id).verdicts
    assert read.categories == {"violence": 0.5, "aunt-mary": 0.5}


def test_a_filter_that_could_not_be_had_is_not_named_in_an_entry(
    store: Store, start: Any, finish: Any
) -> None:
    started = start()
    verdict = Verdict(
        "block", filter="aunt-mary", action="block", policy_version="p@1", failure="it is not there"
    )
    store.record_started([started], policy_document="")
    ended = finish(started, status="blocked", verdicts=(verdict,))
    store.record_outcomes([ended], declared_categories=DECLARED)
    assert b"aunt-mary" not in entries(store)
    [read] = store.generation(started.id).verdicts
    assert read.filter == "aunt-mary"
    assert store.verify(projections=True, payloads=True).ok


def entries(store: Store) -> bytes:
    with store._database.reading() as connection:
        return b"\n".join(connection.scalars(select(entry.c.canonical_bytes).order_by(entry.c.seq)))


# ---- once each ---------------------------------------------------------------------------------


def test_what_is_named_often_is_written_once(store: Store, start: Any, finish: Any) -> None:
    for _ in range(3):
        started = [start(), start(actor="bert"), start(policy="strict")]
        store.record_started(started, policy_document="rules: []")
        store.record_outcomes([finish(item) for item in started])
    kinds = [line.split(b'"kind":"')[1].split(b'"')[0] for line in entries(store).splitlines()]
    counts = {kind: kinds.count(kind) for kind in set(kinds)}
    assert counts == {
        b"genesis": 1,
        b"actor": 2,
        b"policy": 2,
        b"environment": 1,
        b"plugin": 1,
        b"started": 9,
        b"outcome": 9,
    }


def test_a_policy_whose_document_changed_is_another_policy(store: Store, start: Any) -> None:
    for document in ("rules: [a]", "rules: [b]", "rules: [a]"):
        store.record_started([start()], policy_document=document)
    assert entries(store).count(b'"kind":"policy"') == 2


def test_an_outcome_is_recorded_once(store: Store, start: Any, finish: Any) -> None:
    started, other = start(), start()
    store.record_started([started, other], policy_document="")
    store.record_outcomes([finish(started)])
    with pytest.raises(AlreadyRecordedError, match="already has an outcome") as caught:
        store.record_outcomes([finish(other), finish(started, "something else")])
    assert caught.value.generation == started.id
    assert store.generation(started.id).text == "an output"
    assert store.generation(other.id).status == "started"  # the transaction was all or nothing
    assert store.verify(projections=True, payloads=True).ok


def test_the_same_outcome_twice_in_one_call_is_refused(
    store: Store, start: Any, finish: Any
) -> None:
    started = start()
    store.record_started([started], policy_document="")
    with pytest.raises(AlreadyRecordedError):
        store.record_outcomes([finish(started), finish(started)])
    assert store.generation(started.id).status == "started"
    assert store.verify(projections=True, payloads=True).ok


def test_a_generation_is_started_once(store: Store, start: Any) -> None:
    started = start()
    store.record_started([started], policy_document="")
    with pytest.raises(AlreadyRecordedError, match=started.id):
        store.record_started([start(), started], policy_document="")
    assert len(list(store.generations())) == 1
    assert store.verify(projections=True, payloads=True).ok


def test_an_outcome_of_something_never_started_is_refused(
    store: Store, start: Any, finish: Any
) -> None:
    with pytest.raises(UnknownNameError, match="not started"):
        store.record_outcomes([finish(start())])


# ---- odd input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    [
        {"prompt": "a\0b"},
        {"system": "\0"},
        {"actor": "an\0na"},
        {"tags": ("fine", "t\0ag")},
        {"policy": "p\0"},
        {"model": Model("\0", "remote", "")},
        {"generator": "wo\0rds", "plugins": ()},
    ],
    ids=lambda field: next(iter(field)),
)
def test_nul_in_a_text_that_a_person_wrote_is_refused_and_nothing_is_recorded(
    store: Store, start: Any, field: dict[str, Any]
) -> None:
    with pytest.raises(PromptError, match="contains a NUL character"):
        store.record_started([start(), start(**field)], policy_document="")
    assert store.status().entries == 1
    assert store.verify(projections=True, payloads=True).ok


def test_nul_in_outputs_reasons_and_failures_is_preserved(
    store: Store, start: Any, finish: Any
) -> None:
    started = start(
        parameters={"stop": ("\0", "a\0b"), "joiner": "\0"},
        model=Model("tiny", "file-sha256:" + "ab" * 32, "/a\0b"),
        policy_digest=policy_digest("d\0oc"),
    )
    ended = finish(
        started,
        outputs=(Text("out\0put"), Text("\0"), Output("image/png", b"\0\0")),
        verdicts=(
            Verdict("flag", {"a\0b": 1.0}, (Reason("a\0b", "be\0cause", 0, 1),), "words", "1"),
            Verdict("block", filter="words", version="1", failure="fil\0ter", policy_version="\0"),
        ),
        scores=(Score("statistics", "1", "length", None, failure="sco\0re"),),
        failure=Failure("generator", "fai\0lure"),
        status="failed",
    )
    store.record_started([started], policy_document="d\0oc")
    store.record_outcomes([ended])
    assert store.generation(started.id) == ended
    for word in ("out", "put", "cause", "ter", "re", "lure"):
        assert [hit.generation.id for hit in store.search(word)] == [started.id], word
    assert store.verify(projections=True, payloads=True, search=True).problems == []
    before = list(store.generations())
    store.rebuild()
    assert list(store.generations()) == before
    assert store.verify(projections=True, payloads=True, search=True).problems == []


@pytest.mark.parametrize(
    "query",
    [
        {"tag": "t\0"},
        {"actor": "\0"},
        {"generator": "words\0"},
        {"model": "\0"},
        {"filter": "\0"},
        {"run": "\0"},
        {"ids": ["\0"]},
    ],
    ids=str,
)
def test_nul_in_a_filter_is_refused(store: Store, start: Any, query: dict[str, Any]) -> None:
    store.record_started([start()], policy_document="")
    with pytest.raises(PromptError, match="contains a NUL character"):
        list(store.generations(Query(**query)))


@pytest.mark.parametrize(
    "field",
    [
        {"prompt": "\ud800"},
        {"system": "\udfff"},
        {"tags": ("\ud800",)},
        {"parameters": {"stop": ("a", "\ud800")}},
        {"parameters": {"\ud800": 1}, "plugins": ()},
        {"model": Model("tiny", "remote", "\ud800")},
    ],
    ids=ascii,
)
def test_lone_surrogates_are_refused_and_nothing_is_recorded(
    store: Store, start: Any, field: dict[str, Any]
) -> None:
    with pytest.raises(PromptError, match="not valid U"):
        store.record_started([start(), start(**field)], policy_document="")
    assert not list(store.generations())
    assert store.verify(projections=True, payloads=True).ok


def test_lone_surrogates_in_an_outcome_are_refused_and_nothing_is_recorded(
    store: Store, start: Any, finish: Any
) -> None:
    started = start()
    store.record_started([started], policy_document="")
    verdict = Verdict("flag", {}, (Reason("a", "\ud800"),), "words", "1")
    with pytest.raises(PromptError, match="not valid Unicode"):
        store.record_outcomes([finish(started, verdicts=(verdict,))])
    assert store.generation(started.id).status == "started"
    assert store.verify(projections=True, payloads=True).ok


@pytest.mark.parametrize(
    "field",
    [{"id": "not a ulid"}, {"parents": ("my aunt",)}, {"seed": 2**64}, {"seed": -1}, {"line": -1}],
)
def test_what_the_schema_does_not_allow_is_refused_and_nothing_is_recorded(
    store: Store, start: Any, field: dict[str, Any]
) -> None:
    with pytest.raises(EntryError):
        store.record_started([start(), start(**field)], policy_document="")
    assert not list(store.generations())


def test_a_score_that_is_not_finite_is_refused(store: Store, start: Any, finish: Any) -> None:
    started = start()
    store.record_started([started], policy_document="")
    with pytest.raises(ValueError, match="not a finite number"):
        store.record_outcomes([finish(started, scores=(Score("a", "1", "b", float("nan")),))])
    assert store.generation(started.id).status == "started"


def test_times_are_kept_to_the_millisecond(store: Store, start: Any) -> None:
    moment = datetime(2026, 2, 3, 4, 5, 6, 987_654, tzinfo=UTC)
    store.record_started([started := start(started_at=moment)], policy_document="")
    assert store.generation(started.id).started_at == moment - timedelta(microseconds=654)


def test_large_outputs_are_kept_whole(store: Store, start: Any, finish: Any) -> None:
    data = bytes(range(256)) * 20_000
    store.record_started([started := start("x" * 300_000)], policy_document="")
    store.record_outcomes([finish(started, outputs=(Output("image/png", data),))])
    assert store.generation(started.id).outputs[0].data == data
    assert len(store.generation(started.id).prompt) == 300_000


def test_nothing_to_record_is_nothing_recorded(store: Store) -> None:
    store.record_started([], policy_document="")
    store.record_outcomes([])
    assert store.status().entries == 1


def test_what_is_recorded_is_there_for_the_next_process(
    url: str, rich: tuple[Generation, Generation]
) -> None:
    started, ended = rich
    with Store.open(url, create=True) as store:
        store.record_started([started], policy_document="")
        store.record_outcomes([ended], declared_categories=DECLARED)
    with Store.open(url, create=False) as store:
        assert store.generation(ended.id) == ended
