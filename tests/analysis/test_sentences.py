"""Counts of sentences and of words as IFEval counts them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, strategies as st

from muniment_analysis.sentences import count_sentences
from muniment_analysis.words import count_word_runs, whole_word_pattern


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 0),
        (" \n ", 0),
        ("*** ** ...", 0),
        ("One", 1),
        ("One. Two! Three? Four", 4),
        ("What?! Yes.", 2),
        ("Dr. Smith met Mrs. Jones at 5 p.m. on Main St. near No. 3.", 2),
        ("He lives in the U.S. The house is old.", 2),
        ("Use fruit, e.g. apples, pears, etc. and nuts.", 1),
        ("It costs 3.50 dollars at example.com today.", 1),
        ("1. Mix it.\n2. Bake it.", 4),
        ("Well... maybe", 1),
        ("Well... The end.", 2),
        ('He said "Stop!" and left.', 2),
        ("(It rained.) We stayed.", 2),
        ("**Bold.** Plain.", 2),
        ("P.S. Remember the milk.", 2),
        ("A heading\n\nA line\n\nA sentence.", 1),
        ("我爱北京。你呢？太好了！", 3),
        ("他说：“走吧。”然后走了", 2),
        ("我用Python写程序。It works. 好", 3),
    ],
)
def test_sentences_end_with_a_mark(text: str, number: int) -> None:
    assert count_sentences(text) == number


@given(st.text(alphabet=" .!?。！\"'()*ab1\n", max_size=60))
def test_a_text_has_at_most_one_sentence_more_than_marks(text: str) -> None:
    number = count_sentences(text)
    assert 0 <= number <= 1 + len(re.findall("[.!?。！]+", text))
    assert (number == 0) == (re.search(r"\w", text) is None)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 0),
        ("don't", 2),
        ("state-of-the-art", 4),
        ("snake_case 3.14", 3),
        ("我爱北京", 4),
        ("我用Python写AI程序。", 7),
        ("カタカナ・です", 6),
        ("안녕 하세요", 2),
        ("naïve café", 2),
    ],
)
def test_words_are_runs_and_single_chinese_characters(text: str, number: int) -> None:
    assert count_word_runs(text) == number


@pytest.mark.parametrize(
    ("word", "text", "expected"),
    [
        ("cat", "The cat.", True),
        ("cat", "concatenate", False),
        ("cat", "cats", False),
        ("Python", "我用Python写", True),
        ("北京", "我爱北京吗", True),
        ("C++", "use C++, please", True),
        ("P.S.", "P.S. bye", True),
        ("a.c", "abc", False),
    ],
)
def test_a_whole_word_has_no_neighbour(word: str, text: str, expected: bool) -> None:
    assert (re.search(whole_word_pattern(word), text) is not None) == expected
