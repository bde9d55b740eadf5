"""Divisions of interactions into a part to train on and target items to predict."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muniment_recommendation.errors import DataError

from .interactions import Interactions, Numbers
from .protocols import COLD_ITEM, GLOBAL_TIME, LEAVE_ONE_OUT

MIN_LENGTH = 3
"""Interactions that a tested user has at least. Users with fewer are trained on only."""
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Split:
    """Interactions to train on, and the target items of the tested users.

    `rest` has the interactions that are not trained on. `ends` [users] has the last time that is
    trained on. Later dislikes have no effect on `train`, so an item that a user disliked afterwards
    is still liked there. `users` has the numbers of the tested users and `targets` the items of
    each. `skipped` is the number of other users. `tied` is the number of tested users whose target
    was chosen by the order of rows with equal timestamps. `hidden` has the items without any
    training interaction that the split made, in catalogue order.
    """

    train: Interactions
    rest: Interactions
    ends: NDArray[np.int64]
    users: NDArray[np.int64]
    targets: tuple[Numbers, ...]
    skipped: int
    tied: int = 0
    hidden: Numbers = dataclasses.field(default_factory=lambda: np.zeros(0, np.int32))


def split_of(interactions: Interactions, protocol: str, seed: int = 0) -> Split:
    """Return the split of a protocol, of which only `cold-item` depends on the seed.

    Raises DataError if no user can be tested.
    """
    if protocol == LEAVE_ONE_OUT:
        split = leave_one_out(interactions)
    elif protocol == GLOBAL_TIME:
        split = global_time(interactions)
    elif protocol == COLD_ITEM:
        split = cold_items(interactions, seed)
    else:
        raise ValueError(f"no protocol {protocol!r}")
    if not len(split.users):
        raise DataError(
            f"no user can be tested under the protocol {protocol}; add rows, since a tested user "
            "needs 3, some of them to train on and some of them targets"
        )
    return split


def leave_one_out(interactions: Interactions) -> Split:
    """Return the split whose targets are the last item of each user with 3 or more.

    Items with equal timestamps are in the order of their rows.
    """
    is_tested = interactions.lengths >= MIN_LENGTH
    last = interactions.offsets[1:] - 1
    rows = np.ones(len(interactions.items), bool)
    rows[last[is_tested]] = False
    ends = np.full(len(interactions.users), _NEVER)
    ends[is_tested] = interactions.times[last[is_tested]]
    tied = int(np.count_nonzero(interactions.has_tied_end & is_tested))
    return _split(interactions, rows, is_tested, ends, tied)


def global_time(interactions: Interactions, quantile: float = 0.9) -> Split:
    """Return the split at one moment, the given quantile of all timestamps.

    All later interactions are targets, and none of them is trained on. Users with fewer than 3
    interactions, without an earlier one or without a later one are not tested.
    """
    times = interactions.times
    cut = np.quantile(times, quantile, method="lower") if len(times) else 0
    ends = np.full(len(interactions.users), cut, np.int64)
    return _split(interactions, times <= cut, interactions.lengths >= MIN_LENGTH, ends)


def cold_items(interactions: Interactions, seed: int, share: float = 0.2) -> Split:
    """Return the split that hides a share of the items, which `seed` selects.

    All interactions with the hidden items are targets. Only items with interactions are hidden.
    Users with fewer than 3 interactions, with hidden items only or without one are not tested.
    """
    items = np.flatnonzero(interactions.counts())
    number = round(share * len(items))
    hidden = np.sort(np.random.default_rng(seed).permutation(items)[:number]).astype(np.int32)
    is_hidden = np.zeros(interactions.item_count, bool)
    is_hidden[hidden] = True
    ends = np.full(len(interactions.users), _NEVER)
    split = _split(
        interactions,
        ~is_hidden[interactions.items],
        interactions.lengths >= MIN_LENGTH,
        ends,
    )
    return dataclasses.replace(split, hidden=hidden)


def shuffle_ties(interactions: Interactions, seed: int) -> Interactions:
    """Return the interactions with the rows of equal user and timestamp in a random order."""
    users = np.repeat(np.arange(len(interactions.users)), interactions.lengths)
    keys = np.random.default_rng(seed).random(len(users))
    order = np.lexsort((keys, interactions.times, users))
    return dataclasses.replace(interactions, items=interactions.items[order])


def _split(
    interactions: Interactions,
    rows: NDArray[np.bool_],
    may_be_tested: NDArray[np.bool_],
    ends: NDArray[np.int64],
    tied: int = 0,
) -> Split:
    """Return the split that trains on `rows` until `ends`, and tests users with both parts."""
    train, rest = interactions.keep(rows), interactions.keep(~rows)
    if (opinions := interactions.opinions) is not None:
        is_known = opinions.times <= ends[opinions.pairs // interactions.item_count]
        train = train.with_opinions(opinions[is_known & ~np.isin(opinions.pairs, rest.pairs)])
    users = np.flatnonzero(may_be_tested & (train.lengths > 0) & (rest.lengths > 0))
    targets = tuple(rest.histories(users))
    return Split(train, rest, ends, users, targets, len(interactions.users) - len(users), tied)
