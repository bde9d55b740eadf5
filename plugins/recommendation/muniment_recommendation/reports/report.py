"""Measures of the lists that a model recommends, beside those of popularity.

The lists are made without the last item of each user, which they are to find. So the model is
fitted again, as for `evaluate`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from muniment_recommendation.data.catalogue import Catalogue
from muniment_recommendation.data.interactions import Interactions, Numbers
from muniment_recommendation.data.splits import Split, leave_one_out
from muniment_recommendation.data.statistics import gini
from muniment_recommendation.errors import DataError
from muniment_recommendation.fitting.fit import fit
from muniment_recommendation.fitting.fitted_model import FittedModel
from muniment_recommendation.fitting.options import FitOptions
from muniment_recommendation.lists.list_maker import ListMaker
from muniment_recommendation.lists.similarity import ItemSimilarity, mean_distance, tag_matrix
from muniment_recommendation.lists.user_lists import best_items
from muniment_recommendation.measures.intervals import (
    Interval,
    difference_intervals,
    mean_intervals,
)
from muniment_recommendation.measures.lists import (
    TierExposure,
    coverage,
    exposures,
    js_divergence,
    novelty,
    tag_shares,
    tier_exposures,
)
from muniment_recommendation.measures.stability import dropped_item_overlap
from muniment_recommendation.models.base import Scores
from muniment_recommendation.models.popularity import Popularity
from muniment_recommendation.ranking.overlap import rank_biased_overlap
from muniment_recommendation.requests.query import ListOptions, query_of_user

DEPTH = 10
"""The number of items of a list."""
DIVERSITIES = (0.0, 0.2, 0.5)
POPULARITY = Popularity.family
STEPS = 7
"""The number of steps: three fits, the lists of each diversity, and the measures."""


@dataclass(frozen=True)
class ListMeasures:
    """Measures of the lists of one model.

    Attributes:
        hr: The share of lists with the last item of the user.
        ndcg: The mean of 1 / log2(1 + rank) of that item, and 0 for a list without it.
        coverage: The share of the catalogue that is in a list.
        gini: The inequality of the items' numbers of lists, from 0 to 1.
        novelty: The mean self-information of the items in bits.
        distance: The mean distance of the pairs of a list.
        miscalibration: The mean Jensen-Shannon divergence of the tags of a list from those of the
            history in bits. It is None for a catalogue without tags.
        tiers: The exposure of the items by popularity.
    """

    hr: Interval
    ndcg: Interval
    coverage: float
    gini: float
    novelty: float
    distance: float
    miscalibration: float | None
    tiers: tuple[TierExposure, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields, with intervals and tiers as objects."""
        return asdict(self) | {
            "hr": self.hr._asdict(),
            "ndcg": self.ndcg._asdict(),
            "tiers": [tier._asdict() for tier in self.tiers],
        }


@dataclass(frozen=True)
class DiversityCost:
    """The lists of one weight of diversity: their mean distance and NDCG.

    `change` is the mean paired difference of NDCG from the lists without diversity.
    """

    diversity: float
    distance: float
    ndcg: float
    change: Interval


