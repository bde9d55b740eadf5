"""Searching: the texts that match are found, each with the place of the match, and no others."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from muniment.errors import UsageError
from muniment.ledger.division import finish as finish_entry, start as start_entry
from muniment.store import Query, Store
from muniment.store.queries.loader import PAGE
from muniment.store.search.excerpts import shown_texts
from muniment.store.search.index import recorded_texts, texts_of
from muniment.store.search.phrases import phrases, snippets
from muniment.store.search.tokenizer import MAX_INDEXED_BYTES, fold
from muniment.types.generations import Failure
from muniment.types.inputs import Input
from muniment.types.outputs import Output
from muniment.types.verdicts import Reason, Verdict

pytestmark = pytest.mark.dialect

NEWS = "最近我国成功发射了新的卫星"


@pytest.fixture
def filled(store: Store, start: Any, finish: Any) -> Store:
    """Five generations that differ in where their words stand."""
    reasons = (Reason("violence", "a knife is named"),)
    verdict = Verdict("flag", {}, reasons, "words", "1", "output", "flag", "default")
    started = [
        start(NEWS, tags=("news",)),
        start("A new moon", system="be brief and KIND", actor="bert"),
        start("The moon is new", model=None),
        start("draw it"),
        start("fail"),
    ]
    store.record_started(started, policy_document="")
    store.record_outcomes(
        [
            finish(started[0], "AI卫星 GPT-4 ＧＰＵ"),
            finish(started[1], "the satellite of the earth"),
            finish(started[2], "snow", verdicts=(verdict,), status="blocked"),
            finish(started[3], outputs=(Output("image/png", b"moon"),)),
            finish(
                started[4], status="failed", failure=Failure("refused", "out of memory"), outputs=()
            ),
        ]
    )
    return store


def found(store: Store, wanted: str, ranked: bool = False, **filters: Any) -> list[str]:
    return [hit.generation.prompt for hit in store.search(wanted, Query(**filters), ranked=ranked)]


@pytest.mark.parametrize(
    ("wanted", "prompts"),
    [
        ("moon", ["The moon is new", "A new moon"]),
        ("MOON", ["The moon is new", "A new moon"]),
        ("moo", []),
        ("new moon", ["The moon is new", "A new moon"]),
        ('"new moon"', ["A new moon"]),
        ("“new moon”", ["A new moon"]),
        ('"new moon', ["A new moon"]),
        ("new,moon", ["A new moon"]),
        ("moon satellite", ["A new moon"]),  # one in the prompt, the other in the output
        ('"moon satellite"', []),
        ("国", [NEWS]),
        ("卫星", [NEWS]),
        ("我国成功", [NEWS]),
        ("国我", []),
        ("成功的卫星", []),  # every character is there
        ("我国 卫星", [NEWS]),
        ("AI卫星", [NEWS]),
        ("ai 国", [NEWS]),
        ("GPT-4", [NEWS]),
        ("gpu", [NEWS]),
        ("ＧＰＴ", [NEWS]),
        ("kind", ["A new moon"]),
        ("knife", ["The moon is new"]),
        ("memory", ["fail"]),
        ("", []),
        ("\"'*()-", []),
        ("' OR 1=1 --", []),
        ("moon NOT new", []),
        ("moon OR nothing", []),
        ("mo*", []),
        ("terms:moon", []),
        ("NEAR(new moon)", []),
        ('"); DROP TABLE search; --', []),
        ("\0", []),
    ],
)
def test_a_search_finds(filled: Store, wanted: str, prompts: list[str]) -> None:
    assert found(filled, wanted) == prompts


@pytest.mark.parametrize(
    ("filters", "prompts"),
    [
        ({"status": "blocked"}, ["The moon is new"]),
        ({"actor": "bert"}, ["A new moon"]),
        ({"decision": "flag"}, ["The moon is new"]),
        ({"filter": "words", "decision": "allow"}, ["A new moon"]),
        ({"tag": "news"}, []),
        ({"limit": 1}, ["The moon is new"]),
        ({"limit": 0}, []),
    ],
    ids=str,
)
def test_a_search_goes_with_every_filter(
    filled: Store, filters: dict[str, Any], prompts: list[str]
) -> None:
    assert found(filled, "moon", **filters) == prompts


def test_times_bound_a_search(filled: Store, start: Any) -> None:
    noon = start().started_at
    assert len(found(filled, "moon", since=noon)) == 2
    assert found(filled, "moon", until=noon) == []
    assert found(filled, "moon", since=noon + timedelta(seconds=1)) == []


def test_a_search_has_no_end_before_everything_is_found(
    store: Store, start: Any, finish: Any
) -> None:
    # Many hold the words of the phrase, few the phrase: pages of the index come up empty.
    prompts = ["moon new" if n % 90 else f"new moon {n}" for n in range(3 * PAGE)]
    started = [start(prompt) for prompt in prompts]
    store.record_started(started, policy_document="")
    store.record_outcomes([finish(g) for g in started])
    assert found(store, '"new moon"') == [f"new moon {n}" for n in (270, 180, 90, 0)]
    assert len(found(store, "moon")) == 3 * PAGE


def test_the_best_comes_first_when_ranked(store: Store, start: Any, finish: Any) -> None:
    started = [
        start(prompt)
        for prompt in ("moon moon moon", "the moon, seen from a hill far away by night", "moon")
    ]
    store.record_started(started, policy_document="")
    store.record_outcomes([finish(g, "x") for g in started])
    ranked = found(store, "moon", ranked=True)
    assert ranked[0] == "moon moon moon"
    assert ranked[-1].startswith("the moon")
    assert found(store, "moon", ranked=True, limit=1) == ["moon moon moon"]


def test_what_is_at_work_or_was_interrupted(store: Store, start: Any, finish: Any) -> None:
    open_ = start("moonlight")
    store.record_started([open_], policy_document="")
    assert found(store, "moonlight") == []  # it is indexed with its outcome
    store.close()
    with Store.open(store.url, create=False) as again:
        again.record_interruptions()
        assert found(again, "moonlight", status="interrupted") == ["moonlight"]


@pytest.mark.parametrize(
    "text",
    [
        " ".join(f"word{number}" for number in range(8000)),
        '"' + " ".join(f"word{number}" for number in range(300)) + '"',
        "".join(chr(0x4E00 + number) for number in range(600)),
    ],
    ids=["words", "one phrase", "Chinese"],
)
def test_a_search_with_too_many_terms_is_refused(filled: Store, text: str) -> None:
    with pytest.raises(UsageError, match="use at most 256"):
        list(filled.search(text))
    assert list(filled.search(" ".join(f"word{number}" for number in range(200)))) == []


def test_snippets_show_every_word_with_its_place(filled: Store) -> None:
    (hit,) = filled.search("我国 gpu")
    shown = [(s.source, s.text, [s.text[a:b] for a, b in s.highlights]) for s in hit.snippets]
    assert shown == [("prompt", NEWS, ["我国"]), ("output", "AI卫星 GPT-4 ＧＰＵ", ["ＧＰＵ"])]


def test_a_snippet_is_cut_from_a_long_text() -> None:
    text = "ﬁ" * 500 + " Ziel " + "x" * 500 + " ziel"
    (snippet,) = snippets([("output", text)], phrases("ziel"))
    assert [snippet.text[a:b] for a, b in snippet.highlights] == ["Ziel"]
    assert snippet.text[0] == snippet.text[-1] == "…"
    assert len(snippet.text) < 130


LIST = {
    "query": "sea",
    "items": [
        {"item": "m17", "title": "The Keeper", "text": "A storm at sea", "tags": ["drama", "sad"]},
        {"item": "m18", "score": 0.25, "from": [{"item": "m9", "reason": "a calm"}]},
    ],
}


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ("storm", "m17 · The Keeper · A storm at sea · drama, sad"),
        ("sad", "…per · A storm at sea · drama, sad"),
        ("calm", "m9 · a calm"),
        ("m18", "m18"),
    ],
)
def test_a_snippet_of_json_has_the_strings_of_an_object(start: Any, wanted: str, text: str) -> None:
    output = Output("application/json", json.dumps(LIST).encode())
    generation = start("a wish", outputs=(output,))
    (snippet,) = snippets(shown_texts(generation), phrases(wanted))
    assert (snippet.source, snippet.text) == ("output", text)
    assert [snippet.text[a:b] for a, b in snippet.highlights] == [wanted]


@pytest.mark.parametrize("data", [json.dumps(LIST), '{"score": 0.25', "[" * 100_000 + "0.25"])
def test_a_snippet_of_a_number_or_of_malformed_json_is_from_the_text(start: Any, data: str) -> None:
    generation = start("a wish", outputs=(Output("application/json", data.encode()),))
    (snippet,) = snippets(shown_texts(generation), phrases('"0.25"'))
    assert snippet.text.strip("…") in data


def test_only_the_beginning_of_a_long_text_is_searched(
    store: Store, start: Any, finish: Any
) -> None:
    started = start("x")
    store.record_started([started], policy_document="")
    store.record_outcomes([finish(started, "a " * (MAX_INDEXED_BYTES // 2) + "late")])
    assert found(store, "late") == []
    assert found(store, "a x") == ["x"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(), st.text(), st.text())
def test_every_highlight_is_what_was_asked_for(before: str, wanted: str, after: str) -> None:
    asked = phrases(wanted)
    for snippet in snippets([("prompt", f"{before} {wanted} {after}")], asked):
        for start, end in snippet.highlights:
            assert 0 <= start <= end <= len(snippet.text)
            there = fold(snippet.text[start:end])
            assert not there or any(phrase.pattern.search(there) for phrase in asked)


@given(st.text(), st.text())
def test_any_query_can_be_asked_of_any_text(text: str, wanted: str) -> None:
    snippets([("prompt", text)], phrases(wanted))


TEXTS = st.lists(st.text(max_size=9), min_size=8, max_size=8)


@given(TEXTS, st.booleans(), st.booleans(), st.sampled_from(["text/html", "image/png"]))
def test_payloads_have_the_searchable_texts_of_their_generation(
    make_rich: Any, texts: list[str], failed: bool, alone: bool, media_type: str
) -> None:
    _, ended = make_rich()
    system, prompt, output, other, reason, sentence, failure, context = texts
    [verdict, late], [length, perplexity] = ended.verdicts, ended.scores
    generation = dataclasses.replace(
        ended,
        system=None if alone else system,
        prompt=prompt,
        inputs=(Input("context", "text/plain", context.encode()),),
        outputs=(Output("text/plain", output.encode()), Output(media_type, other.encode())),
        verdicts=(
            dataclasses.replace(verdict, reasons=(Reason("a", reason), Reason("b"))),
            dataclasses.replace(late, failure=sentence if failed else None),
        ),
        scores=(dataclasses.replace(length, failure=None if alone else sentence), perplexity),
        failure=Failure("generator", failure) if failed else None,
    )
    _, caller_texts = start_entry(generation, actor=1, policy=2, plugins=(), inputs={})
    outcome, other_texts = finish_entry(
        generation, started=3, declared={}, environment=None, plugins=()
    )
    contents = {(p.kind, p.position): p.content for p in (*caller_texts, *other_texts)}
    recorded = recorded_texts(
        outcome, lambda kind, position: contents.get((kind, position)), generation.inputs
    )
    assert sorted(filter(None, recorded)) == sorted(
        text for _, text in texts_of(generation) if text
    )
