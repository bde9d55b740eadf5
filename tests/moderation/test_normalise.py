from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import example, given, strategies as st

from muniment_moderation.normalise import fold

# Hypothesis seldom draws what is hard here: marks, ignorables, jamo, compatibility characters.
TRICKY = st.text(
    st.sampled_from(
        "aAßİŉſ1bé中制炸ＡＢ１ﬁ㎏½ⓑが゛ｶﾞハ각ᄀ\u1161\u11a8\u1160ㅤ\uffa0กำक\u093fक़"
        "\u0301\u0327\u0336\u0345\u20dd\u20e3\u200b\u200d\u00ad\ufe0f\u2066\0\x08\n\t .-_，。😀🔫́"
    )
    | st.characters(exclude_categories=["Cs"]),
    max_size=40,
)


@given(TRICKY)
@example("\u0301a")
@example("a" + "\u0316\u0301" * 100)
@example("ㅤ\u0301")
def test_folding_folded_text_changes_nothing(text: str) -> None:
    once = fold(text).text
    assert fold(once).text == once


@given(TRICKY)
def test_every_folded_character_comes_from_a_place_in_the_text(text: str) -> None:
    folded = fold(text)
    assert len(folded.starts) == len(folded.ends) == len(folded.text)
    for start, end in zip(folded.starts, folded.ends, strict=True):
        assert 0 <= start < end <= len(text)
    assert list(folded.starts) == sorted(folded.starts)
    assert list(folded.ends) == sorted(folded.ends)


@given(TRICKY, st.data())
def test_a_span_holds_what_folds_to_the_text_it_was_asked_for(
    text: str, data: st.DataObject
) -> None:
    folded = fold(text)
    start = data.draw(st.integers(0, len(folded.text)))
    end = data.draw(st.integers(start, len(folded.text)))
    first, last = folded.span(start, end)
    assert 0 <= first <= last <= len(text)
    assert folded.text[start:end] in fold(text[first:last]).text


@given(st.text(st.characters(max_codepoint=0x24F, exclude_categories=["Cc", "Cf"])))
def test_without_marks_and_ignorables_folding_is_nfkc_and_casefold(text: str) -> None:
    expected = unicodedata.normalize("NFKC", text).casefold()
    if not any(unicodedata.category(char)[0] == "M" for char in expected):
        assert fold(text).text == unicodedata.normalize("NFKC", expected)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("ＡＢＣ　１２３", "abc 123"),
        ("b\u200bo\u00adm\u2060b", "bomb"),
        ("b\0o\x08m\x7fb", "bomb"),
        ("b\u0336o\u0336m\u0336b\u0336", "bomb"),
        ("炸\u0301弹\ufe0f", "炸弹"),
        ("e\u0301", "é"),
        ("Straße ﬁn", "strasse fin"),
        ("ｶﾞ", "ガ"),
        ("हिन्दी", "हिन्दी"),  # here the marks are part of the letters
        ("İ", "i"),
        ("1\ufe0f\u20e3", "1"),
        ("\u1112\u1161\u11ab", "한"),
        ("", ""),
    ],
)
def test_what_reads_the_same_folds_to_the_same(text: str, folded: str) -> None:
    assert fold(text).text == folded


@pytest.mark.integration
def test_every_character_alone_and_in_company_folds_once_and_for_all() -> None:
    for code in range(sys.maxunicode + 1):
        char = chr(code)
        uniform = 0x3400 <= code <= 0xD7FF or 0x17000 <= code <= 0x18FFF or code >= 0x20000
        if unicodedata.category(char) in ("Cn", "Co", "Cs") or (uniform and code % 89):
            continue
        for text in (char, f"a{char}\u0301b"):
            once = fold(text).text
            assert fold(once).text == once, hex(code)
