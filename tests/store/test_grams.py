"""The parts of a text by which it is found: words, or characters and pairs of them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, strategies as st

from muniment.store.search.tokenizer import MAX_INDEXED_BYTES, MAX_TERM_CHARACTERS, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        ("The cat, the CAT!", {"the", "cat"}),
        ("GPT-4 don't snake_case", {"gpt", "4", "don", "t", "snake", "case"}),
        ("新的卫星", {"新", "的", "卫", "星", "新的", "的卫", "卫星"}),
        ("我，们", {"我", "们"}),
        ("AI卫星", {"ai", "卫", "星", "卫星"}),
        ("ＡＩ ﬁne ①", {"ai", "fine", "1"}),
        ("cafe\u0301 Straße", {"café", "strasse"}),
        ("हिन्दी", {"हिन्दी"}),
        ("か\u3099", {"が"}),
        ("\"'*()- ; DROP TABLE", {"drop", "table"}),
        ("a\0b\x1ac", {"a", "b", "c"}),
    ],
)
def test_a_text_has_the_terms(text: str, expected: set[str]) -> None:
    assert terms([text]) == expected


def test_a_long_word_is_known_by_its_beginning() -> None:
    assert terms(["x" * 1000]) == {"x" * MAX_TERM_CHARACTERS}


@pytest.mark.parametrize("letter", ["x ", "é ", "国"])
def test_only_the_beginning_of_a_long_text_is_indexed(letter: str) -> None:
    text = letter * MAX_INDEXED_BYTES
    assert "end" not in terms([text + " end"])
    assert "end" in terms(["end " + text])


@given(st.text())
def test_terms_hold_neither_spaces_nor_capitals_and_are_their_own_terms(text: str) -> None:
    found = terms([text])
    assert all(term.split() == [term] and not set(term) & set("\"'*()-\0") for term in found)
    for term in found:
        assert term in terms([term])


@given(st.text())
def test_compatibility_forms_make_no_difference(text: str) -> None:
    assert terms([unicodedata.normalize("NFKC", text)]) == terms([text])


@pytest.mark.parametrize("block", range(0, 0x110000, 0x8000))
def test_every_compatibility_form_has_the_terms_of_its_letters(block: int) -> None:
    for code in range(block, block + 0x8000):
        letter = unicodedata.normalize("NFKC", chr(code))
        if letter != chr(code):
            assert terms([chr(code)]) == terms([letter]), hex(code)


@given(st.lists(st.text(st.characters(codec="ascii")), max_size=3))
def test_ascii_is_read_like_every_other_text(texts: list[str]) -> None:
    assert terms(texts) == terms([*texts, "é"]) - {"é"}
