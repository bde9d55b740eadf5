"""The metrics: known answers, equal scores against all their orders, and invariances."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, strategies as st

from muniment_recommendation.measures.metrics import CUTOFFS, NAMES, measure, rank_metrics


def _numbers(*items: int) -> np.ndarray:
    return np.array(items, np.int32)


def _one(
    scores: Sequence[float], relevant: Sequence[int], seen: Sequence[int] = ()
) -> dict[str, float]:
    """Return the metrics of one user by name."""
    row = rank_metrics(np.array([scores], float), [_numbers(*seen)], [_numbers(*relevant)])
    return dict(zip(NAMES, row[0].tolist(), strict=True))


def _of_order(order: Sequence[int], relevant: set[int]) -> dict[str, float]:
    """Compute the metrics of one order without ties from their definitions."""
    hits = [item in relevant for item in order]
    values = {}
    for cutoff in CUTOFFS:
        first = hits[:cutoff]
        positions = [at for at, hit in enumerate(first, 1) if hit]
        reachable = min(len(relevant), cutoff)
        ideal = sum(1 / math.log2(1 + at) for at in range(1, reachable + 1))
        values |= {
            f"hr@{cutoff}": float(bool(positions)),
            f"ndcg@{cutoff}": sum(1 / math.log2(1 + at) for at in positions) / ideal,
            f"recall@{cutoff}": len(positions) / len(relevant),
            f"precision@{cutoff}": len(positions) / cutoff,
            f"mrr@{cutoff}": 1 / positions[0] if positions else 0.0,
            f"map@{cutoff}": sum(sum(hits[:at]) / at for at in positions) / reachable,
        }
    return values


def _of_all_orders(scores: Sequence[float], relevant: set[int]) -> dict[str, float]:
    """Return the means of the metrics over all orders that the scores allow."""
    orders = [
        order
        for order in itertools.permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    values = [_of_order(order, relevant) for order in orders]
    return {name: statistics.fmean(value[name] for value in values) for name in NAMES}


def test_metrics_of_one_relevant_item_at_position_3() -> None:
    metrics = _one([9, 8, 7, 6, 5, 4], [2])

    assert metrics["hr@5"] == metrics["recall@5"] == 1
    assert metrics["ndcg@5"] == pytest.approx(1 / 2)
    assert metrics["mrr@5"] == metrics["map@5"] == pytest.approx(1 / 3)
    assert metrics["precision@5"] == pytest.approx(1 / 5)


def test_metrics_of_several_relevant_items_have_the_values_of_their_definitions() -> None:
    metrics = _one([9, 8, 7, 6, 5, 4], [0, 2, 5])

    assert metrics["recall@5"] == pytest.approx(2 / 3)
    assert metrics["map@5"] == pytest.approx((1 + 2 / 3) / 3)
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    assert metrics["ndcg@5"] == pytest.approx((1 + 1 / 2) / ideal)


def test_a_relevant_item_beyond_the_cutoff_does_not_count() -> None:
    metrics = _one(list(range(30, 0, -1)), [7])

    assert metrics["hr@5"] == metrics["mrr@5"] == 0
    assert metrics["mrr@10"] == metrics["mrr@20"] == pytest.approx(1 / 8)


def test_seen_items_are_not_ranked() -> None:
    assert _one([9, 8, 7, 6], [3], seen=[0, 1, 2])["mrr@5"] == 1


def test_item_number_0_is_an_item_like_others() -> None:
    assert _one([9, 8, 7, 6], [0])["mrr@5"] == 1
    assert _one([9, 8, 7, 6], [1], seen=[0])["mrr@5"] == 1


@pytest.mark.parametrize("items", [5, 12, 19, 20, 21, 100])
@pytest.mark.parametrize("relevant", [1, 2, 5])
def test_a_constant_model_is_at_chance(items: int, relevant: int) -> None:
    metrics = _one([0.5] * items, range(relevant))

    for cutoff in CUTOFFS:
        drawn = min(cutoff, items)
        none = math.comb(items - relevant, drawn) / math.comb(items, drawn)
        assert metrics[f"hr@{cutoff}"] == pytest.approx(1 - none)
        assert metrics[f"recall@{cutoff}"] == pytest.approx(drawn / items)
        assert metrics[f"precision@{cutoff}"] == pytest.approx(relevant * drawn / items / cutoff)


def test_one_equal_score_counts_half() -> None:
    metrics = _one([1, 5, 5, 0], [2])

    assert metrics["mrr@5"] == pytest.approx((1 + 1 / 2) / 2)
    assert metrics["ndcg@5"] == pytest.approx((1 + 1 / math.log2(3)) / 2)


@given(data=st.data())
def test_equal_scores_have_the_mean_over_all_orders(data: st.DataObject) -> None:
    scores = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=7))
    relevant = data.draw(st.sets(st.integers(0, len(scores) - 1), min_size=1, max_size=len(scores)))

    assert _one(scores, sorted(relevant)) == pytest.approx(_of_all_orders(scores, relevant))


def test_scores_that_differ_after_6_digits_are_equal() -> None:
    assert _one([1.0000001, 1.0000002], [0]) == _one([1, 1], [0])
    assert _one([1.000001, 1.000002], [0]) != _one([1, 1], [0])


def test_a_group_that_reaches_beyond_the_deepest_cutoff_is_counted_in_full() -> None:
    metrics = _one([2.0] * 18 + [1.0] * 82, [50])

    assert metrics["hr@10"] == 0
    assert metrics["hr@20"] == pytest.approx(2 / 82)


_SCORES = st.integers(2, 40).flatmap(
    lambda items: st.lists(
        st.lists(st.integers(-3, 3), min_size=items, max_size=items), min_size=1, max_size=5
    )
)


def _case(scores: list[list[int]], seed: int) -> tuple[np.ndarray, list, list]:
    """Return scores with seen and relevant items drawn for each user."""
    matrix = np.array(scores, float)
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(matrix.shape[1]).astype(np.int32) for _ in scores]
    ends = [int(rng.integers(1, matrix.shape[1])) for _ in scores]
    seen = [order[end:] for order, end in zip(orders, ends, strict=True)]
    relevant = [
        order[: int(rng.integers(1, end + 1))] for order, end in zip(orders, ends, strict=True)
    ]
    return matrix, seen, relevant


@given(_SCORES, st.integers(0, 1000))
def test_renumbering_the_items_changes_nothing(scores: list[list[int]], seed: int) -> None:
    matrix, seen, relevant = _case(scores, seed)
    order = np.random.default_rng(seed + 1).permutation(matrix.shape[1])
    renumbered = np.argsort(order).astype(np.int32)

    values = rank_metrics(matrix, seen, relevant)
    others = rank_metrics(
        matrix[:, order],
        [renumbered[items] for items in seen],
        [renumbered[items] for items in relevant],
    )

    np.testing.assert_allclose(values, others, atol=1e-12)


@given(_SCORES, st.integers(0, 1000))
def test_metrics_are_between_0_and_1_and_grow_with_the_cutoff(
    scores: list[list[int]], seed: int
) -> None:
    values = rank_metrics(*_case(scores, seed))
    by_name = dict(zip(NAMES, values.T, strict=True))

    assert (values > -1e-12).all()
    assert (values < 1 + 1e-12).all()
    for kind in ("hr", "recall", "mrr"):
        columns = [by_name[f"{kind}@{cutoff}"] for cutoff in CUTOFFS]
        for lower, higher in itertools.pairwise(columns):
            assert (higher >= lower - 1e-12).all()


@given(_SCORES, st.integers(0, 1000))
def test_a_higher_score_of_a_relevant_item_lowers_no_metric(
    scores: list[list[int]], seed: int
) -> None:
    matrix, seen, relevant = _case(scores, seed)
    values = rank_metrics(matrix, seen, relevant)
    raised = matrix.copy()
    for user, items in enumerate(relevant):
        raised[user, items[0]] += 1

    assert (rank_metrics(raised, seen, relevant) >= values - 1e-12).all()


@given(_SCORES, st.integers(0, 1000), st.integers(1, 20_000))
def test_blocks_of_users_change_nothing(
    scores: list[list[int]], seed: int, block_bytes: int
) -> None:
    matrix, seen, relevant = _case(scores, seed)
    matrix, seen, relevant = np.tile(matrix, (3, 1)), seen * 3, relevant * 3
    remaining = list(range(len(matrix)))

    def block(histories: Sequence[np.ndarray]) -> np.ndarray:
        users, remaining[:] = remaining[: len(histories)], remaining[len(histories) :]
        return matrix[users]

    values = measure(block, seen, relevant, matrix.shape[1], block_bytes=block_bytes)

    assert (values == rank_metrics(matrix, seen, relevant)).all()


def test_a_block_has_at_most_the_given_bytes() -> None:
    sizes = []

    def block(histories: Sequence[np.ndarray]) -> np.ndarray:
        sizes.append(len(histories) * 1000 * 8)
        return np.zeros((len(histories), 1000))

    measure(block, [_numbers()] * 50, [_numbers(1)] * 50, 1000, block_bytes=80_000)

    assert sum(sizes) == 50 * 1000 * 8
    assert max(sizes) <= 80_000


def test_only_allowed_items_are_ranked() -> None:
    allowed = np.array([False, True, True, False])
    values = rank_metrics(np.array([[9.0, 1.0, 2.0, 8.0]]), [_numbers()], [_numbers(2)], allowed)

    assert values[0, NAMES.index("mrr@5")] == 1


def test_no_users_have_no_values() -> None:
    assert measure(lambda histories: np.zeros((0, 3)), [], [], 3).shape == (0, len(NAMES))


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_refused(score: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        _one([1, score], [0])


def test_a_user_without_relevant_items_is_refused() -> None:
    with pytest.raises(ValueError, match="relevant"):
        _one([1, 2], [])
