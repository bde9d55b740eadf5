"""Tests of rank-biased overlap, against its definition and published properties."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from muniment_recommendation.ranking.overlap import rank_biased_overlap

LISTS = st.lists(st.sampled_from("abcdefghijklmnop"), unique=True)


def by_definition(first: str, second: str, p: float) -> float:
    """Compute equation 32 of the paper term by term."""
    short, long = sorted((first, second), key=len)
    s, length = len(short), len(long)
    common = [len(set(short[:d]) & set(long[:d])) for d in range(length + 1)]
    agreed = sum(common[d] / d * p**d for d in range(1, length + 1))
    assumed = sum(common[s] * (d - s) / (s * d) * p**d for d in range(s + 1, length + 1))
    end = (common[length] - common[s]) / length + common[s] / s
    return (1 - p) / p * (agreed + assumed) + end * p**length


def test_the_lists_of_the_paper_have_its_value() -> None:
    assert rank_biased_overlap("abcdefg", "zcavwxy", 0.9) == pytest.approx(0.2882, abs=5e-5)


@pytest.mark.parametrize(
    ("first", "second"), [("abc", "acb"), ("abcdef", "bx"), ("a", "b"), ("abcdefg", "gfedcba")]
)
@pytest.mark.parametrize("p", [0.5, 0.9, 0.98])
def test_the_overlap_is_that_of_the_definition(first: str, second: str, p: float) -> None:
    assert rank_biased_overlap(first, second, p) == pytest.approx(by_definition(first, second, p))


def test_equal_lists_have_the_overlap_1_and_disjoint_ones_0() -> None:
    assert rank_biased_overlap("abcdefghij", "abcdefghij") == pytest.approx(1)
    assert rank_biased_overlap("abcdefghij", "klmnopqrst") == 0
    assert rank_biased_overlap("", "") == 1
    assert rank_biased_overlap("", "a") == 0


def test_a_difference_at_the_first_rank_counts_more_than_at_the_last() -> None:
    assert rank_biased_overlap("abcdefghij", "bacdefghij") < rank_biased_overlap(
        "abcdefghij", "abcdefghji"
    )


@given(LISTS, LISTS)
def test_the_overlap_is_symmetric_and_from_0_to_1(first: list[str], second: list[str]) -> None:
    overlap = rank_biased_overlap(first, second)
    assert overlap == pytest.approx(rank_biased_overlap(second, first), abs=1e-12)
    assert -1e-12 <= overlap <= 1 + 1e-12
