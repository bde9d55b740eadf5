"""The blend: standard scores, explanations, cold items, and the choice of values and weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays

from muniment_recommendation.data.interactions import Interactions
from muniment_recommendation.errors import DataError
from muniment_recommendation.fitting import tuning
from muniment_recommendation.fitting.fit import fit
from muniment_recommendation.fitting.options import FitOptions, options_from_texts
from muniment_recommendation.models.als import Als
from muniment_recommendation.models.blend import Blend, Part, unseen_items
from muniment_recommendation.models.cold import place_cold_items
from muniment_recommendation.models.popularity import Popularity
from muniment_recommendation.models.standard import standard_of
from muniment_recommendation.models.text import Text
from support.recommendation import Links, catalogue_of, interactions_of

SIZE = 40
DATA = interactions_of(SIZE)
CATALOGUE = catalogue_of(SIZE)
MODEL = fit(DATA, CATALOGUE, FitOptions())
ITEMS = np.arange(SIZE, dtype=np.int32)


def test_standard_scores_have_mean_0_and_deviation_1_over_unseen_items() -> None:
    scores = np.random.default_rng(0).random((3, SIZE))
    unseen = unseen_items(DATA.histories([0, 1, 2]), SIZE)
    standard = standard_of(scores, unseen).apply(scores)
    for row, mask in zip(standard, unseen, strict=True):
        assert row[mask].mean() == pytest.approx(0, abs=1e-12)
        assert row[mask].std() == pytest.approx(1)


def test_equal_scores_have_the_standard_score_0() -> None:
    scores = np.full((1, 7), 0.1)
    standard = standard_of(scores, np.ones((1, 7), bool)).apply(scores)
    np.testing.assert_allclose(standard, 0, atol=1e-12)


def test_scores_of_a_batch_are_those_of_queries() -> None:
    histories = [DATA.history(0)[:0], *DATA.histories()]
    for history, row in zip(histories, MODEL.blend.scores(histories), strict=True):
        np.testing.assert_allclose(MODEL.blend.query(history).scores, row, atol=1e-9)


def test_an_explanation_sums_to_the_score() -> None:
    for history in [DATA.history(0)[:0], *DATA.histories()]:
        query = MODEL.blend.query(history)
        parts = query.contributions(ITEMS).sum(axis=0)
        total = parts + query.popularity(ITEMS) + query.offsets(ITEMS)
        np.testing.assert_allclose(total, query.scores, atol=1e-9)


def test_components_sum_to_the_score_of_items_with_interactions() -> None:
    query = MODEL.blend.query(DATA.history(2))
    warm = ITEMS[DATA.counts() > 0]
    total = sum(query.components(warm).values())
    np.testing.assert_allclose(total, query.scores[warm], atol=1e-9)


def test_an_empty_history_is_ranked_by_popularity() -> None:
    scores = MODEL.blend.query(DATA.history(0)[:0]).scores
    counts = DATA.counts()
    assert counts[np.argsort(-scores, kind="stable")].tolist() == sorted(counts, reverse=True)


@given(arrays.arrays(float, (2, 12), elements=st.floats(-5, 5)), st.integers(1, 11))
def test_cold_items_take_the_places_of_their_share(scores: np.ndarray, number: int) -> None:
    cold = np.arange(12) < number
    unseen = np.ones((2, 12), bool)
    unseen[:, 11] = False
    order = np.tile(np.arange(12.0), (2, 1))
    placed = place_cold_items(scores, order, cold, unseen)
    for before, after in zip(scores, placed, strict=True):
        assert after[~cold].tolist() == before[~cold].tolist()
        assert (np.diff(after[cold]) >= -1e-12).all() or number == 11
        if number < 11:
            known = before[~cold & unseen[0]]
            assert (
                known.min() - 1e-9 <= after[cold].min() <= after[cold].max() <= known.max() + 1e-9
            )


def test_an_item_without_interactions_is_ranked_by_its_text() -> None:
    data = Interactions(DATA.users, DATA.offsets, DATA.items, DATA.times, SIZE + 4)
    catalogue = catalogue_of(SIZE + 4)
    text = Text.fit(data, catalogue, {}, 0)
    links = Links.fit(data, catalogue, {}, 0)
    popularity = Popularity.fit(data, catalogue, {}, 0)
    blend = Blend([Part(links, 1.0)], popularity, data.counts() == 0, text)
    history = data.history(1)
    cold = np.flatnonzero(data.counts() == 0)
    placed = blend.query(history).scores
    similar = text.scores([history])[0, cold]
    # Equal scores remain where more items are cold than known ones lie between them.
    assert (np.diff(placed[cold][np.argsort(-similar, kind="stable")]) <= 1e-12).all()


@given(
    arrays.arrays(float, (3, 15), elements=st.floats(-2, 2)),
    arrays.arrays(float, (5, 3), elements=st.sampled_from(tuning.GRID)),
)
def test_ranks_of_the_grid_are_those_of_the_sums(margins: np.ndarray, weights: np.ndarray) -> None:
    weights[:, 0] = tuning.GRID[-1]  # at least one part has the largest weight
    margins = np.round(margins, 3)
    sums = weights @ margins
    if (np.abs(np.abs(sums) - tuning._TOLERANCE) < 1e-9).any():
        return  # rounding decides
    equal = np.abs(sums) <= tuning._TOLERANCE
    expected = (sums > tuning._TOLERANCE).sum(axis=1) + equal.sum(axis=1) / 2
    ranks = tuning._ranks(weights, margins)
    assert ranks.tolist() == expected.tolist() or np.isinf(ranks).all()


def test_a_part_with_equal_scores_gets_no_weight() -> None:
    _, held = tuning.hold_out(DATA, 0)
    popularity = Popularity.fit(DATA, CATALOGUE, {}, 0)
    constant = Links(np.zeros((SIZE, SIZE)))
    assert tuning.choose_weights([popularity, constant], held) == (1.0, 0.0)


def test_the_last_item_is_held_out_of_the_choice() -> None:
    earlier, held = tuning.hold_out(DATA, 0)
    for user, (history, target) in enumerate(zip(held.histories, held.targets, strict=True)):
        assert [*history, target] == DATA.history(user).tolist()
        assert earlier.history(user).tolist() == history.tolist()


def test_many_users_are_drawn_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_USERS", 5)
    targets = [tuning.hold_out(DATA, seed)[1].targets.tolist() for seed in (1, 1, 2)]
    assert len(targets[0]) == 5
    assert targets[0] == targets[1] != targets[2]


def test_the_informative_model_gets_the_weight() -> None:
    _, held = tuning.hold_out(DATA, 0)
    random = Links(np.random.default_rng(5).random((SIZE, SIZE)))
    oracle = np.zeros((SIZE, SIZE))
    for history, target in zip(held.histories, held.targets, strict=True):
        oracle[history[-1], target] += 1
    weights = tuning.choose_weights([random, Links(oracle, decay=0.01)], held)
    assert weights[1] > weights[0]


def test_values_are_those_that_rank_the_held_items_best() -> None:
    _, held = tuning.hold_out(DATA, 0)
    part = MODEL.parts[0].recommender
    chosen = tuning.choose_values(part, held)
    qualities = {
        value: tuning._quality(part.with_values({"half_life": value}), held)
        for value in part.choices["half_life"]
    }
    assert qualities[chosen.values["half_life"]] == max(qualities.values())


def test_equal_data_and_options_give_an_equal_model() -> None:
    again = fit(DATA, CATALOGUE, FitOptions())
    assert again.tuned == MODEL.tuned
    np.testing.assert_array_equal(
        again.blend.scores(DATA.histories()), MODEL.blend.scores(DATA.histories())
    )


def test_the_size_of_the_catalogue_decides_between_ease_and_item_knn() -> None:
    options = FitOptions(options={"ease_items": SIZE - 1})
    assert "ease" in FitOptions().parts(SIZE, has_text=True)
    assert "item-knn" in options.parts(SIZE, has_text=True)
    assert "text" not in options.parts(SIZE, has_text=False)


@pytest.mark.parametrize("arguments", [("ease", None), ("blend", "ease,als")])
def test_explicit_ease_is_refused_for_a_large_catalogue(arguments: tuple) -> None:
    small, large = (
        options_from_texts(*arguments, (f"ease_items={limit}",), 0) for limit in (SIZE - 1, SIZE)
    )
    with pytest.raises(DataError, match="item-knn"):
        fit(DATA, CATALOGUE, small)
    assert "ease" in large.parts(SIZE, has_text=True)


def test_one_user_with_one_item_can_be_fitted() -> None:
    data = Interactions(("u",), np.array([0, 1]), np.array([0], np.int32), np.array([1]), 3)
    model = fit(data, catalogue_of(3), FitOptions())
    assert np.isfinite(model.blend.query(data.history(0)).scores).all()


def test_progress_ends_with_the_whole() -> None:
    shares: list[float] = []
    fit(DATA, CATALOGUE, FitOptions("als"), progress=lambda step, share: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("blend", "ease,ease", ()), "twice"),
        (("als", "ease", ()), "--parts"),
        (("blend", "nothing", ()), "nothing"),
        (("nothing", None, ()), "nothing"),
        (("als", None, ("neighbours=3",)), "neighbours"),
        (("als", None, ("factors",)), "NAME=VALUE"),
        (("als", None, ("factors=0",)), "factors"),
        (("als", None, ("factors=1.5",)), "factors"),
        (("ease", None, ("regularization=nan",)), "regularization"),
        (("als", None, ("factors=-3",)), "factors"),
        (("als", None, ("factors=100000000",)), "at most 10,000"),
        (("magic", None, ()), "blend, popularity"),
        (("blend", "magic", ()), "one of popularity"),
    ],
)
def test_invalid_options_are_refused(arguments: tuple, word: str) -> None:
    with pytest.raises(DataError, match=word):
        options_from_texts(*arguments, 0)


def test_too_little_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        np.empty((2**40, 2**10))

    monkeypatch.setattr(Als, "fit", refuse)
    with pytest.raises(DataError, match="memory"):
        fit(DATA, CATALOGUE, FitOptions("als"))


def test_valid_options_reach_their_family() -> None:
    options = options_from_texts("blend", "als,text", ("factors=8",), 5)
    model = fit(DATA, CATALOGUE, options)
    vectors = {part.name: part.recommender for part in model.parts}["als"].arrays()["vectors"]
    assert vectors.shape == (SIZE, 8)
