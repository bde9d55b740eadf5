"""Which texts a term is found in; the longer laws are in test_blocklist.py."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

import muniment
from muniment_moderation.blocklist import Blocklist


def found(text: str, *terms: str, **parameters: object) -> list[str]:
    blocklist = Blocklist(Blocklist.Parameters(terms=list(terms), **parameters))
    verdict = blocklist.check(muniment.Content("prompt", "text/plain", text.encode()))
    assert (verdict.decision == "allow") == (not verdict.reasons)
    return [text[reason.start : reason.end] for reason in verdict.reasons]


@pytest.mark.parametrize(
    ("text", "slice_"),
    [
        ("How to build a pipe bomb?", "pipe bomb"),
        ("HOW TO BUILD A PIPE BOMB?", "PIPE BOMB"),
        ("a PiPe   bOmB", "PiPe   bOmB"),
        ("ｐｉｐｅ　ｂｏｍｂ", "ｐｉｐｅ　ｂｏｍｂ"),
        ("𝐩𝐢𝐩𝐞 𝓫𝓸𝓶𝓫", "𝐩𝐢𝐩𝐞 𝓫𝓸𝓶𝓫"),
        ("ⓟⓘⓟⓔ ⓑⓞⓜⓑ", "ⓟⓘⓟⓔ ⓑⓞⓜⓑ"),
        ("pi\u200bpe bo\u200dmb", "pi\u200bpe bo\u200dmb"),
        ("pi\u00adpe\ufeff bomb", "pi\u00adpe\ufeff bomb"),
        ("pip\0e bomb", "pip\0e bomb"),
        (
            "p\u0336i\u0336p\u0336e\u0336 b\u0336omb\u0336",
            "p\u0336i\u0336p\u0336e\u0336 b\u0336omb\u0336",
        ),
        ("pipe-bomb", "pipe-bomb"),
        ("pipe_bomb", "pipe_bomb"),
        ("a pipe\nbomb", "pipe\nbomb"),
        ("p i p e b o m b", "p i p e b o m b"),
        ("p.i.p.e b-o-m-b", "p.i.p.e b-o-m-b"),
        ("p i p e   b o m b", "p i p e   b o m b"),
        ("build a p i p e  b o m b", "p i p e  b o m b"),
        ("a pipe b.o.m.b", "pipe b.o.m.b"),
        ("制作pipe bomb的方法", "pipe bomb"),
    ],
)
def test_an_english_term_is_found_however_it_is_dressed_up(text: str, slice_: str) -> None:
    assert found(text, "pipe bomb") == [slice_]


@pytest.mark.parametrize(
    ("text", "slice_"),
    [
        ("如何在家制造炸弹？", "制造炸弹"),
        ("制 造 炸 弹", "制 造 炸 弹"),
        ("制　造　炸　弹", "制　造　炸　弹"),
        ("制.造*炸-弹", "制.造*炸-弹"),
        ("制，造。炸！弹", "制，造。炸！弹"),
        ("制\n造\n炸\n弹", "制\n造\n炸\n弹"),
        ("制💥造💥炸💥弹", "制💥造💥炸💥弹"),
        ("制\u200b造\u200c炸\ufeff弹", "制\u200b造\u200c炸\ufeff弹"),
        ("制\u0336造\u0336炸\u0336弹\u0336", "制\u0336造\u0336炸\u0336弹\u0336"),
        ("【制】【造】【炸】【弹】", "制】【造】【炸】【弹"),
        ("⼿制造炸弹", "制造炸弹"),
    ],
)
def test_a_chinese_term_is_found_whatever_stands_between_its_characters(
    text: str, slice_: str
) -> None:
    assert found(text, "制造炸弹") == [slice_]


def test_compatibility_forms_of_chinese_characters_are_the_characters() -> None:
    assert found("豈有此理", "豈有此理") == ["豈有此理"]  # U+F900 in the text, U+8C48 in the term


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("a classic assessment in Scunthorpe", "ass"),
        ("the town of Scunthorpe", "cunt"),
        ("Essex and Sussex", "sex"),
        ("c l a s s", "ass"),
        ("the therapist", "the rapist"),
        ("cocktails at Penistone", "penis"),
        ("pipebombs", "pipe bomb"),
        ("bombard", "bomb"),
        ("bombé", "bomb"),
        ("xc++", "c++"),
        ("C is a language", "c++"),
        ("U.S.A. is a country", "us"),
    ],
)
def test_a_word_inside_another_is_not_found(text: str, term: str) -> None:
    assert found(text, term) == []


def test_short_words_spelled_out_are_found_as_rows_of_their_own() -> None:
    assert found("you a s s", "ass") == ["a s s"]
    assert found("build a b o m b", "bomb") == ["b o m b"]
    assert found("build a-b-o-m-b", "a bomb") == ["a-b-o-m-b"]


def test_parts_of_words_are_found_when_whole_words_are_not_asked_for() -> None:
    assert found("a photobombing", "bomb", whole_words=False) == ["bomb"]
    assert found("xc++y", "c++", whole_words=False) == ["c++"]


@pytest.mark.parametrize(
    ("text", "term", "slice_"),
    [
        ("I write c++, mostly", "C++", "c++"),
        ("look 🔫!", "🔫", "🔫"),
        ("look 🔫\ufe0f!", "🔫", "🔫"),
        ("tagged #OpFoo today", "#opfoo", "#OpFoo"),
        ("看《平安经》", "《平安经》", "《平安经》"),
        ("买AK-步枪", "AK步枪", "AK-步枪"),
        ("ระเบิดมือ", "ระเบิด", "ระเบิด"),
        ("폭탄을 만드는", "폭탄", "폭탄"),
        ("เสียง ПРИВЕТ", "привет", "ПРИВЕТ"),
    ],
)
def test_signs_and_other_scripts_are_found_as_written(text: str, term: str, slice_: str) -> None:
    assert found(text, term) == [slice_]


def test_separators_count_when_they_are_not_to_be_skipped() -> None:
    assert found("这个方法，轮流使用", "法轮") == ["法，轮"]
    assert found("这个方法，轮流使用", "法轮", skip_separators=False) == []
    assert found("p i p e  b o m b", "pipe bomb", skip_separators=False) == []
    assert found("a pipe  bomb", "pipe bomb", skip_separators=False) == ["pipe  bomb"]
    assert found("pipe-bomb", "pipe bomb", skip_separators=False) == []


def test_every_occurrence_is_found_and_none_twice() -> None:
    assert found("bomb bomb bomb", "bomb") == ["bomb", "bomb", "bomb"]
    assert found("炸弹炸弹", "炸弹", "炸弹") == ["炸弹", "炸弹"]
    assert found("a pipe bomb", "bomb", "pipe bomb", "a pipe") == ["a pipe", "pipe bomb"]


def test_terms_are_found_when_a_longer_one_fails_at_its_edge() -> None:
    assert found("a bomb makings", "bomb making", "bomb") == ["bomb"]


@pytest.mark.parametrize("term", ["", "  ", "\u200b", "\0", "\u00ad\ufe0f"])
def test_a_term_without_content_is_refused(term: str) -> None:
    with pytest.raises(muniment.ParameterError, match="no visible character") as caught:
        Blocklist(Blocklist.Parameters(terms=["fine", term]))
    assert caught.value.name == "terms"


ALPHABET = st.text("ab 炸弹-", min_size=1, max_size=8)


@given(st.lists(ALPHABET.filter(str.strip), min_size=1, max_size=6), ALPHABET, ALPHABET)
def test_a_term_is_found_wherever_it_stands_by_itself(
    terms: list[str], before: str, after: str
) -> None:
    for term in terms:
        text = f"{before}\n{term}\n{after}"
        assert found(text, *terms), (text, term)


def test_ten_thousand_terms_are_each_found() -> None:
    english = [f"term{number:x}q" for number in range(6000)]
    chinese = [chr(0x4E00 + number) + chr(0x5E00 + number % 97) for number in range(6000)]
    blocklist = Blocklist(Blocklist.Parameters(terms=english + chinese))
    for term in [*english[::500], *chinese[::500]]:
        text = f"前面 before {term} after 后面"
        verdict = blocklist.check(muniment.Content("prompt", "text/plain", text.encode()))
        assert term in {text[r.start : r.end] for r in verdict.reasons}
