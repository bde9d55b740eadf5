"""The statistics of one item: distances, compliance, response and typing mistakes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

import muniment
from muniment_analysis.controllability.compliance import is_binary, pass_curve, pass_k
from muniment_analysis.controllability.item_statistics import (
    agreement,
    control_response,
    mean_distances,
    request_error,
    seed_distances,
    setting_means,
)
from muniment_analysis.controllability.layout import Layout
from muniment_analysis.controllability.measures import parse_measure
from muniment_analysis.controllability.response import ranks, slope, spearman
from muniment_analysis.controllability.typos import misspell
from muniment_analysis.controllability.values import of_numbers, of_similarities
from muniment_analysis.similarities import (
    ranking_similarities,
    wording_similarities,
)

LAYOUT = Layout(2, 3, 2)  # values 0 to 11: a step of 1 by seed, 2 by setting, 6 by paraphrase
VALUES = of_numbers(range(12))


def test_distances_are_between_outputs_that_differ_in_one_thing() -> None:
    found = mean_distances(LAYOUT, VALUES)
    assert found == {"seed": 1, "setting": pytest.approx(8 / 3), "paraphrase": 6}
    assert seed_distances(LAYOUT, VALUES) == [1, 1, 1]
    assert list(setting_means(LAYOUT, VALUES)) == [3.5, 5.5, 7.5]


def test_a_single_paraphrase_has_no_distance_between_paraphrases() -> None:
    found = mean_distances(Layout(1, 2, 2), of_numbers([1, 2, 3, 4]))
    assert math.isnan(found["paraphrase"])


def test_agreement_is_the_share_of_equal_pairs_of_seeds() -> None:
    assert agreement(Layout(1, 1, 3), [b"a", b"a", b"b"]) == pytest.approx(1 / 3)


def test_pass_k_is_the_share_of_samples_without_a_failure() -> None:
    assert pass_k(3, 5, 2) == pytest.approx(3 / 10)
    assert pass_k(5, 5, 5) == 1
    assert pass_k(1, 5, 2) == 0
    curve = pass_curve(np.array([[[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]]))
    assert curve == pytest.approx([5 / 6, 2 / 3, 1 / 2])
    with pytest.raises(ValueError, match="not defined"):
        pass_k(1, 2, 3)


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_pass_k_never_rises_with_k(counts: tuple[int, int]) -> None:
    compliant, outputs = counts
    curve = [pass_k(compliant, outputs, k) for k in range(1, outputs + 1)]
    assert curve == sorted(curve, reverse=True)
    assert curve[0] == pytest.approx(compliant / outputs)


def test_only_zeros_and_ones_can_mean_compliance() -> None:
    assert is_binary(np.array([0.0, 1.0]))
    assert not is_binary(np.array([0.0, 0.5]))


def test_ranks_share_their_mean_and_a_constant_has_no_correlation() -> None:
    assert list(ranks(np.array([3.0, 1.0, 3.0]))) == [2.5, 1, 2.5]
    assert spearman([1, 2], np.array([[5.0], [5.0]])) is None
    assert spearman([1, 2, 3], np.array([[1.0], [4.0], [9.0]])) == pytest.approx(1)
    assert slope([0, 1, 2], np.array([[1.0], [3.0], [5.0]])) == pytest.approx(2)


@given(st.lists(st.floats(-100, 100), min_size=6, max_size=6))
def test_the_rank_correlation_is_that_of_scipy(values: list[float]) -> None:
    from scipy.stats import spearmanr

    if len(set(values)) > 1:
        table = np.array(values).reshape(3, 2)
        expected = spearmanr(np.repeat([1, 2, 3], 2), table.ravel()).statistic
        assert spearman([1, 2, 3], table) == pytest.approx(expected, abs=1e-12)


def test_the_response_belongs_to_one_control() -> None:
    controls = {"a": (1, 2), "b": (10, 20, 30)}
    layout = Layout(1, 6, 2)
    values = of_numbers([b for a in (1, 2) for b in (10, 20, 30) for _ in range(2)])
    assert control_response(layout, values, controls, "b")["slope"] == pytest.approx(1)
    assert control_response(layout, values, controls, "a")["slope"] == 0


def test_the_error_is_the_difference_from_the_requested_number() -> None:
    values = of_numbers([1, 3, 12, 12])
    found = request_error(Layout(1, 2, 2), values, [2, 10])
    assert found == {"absolute": 1.5, "signed": 1}


def test_texts_are_compared_by_words_and_pairs_also_in_chinese() -> None:
    found = wording_similarities(["月亮很美", "月亮很美", "海很大", ""])
    assert found[0, 1] == 1
    assert 0 < found[0, 2] < 1
    assert found[0, 3] == 0
    assert of_similarities(found).squared[0, 1] == 0


def test_lists_are_compared_by_their_order() -> None:
    found = ranking_similarities([["a", "b"], ["b", "a"], ["c", "d"]])
    assert found[0, 0] == 1
    assert 0 < found[0, 1] < 1
    assert found[0, 2] == 0


@given(st.text(max_size=80), st.integers(0, 100))
def test_a_misspelt_text_is_close_and_repeatable(text: str, seed: int) -> None:
    wrong = misspell(text, seed)
    assert wrong == misspell(text, seed)
    assert abs(len(wrong) - len(text)) <= max(1, len(text) // 25)


@pytest.mark.parametrize("text", ["Write a sentence about the sea.", "写一句关于月亮的话"])
def test_a_sentence_gets_a_mistake(text: str) -> None:
    assert misspell(text, 1) != text


@pytest.mark.parametrize("text", ["", "a(b", ".x", "wording.x", "ranking(p=1)", "a,b"])
def test_a_malformed_measure_is_refused(text: str) -> None:
    with pytest.raises(muniment.UsageError):
        parse_measure(text)


def test_a_measure_can_have_parameters() -> None:
    spec = parse_measure("classifier(model=a.b).positive")
    assert (spec.reference, spec.measure) == ("classifier(model=a.b)", "positive")
    assert parse_measure("embedding(model=x)").kind == "embedding"


@pytest.mark.parametrize(
    ("text", "parameters", "accepted"),
    [
        ("close(scale=2).value", {"scale": 2}, True),
        ("close(scale=2).value", {"scale": 2.0}, True),
        ("close(strict=true)", {"strict": True}, True),
        ("close(scale=3).value", {"scale": 2}, False),
        ("close(other=3).value", {"scale": 2}, False),
        ("close.value", {"scale": 2}, True),
        ("close.other", {"scale": 2}, False),
    ],
)
def test_a_measure_accepts_the_scores_of_its_evaluator(
    text: str, parameters: dict[str, object], accepted: bool
) -> None:
    score = muniment.Score("close(…)", "1", "value", 1.0, parameters=parameters)  # type: ignore[arg-type]
    assert parse_measure(text).accepts(score) is accepted
