"""A small fitted model of recommendations, whose scores can be computed by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np

from muniment_recommendation.data.catalogue import Catalogue, CatalogueItem
from muniment_recommendation.data.interactions import Interactions, Numbers
from muniment_recommendation.fitting.fitted_model import FittedModel
from muniment_recommendation.fitting.options import FitOptions
from muniment_recommendation.models.base import HistoryScores, Recommender, Scores, Values
from muniment_recommendation.models.blend import Blend, Part
from muniment_recommendation.models.popularity import Popularity
from muniment_recommendation.models.text import Text

TAGS = ("sea", "war", "love", "science")


class Links(Recommender):
    """A matrix [I, I] of random links, whose rows are weighted by the age in the history."""

    family = "links"

    def __init__(self, matrix: Scores, decay: float = 0.9) -> None:
        self.matrix, self.decay = matrix, decay
        self.values: Values = {}

    @classmethod
    def fit(
        cls, data: Interactions, catalogue: Catalogue, options: Mapping[str, Any], seed: int
    ) -> Self:
        random = np.random.default_rng(seed)
        links = random.random((data.item_count, data.item_count)) ** 4
        np.fill_diagonal(links, 0)
        return cls(links)

    def with_values(self, values: Values) -> Self:
        return self

    def scores(self, histories: Sequence[Numbers]) -> Scores:
        return np.array([Links.query(self, history).scores for history in histories])

    def query(self, history: Numbers) -> HistoryScores:
        weights = self.decay ** np.arange(len(history))[::-1]
        rows = weights[:, None] * self.matrix[history]
        return HistoryScores(rows.sum(axis=0), lambda items: rows[:, items])

    def arrays(self) -> dict[str, Any]:
        return {"matrix": self.matrix}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], values: Values) -> Self:
        return cls(arrays["matrix"])


def catalogue_of(size: int) -> Catalogue:
    """Return items `i0`, `i1` … with titles, and one or two tags each."""
    return Catalogue(
        tuple(
            CatalogueItem(
                f"i{number}",
                f"Title {number}",
                f"A text about {TAGS[number % 4]}.",
                tuple({TAGS[number % 4], TAGS[(number // 4) % 4]}),
            )
            for number in range(size)
        )
    )


def interactions_of(size: int, users: int = 30, seed: int = 1) -> Interactions:
    """Return histories of 3 to 8 random items, and an empty one of the user `newcomer`.

    The items with low numbers are more popular.
    """
    random = np.random.default_rng(seed)
    shares = 1 / np.arange(1, size + 1)
    histories = [
        random.choice(size, random.integers(3, 9), replace=False, p=shares / shares.sum())
        for _ in range(users)
    ]
    offsets = np.cumsum([0, *map(len, histories), 0])
    return Interactions(
        users=(*(f"u{number:02}" for number in range(users)), "newcomer"),
        offsets=offsets,
        items=np.concatenate(histories).astype(np.int32),
        times=np.arange(offsets[-1]),
        item_count=size,
        disliked={3: np.array([5, 7], dtype=np.int32)},
    )


def small_model(size: int = 120, seed: int = 0) -> FittedModel:
    """Return a fitted model with the parts `links` and `text`."""
    catalogue, interactions = catalogue_of(size), interactions_of(size)
    text = Text.fit(interactions, catalogue, {}, seed)
    parts = [Part(Links.fit(interactions, catalogue, {}, seed), 1.0), Part(text, 0.3)]
    popularity = Popularity.fit(interactions, catalogue, {}, seed)
    blend = Blend(parts, popularity, np.zeros(size, dtype=bool))
    return FittedModel(blend, text, catalogue, interactions, FitOptions())
