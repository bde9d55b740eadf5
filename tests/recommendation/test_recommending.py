"""Tests of ranked lists: order, masks, reasons, diversity, calibration and sampling."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from muniment_recommendation.data.catalogue import Catalogue, CatalogueItem
from muniment_recommendation.data.interactions import Interactions
from muniment_recommendation.data.reading import read_data
from muniment_recommendation.errors import QueryError
from muniment_recommendation.fitting.fit import fit
from muniment_recommendation.fitting.fitted_model import FittedModel
from muniment_recommendation.fitting.options import FitOptions
from muniment_recommendation.lists.list_maker import CANDIDATES, ListMaker
from muniment_recommendation.lists.sampling import gumbel_noise
from muniment_recommendation.models.blend import Blend
from muniment_recommendation.models.text import Text
from muniment_recommendation.ranking.document import TOLERANCE, Ranking, read_ranking, write_ranking
from muniment_recommendation.requests.query import ListOptions, Query
from support import tables
from support.recommendation import Links, small_model

SIZE = 120
MODEL = small_model(SIZE)
LISTS = ListMaker(MODEL)
PARTS = [(part.recommender, part.weight) for part in MODEL.parts]
HISTORY = (3, 17, 40, 88)


def query(
    *history: int, wish: str = "", forbidden: tuple[int, ...] = (), size: int = SIZE
) -> Query:
    mask = np.zeros(size, dtype=bool)
    mask[list(forbidden)] = True
    return Query(np.array(history, dtype=np.int32), wish, mask)


def ranked(
    *history: int,
    wish: str = "",
    forbidden: tuple[int, ...] = (),
    lists: ListMaker = LISTS,
    **options: Any,
) -> Ranking:
    size = len(lists.model.catalogue)
    asked = query(*history, wish=wish, forbidden=forbidden, size=size)
    ranking = lists.ranking(asked, ListOptions(**options))
    assert read_ranking(write_ranking(ranking)) == ranking
    return ranking


def ids(ranking: Ranking) -> list[str]:
    return [item.item for item in ranking.items]


# ---- scores and their order ---------------------------------------------------------------------


def test_the_score_is_the_weighted_sum_of_standardised_parts() -> None:
    unseen = np.setdiff1d(np.arange(SIZE), HISTORY)
    total = np.zeros(SIZE)
    for model, weight in PARTS:
        scores = model.scores([np.array(HISTORY, np.int32)])[0]
        total += weight * (scores - scores[unseen].mean()) / scores[unseen].std()
    expected = sorted(unseen, key=lambda number: (-round(total[number], 6), number))[:60]
    ranking = ranked(*HISTORY)
    assert ids(ranking) == [f"i{number}" for number in expected]
    assert [item.score for item in ranking.items] == pytest.approx(total[expected], abs=1e-6)


def test_standardisation_is_recorded_so_that_components_can_be_computed() -> None:
    ranking = ranked(*HISTORY, wish="sea")
    for model, weight in PARTS:
        numbers = ranking.standardisation[model.family]
        number = MODEL.catalogue.numbers[ranking.items[0].item]
        score = model.scores([np.array(HISTORY, np.int32)])[0][number]
        component = numbers.weight * (score - numbers.mean) / numbers.deviation
        assert ranking.items[0].components[model.family] == pytest.approx(component, abs=1e-6)
        assert numbers.weight == weight
    assert set(ranking.standardisation) == {"links", "text", "prompt"}


def test_equal_scores_are_in_the_order_of_the_catalogue() -> None:
    matrix = np.ones((SIZE, SIZE))
    matrix[:, 50] = 2.0
    model = replace(MODEL, model=Links(matrix))
    ranking = ranked(3, lists=ListMaker(model))
    assert ids(ranking)[:5] == ["i50", "i0", "i1", "i2", "i4"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 1.0, "seed": 9},
        {"diversity": 0.4},
        {"calibrate": "tags"},
        {"diversity": 0.7, "calibrate": "tags", "temperature": 0.5},
    ],
)
def test_a_longer_list_begins_with_the_shorter_one(options: Any) -> None:
    longest = ids(ranked(*HISTORY, k=60, **options))
    for k in (1, 7, 10, 30):
        assert ids(ranked(*HISTORY, k=k, **options)) == longest[: k + CANDIDATES]


def test_a_list_is_as_long_as_wanted_with_candidates_or_as_the_catalogue() -> None:
    assert len(ids(ranked(*HISTORY, k=10))) == 10 + CANDIDATES
    everything = ids(ranked(*HISTORY, k=500))
    assert len(everything) == len(set(everything)) == SIZE - len(HISTORY)


def test_item_number_0_is_an_item_like_others() -> None:
    assert "i0" in ids(ranked(5, k=200))
    assert "i0" not in ids(ranked(0, k=200))


# ---- what may not be recommended ----------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"temperature": 3.0}, {"diversity": 1.0}])
def test_seen_and_forbidden_items_are_never_listed(options: Any) -> None:
    best = ids(ranked(*HISTORY, **options))[:5]
    forbidden = tuple(MODEL.catalogue.numbers[item] for item in best)
    listed = ids(ranked(*HISTORY, forbidden=forbidden, k=500, **options))
    assert not set(listed) & {*best, *(f"i{number}" for number in HISTORY)}
    assert len(listed) == SIZE - len(HISTORY) - len(best)


def test_seen_items_are_listed_on_request_with_the_same_scores() -> None:
    without = {item.item: item.score for item in ranked(*HISTORY, k=500).items}
    everything = {
        item.item: item.score for item in ranked(*HISTORY, k=500, exclude_seen=False).items
    }
    assert len(everything) == SIZE
    assert without == {item: everything[item] for item in without}


def test_forbidding_items_does_not_change_the_scores_of_others() -> None:
    before = {item.item: item.score for item in ranked(*HISTORY, k=500).items}
    after = {
        item.item: item.score
        for item in ranked(*HISTORY, k=500, forbidden=tuple(range(60, 119))).items
    }
    assert after == {item: before[item] for item in after}


def test_items_that_only_dislikes_and_impressions_name_are_never_listed(tmp_path: Path) -> None:
    rows = ["u,tent,1,buy", "u,rope,2,buy", "v,tent,1,buy", "v,lamp,2,buy"]
    rows += ["v,kettle,3,dislike", "u,mug,3,impression"]
    header = "user,item,timestamp,action"
    items = "item,title\nstove,A stove\nblank,\n"
    data = read_data(tables.write_folder(tmp_path, "\n".join([header, *rows]), items))
    model = fit(data.interactions, data.catalogue, FitOptions(options={"factors": 2}))
    seen = data.interactions.history(0)
    every = Query(seen, "", np.zeros(len(data.catalogue), bool))
    ranking = ListMaker(model).ranking(every, ListOptions(k=10))
    assert set(ids(ranking)) == {"lamp", "stove"}


def test_a_history_of_all_items_is_refused_with_the_reason() -> None:
    with pytest.raises(QueryError, match="--no-exclude-seen"):
        ranked(*range(SIZE))
    assert len(ids(ranked(*range(SIZE), exclude_seen=False, k=500))) == SIZE


def test_no_remaining_item_is_refused_with_the_reason() -> None:
    with pytest.raises(QueryError, match="only and exclude"):
        ranked(*HISTORY, forbidden=tuple(range(SIZE)))


def test_a_list_that_is_too_short_has_a_note_with_the_reason() -> None:
    forbidden = tuple(range(50, SIZE))
    (note,) = ranked(0, 1, 50, forbidden=forbidden, k=100).notes
    assert f"48 of its {SIZE} items; 2 are in the history" in note
    assert f"rule out {SIZE - 50}" in note
    assert "the history" not in ranked(0, forbidden=forbidden, k=100, exclude_seen=False).notes[0]
    assert not ranked(0, 1, forbidden=forbidden, k=48).notes


# ---- reasons ------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(
    st.lists(st.integers(0, SIZE - 1), unique=True, max_size=60),
    st.sampled_from(["", "sea", "war love", "unknown"]),
    st.booleans(),
)
def test_contributions_sum_to_the_score(history: list[int], wish: str, exclude: bool) -> None:
    ranking = ranked(*history, wish=wish, exclude_seen=exclude, k=100)
    for item in ranking.items:
        assert abs(math.fsum(part.value for part in item.contributions) - item.score) <= TOLERANCE
        assert abs(math.fsum(item.components.values()) - item.score) <= TOLERANCE
        named = [part.item for part in item.contributions if part.source == "history"]
        assert len(named) == len(set(named)) <= 20
        assert set(named) <= {f"i{number}" for number in history}


def test_a_contribution_is_that_of_the_model_in_units_of_the_score() -> None:
    ranking = ranked(*HISTORY)
    item = ranking.items[0]
    number = MODEL.catalogue.numbers[item.item]
    expected = np.zeros(len(HISTORY))
    for model, weight in PARTS:
        added = model.query(np.array(HISTORY, np.int32)).contributions(np.array([number]))[:, 0]
        expected += weight * added / ranking.standardisation[model.family].deviation
    values = {part.item: part.value for part in item.contributions if part.source == "history"}
    named = {f"i{seen}": value for seen, value in zip(HISTORY, expected, strict=True) if value}
    assert values == pytest.approx(named, abs=1e-6)


def test_a_long_history_has_20_named_items_and_a_rest() -> None:
    ranking = ranked(*range(60))
    sources = [part.source for part in ranking.items[0].contributions]
    assert sources == ["history"] * 20 + ["rest", "offset"]
    values = [part.value for part in ranking.items[0].contributions[:20]]
    assert values == sorted(values, reverse=True)
    assert len(ranking.history) == 60


def test_the_wish_is_a_contribution_of_its_own_with_its_weight() -> None:
    light, heavy = (ranked(*HISTORY, wish="sea", wish_weight=weight) for weight in (0.1, 4))
    (part,) = [part for part in heavy.items[0].contributions if part.source == "prompt"]
    assert part.value > 0
    assert heavy.standardisation["prompt"].weight == pytest.approx(4 * (1 + 0.3))
    tags = [
        sum("sea" in MODEL.catalogue.items[MODEL.catalogue.numbers[item]].tags for item in found)
        for found in (ids(light)[:10], ids(heavy)[:10])
    ]
    assert tags[0] < tags[1]


def test_a_model_that_is_not_additive_is_marked_as_approximate() -> None:
    class Approximate(Links):
        is_additive = False

        def query(self, history: Any) -> Any:
            query = super().query(history)
            return replace(query, contributions=lambda items: 0.5 * query.contributions(items))

    model = replace(MODEL, model=Approximate(PARTS[0][0].matrix))
    ranking = ranked(*HISTORY, lists=ListMaker(model))
    assert ranking.explained == "approximate"
    assert [part.source for part in ranking.items[0].contributions[-2:]] == ["rest", "offset"]


def test_a_counterfactual_is_the_rank_without_the_main_item_of_the_history() -> None:
    ranking = ranked(*HISTORY, counterfactuals=5)
    assert [item.without is not None for item in ranking.items[:6]] == [True] * 5 + [False]
    for rank, item in enumerate(ranking.items[:5], 1):
        without = item.without
        assert without is not None
        assert without.item == item.contributions[0].item
        assert without.was == rank
        dropped = MODEL.catalogue.numbers[without.item]
        remaining = [number for number in HISTORY if number != dropped]
        total = np.zeros(SIZE)
        unseen = np.setdiff1d(np.arange(SIZE), remaining)
        for model, weight in PARTS:
            scores = model.scores([np.array(remaining, np.int32)])[0]
            total += weight * (scores - scores[unseen].mean()) / scores[unseen].std()
        unlisted = np.setdiff1d(unseen, [dropped])
        order = sorted(unlisted, key=lambda number: (-round(total[number], 6), number))
        assert order.index(MODEL.catalogue.numbers[item.item]) + 1 == without.rank
    assert any(item.without.rank > item.without.was for item in ranking.items[:5] if item.without)


def test_the_place_of_an_item_without_interactions_is_a_component() -> None:
    cold = np.arange(SIZE) % 10 == 1
    model = replace(MODEL, model=Blend(MODEL.parts, MODEL.blend.popularity, cold, MODEL.text))
    ranking = ranked(*HISTORY, lists=ListMaker(model), k=500)
    placed = [item for item in ranking.items if int(item.item[1:]) % 10 == 1]
    assert len(placed) == 12
    assert all(item.components["cold"] for item in placed)


# ---- nothing to go by ---------------------------------------------------------------------------


def test_without_a_history_and_a_wish_popular_items_are_listed() -> None:
    ranking = ranked()
    counts = MODEL.interactions.counts()
    order = sorted(range(SIZE), key=lambda number: (-counts[number], number))
    assert ids(ranking) == [f"i{number}" for number in order[:60]]
    assert {part.source for part in ranking.items[0].contributions} == {"popularity", "offset"}
    assert ranking.notes


def test_a_wish_that_matches_nothing_lists_popular_items_and_is_noted() -> None:
    ranking = ranked(wish="nothing of this")
    assert ids(ranking) == ids(ranked())
    assert len(ranking.notes) == 2


def test_a_wish_that_matches_nothing_does_not_change_the_list_of_a_history() -> None:
    ranking = ranked(*HISTORY, wish="nothing of this")
    assert ids(ranking) == ids(ranked(*HISTORY))
    assert len(ranking.notes) == 1


@pytest.mark.parametrize(
    ("wish", "noted"), [("冒險電影", True), ("冒险电影", False), ("大海", False), ("sea", False)]
)
def test_a_wish_in_the_other_chinese_characters_is_noted(wish: str, noted: bool) -> None:
    items = ("冒险电影 sea", "大海的电影", "", *[f"film {n}" for n in range(SIZE - 3)])
    catalogue = Catalogue(tuple(CatalogueItem(f"i{n}", title) for n, title in enumerate(items)))
    model = replace(MODEL, text=Text.fit(MODEL.interactions, catalogue, {}, 0), catalogue=catalogue)
    notes = ranked(*HISTORY, wish=wish, lists=ListMaker(model)).notes
    assert any("traditional" in note for note in notes) == noted


def test_a_wish_needs_texts() -> None:
    nothing = Text.fit(MODEL.interactions, Catalogue((CatalogueItem(""),)), {}, 0)
    model = replace(MODEL, text=nothing)
    with pytest.raises(QueryError, match="prompt"):
        ranked(wish="sea", lists=ListMaker(model))


def test_one_item_and_one_user_are_enough() -> None:
    ranking = ranked(lists=ListMaker(_tiny()), k=3, diversity=0.5)
    assert ids(ranking) == ["only"]


def _tiny() -> FittedModel:
    interactions = Interactions(
        ("u",), np.array([0, 1]), np.array([0], np.int32), np.array([0]), item_count=1
    )
    catalogue = Catalogue((CatalogueItem("only"),))
    text = Text.fit(interactions, catalogue, {}, 0)
    return FittedModel(Links(np.zeros((1, 1))), text, catalogue, interactions, FitOptions())


# ---- diversity, calibration, sampling -----------------------------------------------------------


def distance(ranking: Ranking, k: int = 10) -> float:
    """Return the mean distance of the pairs of the first items by their tags."""
    chosen = [MODEL.catalogue.items[MODEL.catalogue.numbers[id]].tags for id in ids(ranking)[:k]]
    pairs = [(a, b) for i, a in enumerate(chosen) for b in chosen[i + 1 :]]
    cosines = [len({*a} & {*b}) / math.sqrt(len({*a}) * len({*b})) for a, b in pairs]
    return 1 - sum(cosines) / len(pairs)


@settings(max_examples=15)
@given(st.lists(st.integers(0, SIZE - 1), unique=True, min_size=1, max_size=10))
def test_more_weight_of_diversity_never_makes_a_list_less_diverse(history: list[int]) -> None:
    weights = (0.0, 0.1, 0.25, 0.3, 0.5, 0.62, 0.75, 0.9, 1.0)
    distances = [distance(ranked(*history, diversity=weight)) for weight in weights]
    assert all(b >= a - 1e-6 for a, b in pairwise(distances))
    assert distances[-1] > distances[0]


@pytest.mark.parametrize("weight", [0.0, 0.2, 0.5, 1.0])
def test_a_list_out_of_the_order_of_scores_has_a_note_with_the_diversity(weight: float) -> None:
    ranking = ranked(*HISTORY, diversity=weight)
    scores = [item.score for item in ranking.items[:10]]
    noted = any(f"diversity {weight:g}" in note for note in ranking.notes)
    assert noted == (scores != sorted(scores, reverse=True))
    assert noted or weight < 1


def test_no_weight_of_diversity_leaves_the_order() -> None:
    assert ids(ranked(*HISTORY, diversity=0.0)) == ids(ranked(*HISTORY))


def test_calibration_brings_the_tags_of_the_list_nearer_to_those_of_the_history() -> None:
    def shares(numbers: list[int]) -> np.ndarray:
        rows = [MODEL.catalogue.items[number].tags for number in numbers]
        return np.array(
            [sum((tag in row) / len(row) for row in rows) for tag in ("sea", "war", "love")]
        ) / len(rows)

    before, after = [], []
    for start in range(0, SIZE, 10):
        history = [start, (start + 16) % SIZE, (start + 32) % SIZE]  # of one or two tags
        plain, calibrated = (
            [MODEL.catalogue.numbers[id] for id in ids(ranked(*history, calibrate=choice))[:10]]
            for choice in (None, "tags")
        )
        for numbers, distances in ((plain, before), (calibrated, after)):
            distances.append(np.abs(shares(numbers) - shares(history)).sum())
    assert np.mean(after) < 0.6 * np.mean(before)


def test_calibration_without_tags_is_refused() -> None:
    plain = Catalogue(tuple(CatalogueItem(item.id) for item in MODEL.catalogue.items))
    model = replace(MODEL, catalogue=plain)
    with pytest.raises(QueryError, match="tags"):
        ranked(*HISTORY, lists=ListMaker(model), calibrate="tags")


def test_the_seed_samples_a_list_and_changes_nothing_without_a_temperature() -> None:
    assert ids(ranked(*HISTORY, seed=1)) == ids(ranked(*HISTORY, seed=2))
    sampled = [ids(ranked(*HISTORY, seed=seed, temperature=1.0)) for seed in (1, 1, 2)]
    assert sampled[0] == sampled[1] != sampled[2]


def test_a_sampled_item_keeps_its_score() -> None:
    scores = {item.item: item.score for item in ranked(*HISTORY, k=500).items}
    sampled = ranked(*HISTORY, k=500, temperature=2.0, seed=3)
    assert {item.item: item.score for item in sampled.items} == scores


def test_the_first_item_is_sampled_with_the_probabilities_of_the_scores() -> None:
    scores = np.array([1.0, 0.0, 2.0])
    first = [int(np.argmax(scores + gumbel_noise(seed, 3))) for seed in range(4000)]
    shares = np.bincount(first) / 4000
    assert shares == pytest.approx(np.exp(scores) / np.exp(scores).sum(), abs=0.03)


def test_noise_of_fewer_items_is_the_beginning_of_that_of_more() -> None:
    assert (gumbel_noise(2**64 - 1, 5) == gumbel_noise(2**64 - 1, 50)[:5]).all()
