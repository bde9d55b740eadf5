"""Tests of reordering: laws of diversity on random data, and calibration to a history."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse

from muniment_recommendation.data.catalogue import Catalogue, CatalogueItem
from muniment_recommendation.data.interactions import Interactions
from muniment_recommendation.lists.reranking import DEPTH, TagShares, reorder
from muniment_recommendation.lists.similarity import ItemSimilarity, mean_distance, tag_matrix
from muniment_recommendation.measures.lists import kl_divergence

WEIGHTS = np.linspace(0, 1, 14)


def pool(seed: int, size: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Return random scores in descending order, and the similarities of random tags."""
    random = np.random.default_rng(seed)
    scores = np.sort(random.normal(size=size))[::-1]
    tags = (random.random((size, 8)) < 0.25).astype(float)
    lengths = np.maximum(np.linalg.norm(tags, axis=1), 1e-9)
    return scores, np.round((tags @ tags.T) / np.outer(lengths, lengths), 6)


@pytest.mark.parametrize("seed", range(12))
def test_distance_never_falls_and_relevance_never_rises_with_the_weight(seed: int) -> None:
    scores, similarities = pool(seed)
    lists = [reorder(scores, 60, diversity=w, similarities=similarities) for w in WEIGHTS]
    distances = [
        mean_distance(similarities[np.ix_(order[:DEPTH], order[:DEPTH])]) for order in lists
    ]
    relevance = [scores[order[:DEPTH]].mean() for order in lists]
    assert all(after >= before - 1e-6 for before, after in pairwise(distances))
    assert all(after <= before + 1e-4 for before, after in pairwise(relevance))
    assert distances[-1] > distances[0]
    assert lists[0].tolist() == list(range(60))


@pytest.mark.parametrize("weight", [0.2, 0.8])
def test_a_longer_order_begins_with_the_shorter_one(weight: float) -> None:
    scores, similarities = pool(3)
    longest = reorder(scores, 120, diversity=weight, similarities=similarities)
    assert sorted(longest) == list(range(120))
    for count in (1, 5, 60):
        order = reorder(scores, count, diversity=weight, similarities=similarities)
        assert order.tolist() == longest[:count].tolist()


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_small_pool_is_reordered(size: int) -> None:
    scores, similarities = pool(0, size)
    order = reorder(scores, size, diversity=0.5, similarities=similarities)
    assert sorted(order) == list(range(size))


def test_equal_scores_and_similarities_keep_their_order() -> None:
    order = reorder(np.ones(20), 20, diversity=0.6, similarities=np.ones((20, 20)))
    assert order.tolist() == list(range(20))


def test_calibration_gives_the_list_the_shares_of_the_history() -> None:
    scores = np.linspace(1, 0.9, 100)
    items = np.zeros((100, 2))
    items[:50, 0] = items[50:, 1] = 1  # the best half has the first tag
    tags = TagShares(np.array([0.7, 0.3]), scipy.sparse.csr_array(items))
    order = reorder(scores, 20, diversity=0.0, tags=tags)
    assert items[order[:10]].mean(axis=0) == pytest.approx([0.7, 0.3], abs=0.11)
    assert items[reorder(scores, 20, diversity=0.0)[:10]].mean(axis=0).tolist() == [1, 0]


def test_the_improvement_is_the_decrease_of_the_divergence() -> None:
    random = np.random.default_rng(5)
    items = random.random((30, 12)) * (random.random((30, 12)) < 0.3)
    history = random.random(12) * (random.random(12) < 0.7)
    history /= history.sum()
    sums = items[:4].sum(axis=0)

    def divergence(sums: np.ndarray) -> float:
        smoothed = 0.99 * sums / 5 + 0.01 * history
        return kl_divergence(history, smoothed) * np.log(2)  # from bits

    expected = [divergence(sums) - divergence(sums + item) for item in items]
    tags = TagShares(history, scipy.sparse.csr_array(items))
    improvements = tags.improvements(sums[None, history > 0], 5)
    assert improvements[0] == pytest.approx(expected, abs=1e-12)


def test_calibration_of_a_pool_without_tags_of_the_history_keeps_its_order() -> None:
    tags = TagShares(np.array([1.0, 0.0]), scipy.sparse.csr_array(np.array([[0.0, 1.0]] * 5)))
    assert reorder(np.arange(5.0, 0, -1), 5, diversity=0.0, tags=tags).tolist() == list(range(5))


def test_calibration_with_diversity_is_fast_for_a_thousand_tags() -> None:
    scores, similarities = pool(2, 250)
    random = np.random.default_rng(2)
    items = scipy.sparse.random_array((250, 1000), density=0.01, format="csr", rng=random)
    tags = TagShares(np.full(1000, 0.001), items)
    start = time.perf_counter()
    order = reorder(scores, 60, diversity=0.5, similarities=similarities, tags=tags)
    assert time.perf_counter() - start < 3  # with a dense array of all tags it is over 20 s
    assert len(set(order.tolist())) == 60


CATALOGUE = Catalogue(
    (
        CatalogueItem("a", tags=("x",)),
        CatalogueItem("b", tags=("x", "y")),
        CatalogueItem("c"),
        CatalogueItem("d", tags=("y", "x", "y")),
    )
)
INTERACTIONS = Interactions(
    ("u", "v"),
    np.array([0, 2, 4]),
    np.array([0, 2, 0, 3], np.int32),
    np.arange(4),
    item_count=4,
)


def test_items_are_similar_by_their_tags() -> None:
    similarities = ItemSimilarity.of(CATALOGUE, INTERACTIONS).among(np.arange(4, dtype=np.int32))
    half = round(2**-0.5, 6)
    expected = [[1, half, 0, half], [half, 1, 0, 1], [0, 0, 0, 0], [half, 1, 0, 1]]
    assert similarities == pytest.approx(np.array(expected), abs=1e-6)


def test_items_without_tags_are_similar_by_their_users() -> None:
    plain = Catalogue(tuple(CatalogueItem(item.id) for item in CATALOGUE.items))
    assert not tag_matrix(plain).nnz
    similarities = ItemSimilarity.of(plain, INTERACTIONS).among(np.array([0, 2, 3], np.int32))
    half = round(2**-0.5, 6)
    expected = [[1, half, half], [half, 1, 0], [half, 0, 1]]
    assert similarities == pytest.approx(np.array(expected), abs=1e-6)
