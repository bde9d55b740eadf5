"""BLEU, chrF, ROUGE-L and self-BLEU: known answers, and texts that comparable tools get wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings, strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from muniment_analysis.chrf import chrf
from muniment_analysis.text_overlap import bleu, rouge_l, self_bleu

Measure = Callable[[str, Sequence[str]], float]
CHINESE = "最近我国成功发射了新的卫星。"
MEASURES = [(bleu, 100.0), (chrf, 100.0), (rouge_l, 1.0)]
BEST = pytest.mark.parametrize(("measure", "best"), MEASURES)

_WORDS = st.lists(st.sampled_from("the cat sat on mats 我 国 卫星 , .".split()), max_size=12)
_TEXTS = _WORDS.map(" ".join)


@BEST
@pytest.mark.parametrize(
    "text",
    [
        CHINESE,
        "卫",
        "The cat sat.",
        "a",
        "!?",
        "😀",
        "",
        "カタカナ",
        "ดาวเทียม",
        "안녕 하세요",
        "\ud800",
    ],
)
def test_equal_texts_have_the_best_value_in_any_script(
    measure: Measure, best: float, text: str
) -> None:
    assert measure(text, [text]) == best


@BEST
@pytest.mark.parametrize(("text", "reference"), [("", "the cat"), ("the cat", ""), ("a", "b")])
def test_texts_without_anything_common_have_0(
    measure: Measure, best: float, text: str, reference: str
) -> None:
    assert measure(text, [reference]) == 0


@BEST
def test_chinese_texts_that_differ_in_a_word_are_alike(measure: Measure, best: float) -> None:
    alike = measure("最近我国发射了新的卫星。", [CHINESE])
    assert 0.55 * best < alike < best


@BEST
def test_the_most_similar_reference_counts(measure: Measure, best: float) -> None:
    assert measure(CHINESE, ["今天天气很好。", CHINESE]) == best


@given(_TEXTS, st.lists(_TEXTS, min_size=1, max_size=3))
def test_chrf_is_that_of_sacrebleu(text: str, references: list[str]) -> None:
    expected = CHRF().sentence_score(text, references).score
    if "".join(text.split()) in {"".join(reference.split()) for reference in references}:
        expected = 100.0  # sacrebleu gives two empty texts 0
    assert chrf(text, references) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=30)
@given(_TEXTS)
def test_bleu_of_english_is_that_of_sacrebleu(text: str) -> None:
    reference = "the cat sat on the mats"
    expected = BLEU(effective_order=True).sentence_score(text, [reference]).score
    assert bleu(text, [reference]) == pytest.approx(expected)


def test_rouge_l_is_the_f1_of_the_longest_common_subsequence() -> None:
    # Lin 2004, section 3.1: 3 of 4 words, then 2 of 4
    reference = "police killed the gunman"
    assert rouge_l("police kill the gunman", [reference]) == 0.75
    assert rouge_l("the gunman kill police", [reference]) == 0.5


def test_rouge_l_ignores_case_and_punctuation() -> None:
    assert rouge_l("The cat, sat!", ["the cat sat"]) == 1


def test_self_bleu_compares_each_text_with_the_others() -> None:
    alike, also, other = self_bleu([CHINESE, CHINESE, "今天天气很好"])
    assert alike == also == 100
    assert other < 15


def test_self_bleu_of_one_text_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        self_bleu([CHINESE])
