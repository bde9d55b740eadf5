from __future__ import annotations

import math
import subprocess
import sys

import pytest
from hypothesis import given, strategies as st

import muniment
from muniment_analysis.evaluators.text_statistics import TextStatistics
from muniment_analysis.words import words
from support.generations import completed


def statistics(*texts: str) -> dict[str, float]:
    return dict(TextStatistics().evaluate(completed(*texts)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat, the hat.", ["the", "cat", "the", "hat"]),
        ("最近我国成功", list("最近我国成功")),
        ("我用Python写AI程序。", ["我", "用", "python", "写", "ai", "程", "序"]),
        ("don't can’t 'quoted'", ["don't", "can’t", "quoted"]),
        ("state-of-the-art", ["state", "of", "the", "art"]),
        ("3.14 is π", ["3", "14", "is", "π"]),
        ("カタカナ", list("カタカナ")),
        ("안녕 하세요", ["안녕", "하세요"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("😀 … !?", []),
        ("a\0b", ["a", "b"]),
        ("'", []),
        ("", []),
    ],
)
def test_words_are_runs_of_letters_and_single_chinese_characters(
    text: str, expected: list[str]
) -> None:
    assert words(text) == expected


def test_an_english_text_is_measured() -> None:
    scores = statistics("a rose is a rose is a rose")
    assert scores == {
        "characters": 26,
        "words": 8,
        "distinct-1": 3 / 8,
        "distinct-2": 3 / 7,
        "repetition": 1 - 3 / 5,
    }


def test_a_chinese_text_is_measured_by_its_characters() -> None:
    scores = statistics("好好学习，天天向上。")
    assert scores["characters"] == 10
    assert scores["words"] == 8
    assert scores["distinct-1"] == 6 / 8
    assert scores["distinct-2"] == 1
    assert scores["repetition"] == 0


def test_an_empty_text_has_a_length_and_no_ratios() -> None:
    assert statistics("") == {"characters": 0, "words": 0}
    assert statistics("one") == {"characters": 3, "words": 1, "distinct-1": 1}


def test_without_a_text_nothing_is_measured() -> None:
    assert TextStatistics().evaluate(completed()) == {}
    assert TextStatistics().evaluate(completed(muniment.Output("image/png", b"\x89"))) == {}


def test_outputs_are_measured_together_but_no_ngram_joins_them() -> None:
    assert statistics("one two", "three four") == {
        "characters": 17,
        "words": 4,
        "distinct-1": 1,
        "distinct-2": 1,
    }


@given(st.lists(st.text(), max_size=4))
def test_every_measure_is_finite_and_in_its_range(texts: list[str]) -> None:
    scores = statistics(*texts)
    declared = {measure.name for measure in TextStatistics.measures}
    assert scores.keys() <= declared
    assert all(math.isfinite(value) and value >= 0 for value in scores.values())
    assert all(scores[name] <= 1 for name in scores.keys() - {"characters", "words"})


@given(st.text())
def test_case_makes_no_difference(text: str) -> None:
    assert words(text) == words(text.casefold())


@given(st.text("abc 中文", min_size=1), st.integers(2, 5))
def test_saying_it_all_again_repeats_it(text: str, times: int) -> None:
    once, often = statistics(text), statistics(" ".join([text] * times))
    assert often["words"] == times * once["words"]
    if once["words"] >= 4:
        # n − 3 distinct at most in the text, three more across each seam, the same at every seam
        assert often["repetition"] >= 1 - once["words"] / (times * once["words"] - 3)


def test_importing_the_plugin_imports_no_evaluator() -> None:
    program = (
        "import sys, muniment_analysis.plugin\n"
        "heavy = {'numpy', 'torch', 'muniment_analysis.evaluators.text_statistics'}\n"
        "assert not heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
