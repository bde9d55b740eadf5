"""Counts that describe data before a model is fitted."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .reading import Data
from .splits import MIN_LENGTH
from .times import iso_time


@dataclass(frozen=True)
class Statistics:
    """The counts of some data.

    Attributes:
        users: Users of the table, also those without a positive row.
        items: Items of the catalogue.
        interactions: Positive rows without repeats.
        repeats: Positive rows that repeat a pair of user and item.
        disliked: Pairs of user and item that were disliked last.
        density: The interactions divided by users times items.
        median_length: The median of the interactions of a user.
        short_users: Users with fewer than 3 interactions, who are not tested.
        tied_users: Users whose last two interactions have the same time.
        cold_items: Items without interactions.
        top_share: The share of the interactions that belongs to the most popular tenth of items.
        gini: The Gini coefficient of the interactions of items, 0 if all are equally popular.
        first: The first time in the form of ISO 8601.
        last: The last time.
        digest: The digest of the data.
    """

    users: int
    items: int
    interactions: int
    repeats: int
    disliked: int
    density: float
    median_length: float
    short_users: int
    tied_users: int
    cold_items: int
    top_share: float
    gini: float
    first: str
    last: str
    digest: str

    def to_json(self) -> dict[str, int | float | str]:
        """Return the counts by name, with fractions rounded to six digits."""
        values = dataclasses.asdict(self)
        return {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in values.items()
        }


def statistics_of(data: Data) -> Statistics:
    """Return the counts of some data."""
    interactions = data.interactions
    users, items = len(interactions.users), len(data.catalogue)
    counts = np.sort(interactions.counts())
    total = len(interactions.items)
    top = max(1, items // 10)
    return Statistics(
        users=users,
        items=items,
        interactions=total,
        repeats=data.repeats,
        disliked=sum(map(len, interactions.disliked.values())),
        density=total / (users * items),
        median_length=float(np.median(interactions.lengths)),
        short_users=int((interactions.lengths < MIN_LENGTH).sum()),
        tied_users=int(np.count_nonzero(interactions.has_tied_end)),
        cold_items=int((counts == 0).sum()),
        top_share=float(counts[-top:].sum() / total),
        gini=gini(counts),
        first=iso_time(int(interactions.times.min())),
        last=iso_time(int(interactions.times.max())),
        digest=data.digest,
    )


def gini(counts: NDArray[np.integer]) -> float:
    """Return the Gini coefficient of counts, such as those of the interactions of items.

    It is 0 when all are equal, and 1 - 1 / n when one of n has everything. Without any count, it
    is 0. Definition: half the mean absolute difference of two counts, divided by their mean.
    """
    total, number = counts.sum(), len(counts)
    if not total:
        return 0.0
    ranks = np.arange(1, number + 1)
    return float((2 * ranks - number - 1) @ np.sort(counts) / (number * total))
