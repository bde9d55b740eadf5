"""Evaluation: no target is trained on, ties are shuffled, cold items have their baseline."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from muniment_recommendation.data.catalogue import Catalogue, CatalogueItem
from muniment_recommendation.data.interactions import Interactions
from muniment_recommendation.data.protocols import PROTOCOLS
from muniment_recommendation.data.reading import read_data
from muniment_recommendation.errors import DataError
from muniment_recommendation.measures.evaluation import compare, count_fits, evaluate, splits_of
from muniment_recommendation.measures.metrics import NAMES
from support import tables


class Counts:
    """A model that scores items by their users."""

    def __init__(self, data: Interactions) -> None:
        self.counts = data.counts().astype(float)

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        return np.tile(self.counts, (len(histories), 1))


class Neighbours(Counts):
    """A model that scores items by the users whom they share with a history."""

    def __init__(self, data: Interactions) -> None:
        matrix = data.matrix()
        self.shared = (matrix.T @ matrix).toarray()

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        return np.array([self.shared[history].sum(axis=0) for history in histories])


def fit_counts(data: Interactions, catalogue: Catalogue) -> Counts:
    return Counts(data)


def fit_neighbours(data: Interactions, catalogue: Catalogue) -> Neighbours:
    return Neighbours(data)


def _data(histories: Sequence[Sequence[int]], times: Sequence[Sequence[int]] | None = None):
    """Return interactions, at consecutive times by default, and their catalogue."""
    items = max(map(max, histories)) + 1
    moments = times or [range(len(history)) for history in histories]
    interactions = Interactions(
        tuple(f"u{user}" for user in range(len(histories))),
        np.cumsum([0, *map(len, histories)]),
        np.concatenate([np.array(history, np.int32) for history in histories]),
        np.concatenate([np.array(moment, np.int64) for moment in moments]),
        items,
    )
    return interactions, Catalogue(tuple(CatalogueItem(f"i{item}") for item in range(items)))


def _random(users: int = 60, items: int = 40, length: int = 10, *, spread: int = 0):
    """Return histories drawn at random, with tied times if `spread` is small."""
    rng = np.random.default_rng(7)
    histories = [rng.permutation(items)[:length].tolist() for _ in range(users)]
    times = [sorted(rng.integers(0, max(spread, 1), length).tolist()) for _ in histories]
    return _data(histories, times if spread else None)


@pytest.mark.parametrize("protocol", ["leave-one-out", "global-time"])
def test_later_dislikes_do_not_reach_the_training(protocol: str, tmp_path: Path) -> None:
    rows = [f"u{user},i{item},{item},view" for user in range(9) for item in range(4)]
    rows += ["v,i0,0,view", "v,i1,1,view", "v,i2,2,view", "v,i3,3,view"]
    later = [*rows, "u0,i4,4,view", "v,i0,9,dislike", "v,i4,8,view"]
    read = read_data(
        tables.write_folder(tmp_path, "\n".join(["user,item,timestamp,action", *later]))
    )
    trained: list[Interactions] = []

    def fit(data: Interactions, catalogue: Catalogue) -> Counts:
        trained.append(data)
        return Counts(data)

    evaluate(fit, read.interactions, read.catalogue, protocol, shuffles=0)

    [data] = trained
    assert data.history(data.user_numbers["v"]).tolist() == [0, 1, 2, 3]
    assert data.disliked == {}


def _leak(users: int = 200):
    """Return data in which each held-out item belongs to its user alone."""
    rng = np.random.default_rng(3)
    return _data([[*rng.permutation(80)[:9].tolist(), 80 + user] for user in range(users)])


@pytest.mark.parametrize("fit", [fit_counts, fit_neighbours])
def test_items_that_only_their_user_has_are_hit_at_chance_level(fit: object) -> None:
    interactions, catalogue = _leak()

    result = evaluate(fit, interactions, catalogue, "leave-one-out")  # type: ignore[arg-type]

    assert result.users == 200
    assert result.metrics["hr@20"].value <= 20 / len(catalogue)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_no_target_reaches_the_fit(protocol: str) -> None:
    interactions, catalogue = _random(spread=1000)
    fitted = []

    def fit(data: Interactions, items: Catalogue) -> Counts:
        fitted.append(data)
        assert items is catalogue
        return Counts(data)

    evaluate(fit, interactions, catalogue, protocol, shuffles=0)

    for train, split in zip(fitted, splits_of(interactions, protocol, 0), strict=True):
        for user, targets in zip(split.users, split.targets, strict=True):
            assert not set(train.history(user).tolist()) & set(targets.tolist())
        assert len(train.items) < len(interactions.items)


def test_a_constant_model_is_at_chance() -> None:
    interactions, catalogue = _random()

    class Constant(Counts):
        def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
            return np.ones((len(histories), len(self.counts)))

    result = evaluate(lambda data, items: Constant(data), interactions, catalogue, "leave-one-out")

    assert result.metrics["hr@10"].value == pytest.approx(10 / (40 - 9))


def test_a_model_that_knows_the_next_item_is_perfect() -> None:
    interactions, catalogue = _data(
        [[(start + step) % 30 for step in range(5)] for start in range(30)]
    )

    class Next(Counts):
        def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
            return np.eye(30)[[(history[-1] + 1) % 30 for history in histories]]

    result = evaluate(lambda data, items: Next(data), interactions, catalogue, "leave-one-out")

    assert result.metrics["ndcg@5"] == (1, 1, 1)
    assert result.metrics["precision@5"].value == pytest.approx(1 / 5)


def test_leave_one_out_without_ties_has_no_shuffles() -> None:
    interactions, catalogue = _random()

    result = evaluate(fit_counts, interactions, catalogue, "leave-one-out")

    assert (result.tied, result.shuffles) == (0, None)
    assert "shuffles" not in result.to_json()


def test_ties_are_counted_and_shuffled() -> None:
    interactions, catalogue = _random(spread=3)
    fits = []

    result = evaluate(
        fit_counts, interactions, catalogue, "leave-one-out", shuffles=4, advance=fits.append
    )

    assert result.tied > 0
    assert result.shuffles is not None
    assert result.shuffles.seeds == (0, 1, 2, 3)
    assert result.shuffles.spreads["hr@10"] > 0
    assert len(fits) == count_fits(splits_of(interactions, "leave-one-out", 0), 4) == 5


def test_shuffles_show_an_order_of_rows_that_decides_the_targets() -> None:
    rng = np.random.default_rng(0)
    histories = [[*rng.permutation(30)[:5].tolist(), 30] for _ in range(200)]
    interactions, catalogue = _data(histories, [[1] * 6] * 200)

    result = evaluate(fit_counts, interactions, catalogue, "leave-one-out")

    assert result.metrics["hr@5"].value < result.shuffles.means["hr@5"]  # type: ignore[union-attr]


def test_cold_items_are_ranked_among_themselves_and_among_all() -> None:
    interactions, catalogue = _random(users=90)

    result = evaluate(fit_counts, interactions, catalogue, "cold-item")

    assert result.seeds == (0, 1, 2)
    assert result.cold is not None
    assert result.cold.items == 8
    # A count is 0 for every hidden item, so the model has the value of random orders.
    assert result.cold.metrics["ndcg@10"].value == pytest.approx(result.cold.random["ndcg@10"])
    assert result.metrics["recall@10"].value == 0
    assert result.cold.random_overall["recall@10"] == pytest.approx(10 / 32, abs=0.02)


def test_cold_item_chance_is_that_of_drawing_without_replacement() -> None:
    interactions, catalogue = _random(users=90)

    result = evaluate(fit_counts, interactions, catalogue, "cold-item")

    assert result.cold is not None
    assert result.cold.random["recall@5"] == pytest.approx(5 / 8)


def test_a_user_counts_once_however_many_seeds_test_it() -> None:
    interactions, catalogue = _random(users=30)

    result = evaluate(fit_counts, interactions, catalogue, "cold-item")

    assert result.users + result.skipped == 30
    assert len(set(result.tested)) == result.users == len(result.values)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_result_is_repeatable_and_is_json(protocol: str) -> None:
    interactions, catalogue = _random(spread=50)

    first, second = (
        evaluate(fit_neighbours, interactions, catalogue, protocol, shuffles=2).to_json()
        for _ in range(2)
    )

    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    record = json.loads(json.dumps(first))
    assert set(record) >= {
        *("metrics", "protocol", "users", "skipped", "items", "seeds", "seconds", "tied")
    }
    assert list(record["metrics"]) == list(NAMES)
    for interval in record["metrics"].values():
        assert interval["low"] <= interval["value"] <= interval["high"]


def test_comparison_is_paired() -> None:
    interactions, catalogue = _random()
    counts, neighbours = (
        evaluate(fit, interactions, catalogue, "leave-one-out")
        for fit in (fit_counts, fit_neighbours)
    )

    difference = compare(counts, neighbours)["ndcg@10"]

    gain = neighbours.metrics["ndcg@10"].value - counts.metrics["ndcg@10"].value
    assert difference.value == pytest.approx(gain)
    assert compare(counts, counts)["ndcg@10"] == (0, 0, 0)


def test_results_of_other_users_are_not_compared() -> None:
    first, second = (
        evaluate(fit_counts, *_random(users=users), "leave-one-out") for users in (20, 21)
    )

    with pytest.raises(ValueError, match="same users"):
        compare(first, second)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("histories", [[[0, 1, 2, 3]], [[0, 1], [1, 2]]])
def test_data_without_a_user_to_test_is_refused(histories: list[list[int]], protocol: str) -> None:
    with pytest.raises(DataError, match="tested"):
        evaluate(fit_counts, *_data(histories), protocol)
