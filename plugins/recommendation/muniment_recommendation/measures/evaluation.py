"""The evaluation of a family: fit it on a part of the data and measure it on the rest.

A model is fitted and tuned on the training part of a split, so no target reaches it. Only the name
of the family and explicit options are used, never values that were tuned on all of the data.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import threadpoolctl
from numpy.typing import NDArray

from muniment_recommendation.data.catalogue import Catalogue
from muniment_recommendation.data.interactions import Interactions, Numbers
from muniment_recommendation.data.protocols import COLD_ITEM
from muniment_recommendation.data.splits import (
    Split,
    shuffle_ties,
    split_of,
)
from muniment_recommendation.errors import DataError
from muniment_recommendation.fitting.fit import fit as fit_model
from muniment_recommendation.fitting.options import FitOptions
from muniment_recommendation.models.base import Scores

from .intervals import Interval, difference_intervals, mean_intervals
from .metrics import NAMES, measure

_Value = TypeVar("_Value")

COLD_SEEDS = 3
"""Number of draws of hidden items, with consecutive seeds."""


class ScoringModel(Protocol):
    """A fitted model that scores all items [histories, items] for some histories."""

    def scores(self, histories: Sequence[Numbers]) -> Scores:
        """Return the scores of all items, seen ones included."""


Fit = Callable[[Interactions, Catalogue], ScoringModel]
"""A function that fits and tunes a model on interactions alone."""


@dataclass(frozen=True)
class ShuffleSummary:
    """Metrics over shuffles of equal timestamps: their means and standard deviations."""

    seeds: tuple[int, ...]
    means: dict[str, float]
    spreads: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return the seeds, and the mean and the spread of each metric."""
        metrics = {
            name: {"mean": mean, "spread": self.spreads[name]} for name, mean in self.means.items()
        }
        return {"seeds": list(self.seeds), "metrics": metrics}


@dataclass(frozen=True)
class ColdResult:
    """Metrics of rankings of the hidden items alone, and the chance values of both rankings.

    `items` is the mean number of hidden items. `random` has the metrics that random orders of the
    hidden items have on average, and `random_overall` those of random orders of all items.
    """

    items: float
    metrics: dict[str, Interval]
    random: dict[str, float]
    random_overall: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        """Return the fields, with intervals as objects."""
        return {
            "items": self.items,
            "metrics": _intervals_json(self.metrics),
            "random": self.random,
            "random_overall": self.random_overall,
        }