@dataclass(frozen=True)
class Report:
    """The measures of a model and of popularity.

    `gain` is the paired difference of their NDCG. The stabilities are mean overlaps of two lists:
    with and without a random item of the history, and of models of two seeds.
    """

    users: int
    items: int
    depth: int
    model: ListMeasures
    popularity: ListMeasures
    gain: Interval
    stability_dropped: float
    stability_seeds: float
    diversities: tuple[DiversityCost, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the fields, with measures and intervals as objects."""
        return {
            "users": self.users,
            "items": self.items,
            "depth": self.depth,
            "model": self.model.to_json(),
            POPULARITY: self.popularity.to_json(),
            "gain": self.gain._asdict(),
            "stability": {"dropped_item": self.stability_dropped, "seeds": self.stability_seeds},
            "diversity": [
                asdict(cost) | {"change": cost.change._asdict()} for cost in self.diversities
            ],
        }


def report_of(
    data: Interactions,
    catalogue: Catalogue,
    options: FitOptions,
    *,
    users: int,
    advance: Callable[[int], None] = lambda steps: None,
) -> Report:
    """Return the report of a family for at most this many users, whom the seed selects.

    Raises DataError if no user has enough items. `advance` is called after each of the `STEPS`.
    """
    split = leave_one_out(data)
    if not len(split.users):
        raise DataError("no user of the data has 3 items; a report needs some of them")
    with threadpoolctl.threadpool_limits(1):
        measured = _Measured.of(split, catalogue, options.seed, users)

        def fitted(family: FitOptions) -> ListMaker:
            lists = ListMaker(fit(split.train, catalogue, family))
            advance(1)
            return lists

        lists = fitted(options)
        other_seed = FitOptions(options.family, options.seed + 1, options.options)
        by_diversity = []
        for diversity in DIVERSITIES:
            by_diversity.append(measured.lists(lists, diversity))
            advance(1)
        plain = by_diversity[0]
        popular = measured.lists(fitted(FitOptions(POPULARITY, options.seed)))
        others = measured.lists(fitted(other_seed))
        gains = measured.gains(plain)
        result = Report(
            users=len(measured.users),
            items=len(catalogue),
            depth=DEPTH,
            model=measured.measures(plain),
            popularity=measured.measures(popular),
            gain=_difference(measured.gains(popular), gains),
            stability_dropped=measured.stability(lists.model),
            stability_seeds=_overlap(plain, others),
            diversities=tuple(
                DiversityCost(
                    diversity,
                    measured.distance(made),
                    float(measured.gains(made).mean()),
                    _difference(gains, measured.gains(made)),
                )
                for diversity, made in zip(DIVERSITIES, by_diversity, strict=True)
            ),
        )
        advance(1)
        return result


@dataclass(frozen=True)
class _Measured:
    """The users that are measured, their last items, and the features of the items."""

    train: Interactions
    users: NDArray[np.int64]
    targets: Numbers
    similarity: ItemSimilarity
    tags: Any
    seed: int

    @classmethod
    def of(cls, split: Split, catalogue: Catalogue, seed: int, most: int) -> _Measured:
        chosen = np.arange(len(split.users))
        if len(chosen) > most:
            drawn = np.random.default_rng(seed).choice(len(chosen), most, replace=False)
            chosen = np.sort(drawn)
        targets = np.array([split.targets[place][0] for place in chosen], np.int32)
        similarity = ItemSimilarity.of(catalogue, split.train)
        tags = tag_matrix(catalogue)
        return cls(split.train, split.users[chosen], targets, similarity, tags, seed)

    def lists(self, maker: ListMaker, diversity: float = 0.0) -> list[Numbers]:
        """Return the list of each user, which is empty if nothing can be recommended."""
        options = ListOptions(k=DEPTH, diversity=diversity)
        queries = (query_of_user(self.train, int(user)) for user in self.users)
        return [best_items(maker, query, options)[0] for query in queries]

    def ranks(self, lists: Sequence[Numbers]) -> Scores:
        """Return the rank of each user's last item from 1, and infinity if it is not listed."""
        found = [
            np.flatnonzero(items == item) for items, item in zip(lists, self.targets, strict=True)
        ]
        return np.array([place[0] + 1 if len(place) else np.inf for place in found])

    def gains(self, lists: Sequence[Numbers]) -> Scores:
        """Return the NDCG of each user."""
        return 1 / np.log2(1 + self.ranks(lists))

    def distance(self, lists: Sequence[Numbers]) -> float:
        """Return the mean distance of the pairs of a list."""
        return float(np.mean([mean_distance(self.similarity.among(items)) for items in lists]))

    def stability(self, model: FittedModel) -> float:
        """Return the mean overlap when one item of the history is dropped."""
        histories = self.train.histories(self.users)
        overlaps = dropped_item_overlap(
            model.blend.scores, histories, self.train.item_count, depth=DEPTH, seed=self.seed
        )
        return float(overlaps.mean())

    def measures(self, lists: Sequence[Numbers]) -> ListMeasures:
        """Return the measures of the lists of all users."""
        counts, items = self.train.counts(), self.train.item_count
        hits = np.isfinite(self.ranks(lists)).astype(float)
        hr, ndcg = mean_intervals(np.column_stack([hits, self.gains(lists)]))
        return ListMeasures(
            hr=hr,
            ndcg=ndcg,
            coverage=coverage(lists, items),
            gini=gini(exposures(lists, items)),
            novelty=float(np.mean([novelty(one, counts, len(self.train.users)) for one in lists])),
            distance=self.distance(lists),
            miscalibration=self._miscalibration(lists) if self.tags.nnz else None,
            tiers=tuple(tier_exposures(lists, counts)),
        )

    def _miscalibration(self, lists: Sequence[Numbers]) -> float:
        histories = self.train.histories(self.users)
        return float(
            np.mean(
                [
                    js_divergence(tag_shares(history, self.tags), tag_shares(items, self.tags))
                    for history, items in zip(histories, lists, strict=True)
                ]
            )
        )


def _difference(first: Scores, second: Scores) -> Interval:
    """Return the mean paired difference, the second minus the first."""
    (interval,) = difference_intervals(first[:, None], second[:, None])
    return interval


def _overlap(first: Sequence[Numbers], second: Sequence[Numbers]) -> float:
    return float(
        np.mean(
            [
                rank_biased_overlap(one.tolist(), other.tolist())
                for one, other in zip(first, second, strict=True)
            ]
        )
    )
