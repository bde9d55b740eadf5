"""The entropy of small samples, against known expectations."""

from __future__ import annotations

import math
import random

import pytest

from muniment_analysis.entropy import Entropy, entropy


def _mean_of_samples(classes: int, size: int = 10) -> tuple[float, float, float]:
    drawn = random.Random(0)
    samples = [entropy([drawn.randrange(classes) for _ in range(size)]) for _ in range(10_000)]
    plug_in = math.fsum(sample.plug_in for sample in samples) / len(samples)
    corrected = math.fsum(sample.corrected for sample in samples) / len(samples)
    return plug_in, corrected, sum(sample.underestimated for sample in samples) / len(samples)


def test_five_equal_classes_at_ten_observations() -> None:
    plug_in, corrected, underestimated = _mean_of_samples(5)
    assert plug_in == pytest.approx(1.375, abs=0.01)
    assert corrected == pytest.approx(1.549, abs=0.01)
    assert underestimated < 0.01


def test_twenty_classes_at_ten_observations_are_reported_as_underestimated() -> None:
    assert _mean_of_samples(20)[2] == pytest.approx(0.95, abs=0.01)


def test_equal_observations_have_no_entropy() -> None:
    assert entropy(["a"] * 5) == Entropy(0.0, 0.0, False)
    assert str(entropy(["a"]).plug_in) == "0.0"


def test_the_entropy_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no observation"):
        entropy([])