@dataclass(frozen=True)
class EvaluationResult:
    """The metrics of a family under a protocol.

    `users` is the number of tested users and `skipped` that of the others. `items` is the size of
    the catalogue. `seeds` are those of the draws of hidden items, else the seed of the protocol.
    `seconds` is the time of fitting, tuning and ranking, without shuffles. `tied` is the number of
    tested users whose target was chosen by the order of rows with equal timestamps. The protocol
    cold-item has `cold`, and its `metrics` rank all items. `values` has the metrics [users, names]
    of the users `tested`.
    """

    protocol: str
    metrics: dict[str, Interval]
    users: int
    skipped: int
    items: int
    seeds: tuple[int, ...]
    seconds: float
    tied: int
    shuffles: ShuffleSummary | None
    cold: ColdResult | None
    tested: tuple[str, ...] = field(repr=False)
    values: NDArray[np.float64] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return the fields without those of single users, with intervals as objects."""
        record: dict[str, Any] = {
            "metrics": _intervals_json(self.metrics),
            "protocol": self.protocol,
            "users": self.users,
            "skipped": self.skipped,
            "items": self.items,
            "seeds": list(self.seeds),
            "seconds": round(self.seconds, 3),
            "tied": self.tied,
        }
        if self.shuffles is not None:
            record["shuffles"] = self.shuffles.to_json()
        if self.cold is not None:
            record["cold"] = self.cold.to_json()
        return record


def fit_function(options: FitOptions) -> Fit:
    """Return the function that fits a family, for `evaluate`.

    Its scores are standardised for every family, as those of recommended lists. Popularity does not
    replace equal scores, and disliked items are ranked, too.
    """
    return lambda train, catalogue: fit_model(train, catalogue, options).blend


def evaluate(
    fit: Fit,
    interactions: Interactions,
    catalogue: Catalogue,
    protocol: str,
    *,
    shuffles: int = 10,
    seed: int = 0,
    advance: Callable[[int], None] = lambda fits: None,
) -> EvaluationResult:
    """Fit a model under a protocol and return its metrics.

    If equal timestamps decide targets, the metrics of `shuffles` random orders of equal timestamps
    are summarised, too. `advance` is called after each fit, of which `count_fits` returns the
    number. Raises DataError for data without a user to test.
    """
    # The sums of a matrix product depend on the number of threads among which they are divided.
    with threadpoolctl.threadpool_limits(1):
        return _evaluate(fit, interactions, catalogue, protocol, shuffles, seed, advance)


def _evaluate(
    fit: Fit,
    interactions: Interactions,
    catalogue: Catalogue,
    protocol: str,
    shuffles: int,
    seed: int,
    advance: Callable[[int], None],
) -> EvaluationResult:
    start = time.perf_counter()
    splits = splits_of(interactions, protocol, seed)
    runs = []
    for split in splits:
        runs.append(_rank(fit, split, catalogue))
        advance(1)
    seconds = time.perf_counter() - start
    tested, values = _mean_by_user(splits, [run.all_items for run in runs])
    shuffle_means = []
    shuffle_seeds = tuple(range(seed, seed + _shuffle_count(splits, shuffles)))
    for shuffle_seed in shuffle_seeds:
        (split,) = splits_of(shuffle_ties(interactions, shuffle_seed), protocol, seed)
        shuffle_means.append(_rank(fit, split, catalogue).all_items.mean(axis=0))
        advance(1)
    return EvaluationResult(
        protocol=protocol,
        metrics=_by_name(mean_intervals(values)),
        users=len(tested),
        skipped=len(interactions.users) - len(tested),
        items=len(catalogue),
        seeds=tuple(range(seed, seed + len(splits))),
        seconds=seconds,
        tied=splits[0].tied,
        shuffles=_summary(shuffle_seeds, shuffle_means) if shuffle_means else None,
        cold=_cold_result(splits, runs) if protocol == COLD_ITEM else None,
        tested=tuple(interactions.users[user] for user in tested),
        values=values,
    )


def splits_of(interactions: Interactions, protocol: str, seed: int) -> list[Split]:
    """Return the splits of a protocol, several only for cold-item.

    Raises DataError if no user can be tested.
    """
    if np.count_nonzero(interactions.lengths) < 2:
        raise DataError("the data has one user, who cannot be tested; add the rows of others")
    draws = COLD_SEEDS if protocol == COLD_ITEM else 1
    return [split_of(interactions, protocol, seed + draw) for draw in range(draws)]


def count_fits(splits: Sequence[Split], shuffles: int) -> int:
    """Return how many models `evaluate` fits for these splits."""
    return len(splits) + _shuffle_count(splits, shuffles)


def compare(first: EvaluationResult, second: EvaluationResult) -> dict[str, Interval]:
    """Return the paired differences of the metrics, the second minus the first.

    Raises ValueError if they have not tested the same users.
    """
    if first.tested != second.tested or first.protocol != second.protocol:
        raise ValueError("the results are not of the same users and protocol")
    return _by_name(difference_intervals(first.values, second.values))


@dataclass(frozen=True)
class _Run:
    """The metrics [users, names] of one fitted model, and of random orders for cold items."""

    all_items: Scores
    hidden: Scores | None = None
    random: Scores | None = None
    random_hidden: Scores | None = None


def _rank(fit: Fit, split: Split, catalogue: Catalogue) -> _Run:
    """Fit a model on the training part of a split and rank items for its tested users."""
    model = fit(split.train, catalogue)
    histories = split.train.histories(split.users)
    items = split.train.item_count

    def ranked(
        scores: Callable[[Sequence[Numbers]], Scores], allowed: NDArray[np.bool_] | None = None
    ) -> Scores:
        return measure(scores, histories, split.targets, items, allowed=allowed)

    if not len(split.hidden):
        return _Run(ranked(model.scores))
    hidden = np.zeros(items, bool)
    hidden[split.hidden] = True

    # Equal scores have the metrics of random orders, without drawing any.
    def equal(histories: Sequence[Numbers]) -> Scores:
        return np.zeros((len(histories), items))

    return _Run(
        ranked(model.scores), ranked(model.scores, hidden), ranked(equal), ranked(equal, hidden)
    )


def _mean_by_user(
    splits: Sequence[Split], values: Sequence[Scores | None]
) -> tuple[NDArray[np.int64], Scores]:
    """Return the users that any split tests, and the mean of each over the splits that do."""
    rows = np.concatenate([split.users for split in splits])
    users, positions = np.unique(rows, return_inverse=True)
    sums = np.zeros((len(users), len(NAMES)))
    np.add.at(sums, positions, np.concatenate([part for part in values if part is not None]))
    return users, sums / np.bincount(positions)[:, None]


def _cold_result(splits: Sequence[Split], runs: Sequence[_Run]) -> ColdResult:
    def means(values: Sequence[Scores | None]) -> Scores:
        return _mean_by_user(splits, values)[1]

    return ColdResult(
        items=float(np.mean([len(split.hidden) for split in splits])),
        metrics=_by_name(mean_intervals(means([run.hidden for run in runs]))),
        random=_by_name(means([run.random_hidden for run in runs]).mean(axis=0).tolist()),
        random_overall=_by_name(means([run.random for run in runs]).mean(axis=0).tolist()),
    )


def _shuffle_count(splits: Sequence[Split], shuffles: int) -> int:
    return shuffles if splits[0].tied else 0


def _summary(seeds: tuple[int, ...], means: Sequence[Scores]) -> ShuffleSummary:
    table = np.array(means)
    return ShuffleSummary(
        seeds, _by_name(table.mean(axis=0).tolist()), _by_name(table.std(axis=0).tolist())
    )


def _by_name(values: Sequence[_Value]) -> dict[str, _Value]:
    return dict(zip(NAMES, values, strict=True))


def _intervals_json(metrics: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    return {name: interval._asdict() for name, interval in metrics.items()}
