"""Overlaps of ranked lists: published values and laws."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from muniment_analysis.overlap import average_overlap, jaccard, rank_biased_overlap

lists = st.lists(st.integers(0, 12), unique=True, max_size=10)


def test_the_published_example() -> None:
    assert average_overlap("abcdefg", "zcavwxy") == pytest.approx(0.312, abs=5e-4)
    assert rank_biased_overlap("abcdefg", "zcavwxy") == pytest.approx(0.2882, abs=5e-5)


@given(lists, lists)
def test_overlaps_are_symmetric_and_from_0_to_1(a: list[int], b: list[int]) -> None:
    for overlap in (rank_biased_overlap, average_overlap, jaccard):
        value = overlap(a, b)
        assert -1e-12 <= value <= 1 + 1e-12
        assert value == pytest.approx(overlap(b, a))
        assert overlap(a, a) == pytest.approx(1)


@given(lists.filter(bool), st.integers(1, 9))
def test_lists_without_a_common_item_have_no_overlap(a: list[int], length: int) -> None:
    other = [f"x{number}" for number in range(length)]
    assert rank_biased_overlap(a, other) == average_overlap(a, other) == jaccard(a, other) == 0


def test_the_first_ranks_weigh_most() -> None:
    assert rank_biased_overlap("abcd", "bacd") < rank_biased_overlap("abcd", "abdc")


def test_a_beginning_of_a_list_agrees_with_it_as_far_as_it_goes() -> None:
    assert rank_biased_overlap("abc", "abcdef") == pytest.approx(1)


def test_an_item_that_occurs_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        rank_biased_overlap("aa", "ab")


def test_equal_lists_have_an_overlap_of_exactly_1() -> None:
    assert {rank_biased_overlap(range(n), range(n)) for n in range(200)} == {1.0}
