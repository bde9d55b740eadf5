"""The families of models: known answers, exact contributions, and saved arrays."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from muniment_recommendation.data.interactions import Interactions
from muniment_recommendation.errors import DataError
from muniment_recommendation.models.als import Als
from muniment_recommendation.models.base import Recommender
from muniment_recommendation.models.ease import Ease
from muniment_recommendation.models.families import FAMILIES, family_class
from muniment_recommendation.models.item_knn import ItemKnn
from muniment_recommendation.models.item_matrix import largest
from muniment_recommendation.models.popularity import Popularity
from muniment_recommendation.models.recency import recency, weighted_rows
from muniment_recommendation.models.transitions import Transitions
from support.recommendation import catalogue_of, interactions_of

SIZE = 40
DATA = interactions_of(SIZE)
ADDITIVE = sorted(set(FAMILIES) - {"next"})


def fitted(name: str) -> Recommender:
    return family_class(name).fit(DATA, catalogue_of(SIZE), {}, 3)


def one_user(*items: int) -> Interactions:
    return Interactions(
        ("u",),
        np.array([0, len(items)]),
        np.array(items, np.int32),
        np.arange(len(items)),
        max(items) + 1,
    )


@pytest.mark.parametrize("name", ADDITIVE)
def test_contributions_and_baseline_sum_to_the_score(name: str) -> None:
    model = fitted(name)
    items = np.arange(SIZE, dtype=np.int32)
    for history in DATA.histories()[:5]:
        query = model.query(history)
        parts = query.contributions(items)
        assert parts.shape == (len(history), SIZE)
        total = model.baseline(items) + parts.sum(axis=0)
        np.testing.assert_allclose(total, query.scores, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ADDITIVE)
def test_saved_arrays_give_the_same_scores(name: str) -> None:
    model = fitted(name)
    again = type(model).from_arrays(model.arrays(), model.values)
    np.testing.assert_array_equal(again.scores(DATA.histories()), model.scores(DATA.histories()))


@pytest.mark.parametrize("name", ADDITIVE)
def test_fitting_again_gives_the_same_arrays(name: str) -> None:
    first, second = fitted(name).arrays(), fitted(name).arrays()
    assert list(first) == list(second)
    for array, other in zip(first.values(), second.values(), strict=True):
        np.testing.assert_array_equal(array, other)


@pytest.mark.parametrize("name", ADDITIVE)
def test_an_empty_history_scores_the_baseline(name: str) -> None:
    model = fitted(name)
    items = np.arange(SIZE, dtype=np.int32)
    scores = model.scores([DATA.history(0)[:0]])
    np.testing.assert_array_equal(scores[0], model.baseline(items))


@pytest.mark.parametrize("name", ADDITIVE)
def test_a_history_scores_the_same_beside_others(name: str) -> None:
    model = fitted(name)
    for history, together in zip(DATA.histories(), model.scores(DATA.histories()), strict=True):
        for alone in (model.scores([history])[0], model.query(history).scores):
            np.testing.assert_allclose(together, alone, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ADDITIVE)
def test_missing_arrays_are_a_value_error(name: str) -> None:
    model = fitted(name)
    with pytest.raises(ValueError, match=r"missing|shape"):
        type(model).from_arrays({}, model.values)


@pytest.mark.parametrize("name", ["ease", "item-knn", "transitions", "als", "text"])
def test_other_values_change_the_scores_without_a_fit(name: str) -> None:
    model = fitted(name)
    choices = model.choices["half_life"]
    scores = [model.with_values({"half_life": v}).scores(DATA.histories()) for v in choices[:2]]
    assert not np.allclose(scores[0], scores[1])


def test_ease_is_the_closed_form_of_the_paper() -> None:
    dense = DATA.matrix().toarray()
    inverse = np.linalg.inv(dense.T @ dense + 400 * np.eye(SIZE))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(fitted("ease").arrays()["matrix"], expected, atol=1e-6)


def test_ease_takes_the_regularization_as_an_option() -> None:
    strong = Ease.fit(DATA, catalogue_of(SIZE), {"regularization": 1e6}, 0)
    assert np.abs(strong.arrays()["matrix"]).max() < 1e-4


def test_item_knn_is_the_cosine_of_users() -> None:
    dense = DATA.matrix().toarray()
    norms = np.maximum(np.linalg.norm(dense, axis=0), 1e-12)
    expected = dense.T @ dense / np.outer(norms, norms)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(fitted("item-knn").matrix.toarray(), expected, atol=1e-6)


def test_item_knn_keeps_the_nearest_neighbours() -> None:
    model = ItemKnn.fit(DATA, catalogue_of(SIZE), {"neighbours": 3}, 0)
    every = fitted("item-knn").matrix.toarray()
    for item, row in enumerate(model.matrix.toarray()):
        nearest = np.sort(every[item])[-3:]
        assert sorted(row[row > 0]) == pytest.approx(nearest[nearest > 0].tolist(), abs=1e-6)


def test_transitions_count_the_next_items_with_decay() -> None:
    model = Transitions.fit(one_user(0, 1, 2), catalogue_of(3), {}, 0)
    rows = model.matrix.toarray()
    total = 1 + 0.8
    assert rows[0].tolist() == pytest.approx([0, total**-0.7, 0.8 * total**-0.7], abs=1e-6)
    assert rows[1].tolist() == pytest.approx([0, 0, 1])
    assert not rows[2].any()


def test_transitions_do_not_cross_users() -> None:
    data = Interactions(
        ("a", "b"), np.array([0, 1, 2]), np.array([0, 1], np.int32), np.array([1, 2]), 2
    )
    assert Transitions.fit(data, catalogue_of(2), {}, 0).matrix.nnz == 0


def test_als_with_full_confidence_is_the_library_fold_in() -> None:
    from implicit.cpu.als import AlternatingLeastSquares

    library = AlternatingLeastSquares(
        factors=16, regularization=10.0, alpha=5.0, iterations=15, random_state=3, num_threads=1
    )
    users = scipy.sparse.csr_matrix(DATA.matrix().astype(np.float32))
    library.fit(users, show_progress=False)
    # The library solves the equation in three steps of conjugate gradients, and here exactly.
    expected = library.recalculate_user(np.arange(len(DATA.users)), users)
    model = Als.fit(DATA, catalogue_of(SIZE), {"factors": 16}, 3).with_values(
        {"half_life": 1e6, "confidence": 5.0}
    )
    np.testing.assert_allclose(
        model.scores(DATA.histories()), expected @ library.item_factors.T, atol=0.02
    )


def test_als_gives_nothing_to_items_without_interactions() -> None:
    data = Interactions(DATA.users, DATA.offsets, DATA.items, DATA.times, SIZE + 5)
    assert not Als.fit(data, catalogue_of(SIZE + 5), {}, 0).vectors[SIZE:].any()


def test_popularity_counts_users() -> None:
    counts = np.bincount(DATA.items, minlength=SIZE)
    model = Popularity.fit(DATA, catalogue_of(SIZE), {}, 0)
    np.testing.assert_allclose(model.scores([DATA.history(0)])[0], np.log1p(counts))


def test_recency_halves_after_the_half_life() -> None:
    assert recency(3, {"half_life": 1, "floor": 0}).tolist() == [0.25, 0.5, 1]
    assert recency(2, {"half_life": 1, "floor": 0.5}).tolist() == [0.75, 1]
    assert recency(0, {"half_life": 1, "floor": 0}).tolist() == []


def test_weighted_rows_of_no_history_are_empty() -> None:
    values = {"half_life": 1, "floor": 0}
    assert weighted_rows([], 5, values).shape == (0, 5)
    rows = weighted_rows([np.empty(0, np.int32), np.array([4, 2], np.int32)], 5, values)
    assert rows.toarray().tolist() == [[0] * 5, [0, 0, 1, 0, 0.5]]


def test_the_largest_values_keep_the_order_of_columns() -> None:
    matrix = scipy.sparse.csr_array(np.array([[2.0, 3, 2, 2], [0, 0, 0, 1]]))
    assert largest(matrix, 2).toarray().tolist() == [[2, 3, 0, 0], [0, 0, 0, 1]]


def test_an_unknown_family_is_refused_with_the_nearest() -> None:
    with pytest.raises(DataError, match="popularity"):
        family_class("popularty")
