"""Scores of predicted labels: known answers, and proportions of 0 that keep a width."""

from __future__ import annotations

import numpy as np
import pytest

from muniment_analysis.errors import SampleError
from muniment_analysis.intervals import Estimate
from muniment_analysis.labels import label_report

EXPECTED = [*"aaaabbc"] * 4
PREDICTED = [*"aaabbbb"] * 4


def test_known_counts_give_known_scores() -> None:
    report = label_report(EXPECTED, PREDICTED)
    assert report.confusion == [[12, 4, 0], [0, 8, 0], [0, 4, 0]]
    assert report.accuracy.value == pytest.approx(5 / 7)
    a, b, c = (report.labels[name] for name in "abc")
    assert (a.precision.value, a.recall.value, a.f1.value) == (1, 0.75, pytest.approx(6 / 7))
    assert (b.precision.value, b.recall.value, b.f1.value) == (0.5, 1, pytest.approx(2 / 3))
    assert (c.expected, c.predicted, c.precision, c.recall.value, c.f1.value) == (4, 0, None, 0, 0)


def test_macro_averages_count_an_undefined_precision_as_0() -> None:
    macro = label_report(EXPECTED, PREDICTED).macro
    assert macro["precision"].value == pytest.approx(1.5 / 3)
    assert macro["recall"].value == pytest.approx(1.75 / 3)
    assert macro["f1"].value == pytest.approx((6 / 7 + 2 / 3) / 3)


def test_0_of_20_has_an_interval_with_a_width() -> None:
    report = label_report(["a"] * 20, ["b"] * 20)
    recall = report.labels["a"].recall
    for estimate in (report.accuracy, recall, *report.macro.values()):
        assert estimate.value == 0
        assert estimate.low == 0
        assert estimate.high == pytest.approx(0.1611, abs=1e-4)  # Wilson 1927


def test_20_of_20_has_an_interval_with_a_width() -> None:
    report = label_report(["a", "b"] * 10, ["a", "b"] * 10)
    for estimate in (report.accuracy, *report.macro.values()):
        assert (estimate.value, estimate.high) == (1, 1)
        assert estimate.low == pytest.approx(0.8389, abs=1e-4)


def test_the_intervals_cover_the_true_scores() -> None:
    """The true F1 of each label is 0.8, of which 95 % of the intervals should contain it."""
    random = np.random.default_rng(5)
    label, macro = 0, 0
    for _ in range(200):
        expected = random.integers(2, size=60)
        predicted = np.where(random.random(60) < 0.8, expected, 1 - expected)
        report = label_report(list(map(str, expected)), list(map(str, predicted)))
        label += _contains(report.labels["0"].f1, 0.8)
        macro += _contains(report.macro["f1"], 0.8)
    assert label >= 180
    assert macro >= 180


def _contains(estimate: Estimate | None, value: float) -> bool:
    return estimate is not None and estimate.low <= value <= estimate.high


@pytest.mark.parametrize("size", [0, 1])
def test_fewer_than_2_outputs_are_refused(size: int) -> None:
    with pytest.raises(SampleError) as refusal:
        label_report(["a"] * size, ["a"] * size)
    assert refusal.value.needed == 2
