"""Stability of lists when one item of the history is dropped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from muniment_recommendation.measures.stability import dropped_item_overlap, first_items


def _numbers(*items: int) -> np.ndarray:
    return np.array(items, np.int32)


def test_first_items_are_ordered_by_score_and_then_by_catalogue() -> None:
    scores = np.array([[1.0, 3, 2, 3.0000001, 5], [0, 0, 0, 0, 0]])

    first, second = first_items(scores, [_numbers(4), _numbers()], 3)

    assert first.tolist() == [1, 3, 2]
    assert second.tolist() == [0, 1, 2]


def test_first_items_are_fewer_when_the_rest_is_excluded() -> None:
    (items,) = first_items(np.array([[1.0, 2, 3]]), [_numbers(0, 2)], 3)

    assert items.tolist() == [1]


def test_a_model_that_reads_no_history_is_stable() -> None:
    def scores(histories: Sequence[np.ndarray]) -> np.ndarray:
        return np.tile(np.arange(50.0), (len(histories), 1))

    overlaps = dropped_item_overlap(scores, [_numbers(49, 3), _numbers(7)], 50)

    # A dropped item stays excluded, otherwise 49 would come back to the top.
    np.testing.assert_allclose(overlaps, 1)


def test_a_list_that_depends_on_the_dropped_item_changes() -> None:
    def scores(histories: Sequence[np.ndarray]) -> np.ndarray:
        rows = np.zeros((len(histories), 50))
        for row, history in enumerate(histories):
            rows[row, history + 20] = 1
        return rows

    histories = [_numbers(item, item + 1) for item in range(10)]

    overlaps = dropped_item_overlap(scores, histories, 50)

    assert len(overlaps) == 10
    assert (overlaps < 1).all()
    assert (overlaps == dropped_item_overlap(scores, histories, 50)).all()
