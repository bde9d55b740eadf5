"""Interactions: which user took which item, the oldest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from .opinions import Opinions

Numbers = NDArray[np.int32]
"""Numbers of items, which are their positions in the catalogue."""


@dataclass(frozen=True)
class Interactions:
    """The histories of all users, over a catalogue of `item_count` items.

    The number of a user is its position in `users`. `items` [rows] has the numbers of the items,
    and `times` [rows] their times in microseconds since 1970, of user 0 first, the oldest first.
    `offsets` [users + 1] has the first row of each user. A user takes an item at most once.
    `disliked` has the items that a user must not get, by the number of the user. `opinions` has the
    rows from which they follow, unless there are none or the model was read from a folder.
    """

    users: tuple[str, ...]
    offsets: NDArray[np.int64]
    items: Numbers
    times: NDArray[np.int64]
    item_count: int
    disliked: Mapping[int, Numbers] = field(default_factory=dict)
    opinions: Opinions | None = None

    @cached_property
    def user_numbers(self) -> dict[str, int]:
        """The number of each user by its id."""
        return {user: number for number, user in enumerate(self.users)}

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of interactions of each user [users]."""
        return np.diff(self.offsets)

    @property
    def has_tied_end(self) -> NDArray[np.bool_]:
        """Whether the last two interactions of each user have the same time [users]."""
        result = self.lengths > 1
        last = self.offsets[1:][result] - 1
        result[result] = self.times[last] == self.times[last - 1]
        return result

    @property
    def pairs(self) -> NDArray[np.int64]:
        """The user and the item of each interaction in one number, as in `Opinions` [rows]."""
        users = np.repeat(np.arange(len(self.users), dtype=np.int64), self.lengths)
        pairs: NDArray[np.int64] = users * self.item_count + self.items
        return pairs

    def history(self, user: int) -> Numbers:
        """Return the items of a user, the oldest first, as a view."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def disliked_by(self, user: int) -> Numbers:
        """Return the items that a user must not get."""
        return self.disliked.get(user, np.empty(0, np.int32))

    def histories(self, users: Sequence[int] | NDArray[np.integer] | None = None) -> list[Numbers]:
        """Return the items of these users, or of all."""
        numbers = range(len(self.users)) if users is None else users
        return [self.history(int(user)) for user in numbers]

    def matrix(self) -> scipy.sparse.csr_array:
        """Return the interactions as ones [users, items]. Columns are in the order of time."""
        ones = np.ones(len(self.items))
        shape = (len(self.users), self.item_count)
        return scipy.sparse.csr_array((ones, self.items, self.offsets), shape=shape)

    def counts(self) -> NDArray[np.int64]:
        """Return the number of users who took each item [items]."""
        return np.bincount(self.items, minlength=self.item_count)

    def keep(self, rows: NDArray[np.bool_]) -> Interactions:
        """Return the interactions at the rows that are true. Users keep their numbers."""
        kept = np.concatenate([[0], np.cumsum(rows)])[self.offsets]
        return replace(self, offsets=kept, items=self.items[rows], times=self.times[rows])

    def without_last(self, number: int = 1) -> Interactions:
        """Return the interactions without the last `number` of each user."""
        rows = np.arange(len(self.items))
        ends = np.repeat(self.offsets[1:], self.lengths)
        return self.keep(rows < ends - number)

    def with_opinions(self, opinions: Opinions) -> Interactions:
        """Return the interactions with the likes and dislikes of some rows, instead of their own.

        A like that is new is the last one of its time. A disliked item is taken out.
        """
        disliked, likes = opinions.disliked(), opinions.first_likes()
        likes = likes[~np.isin(likes.pairs, self.pairs)]
        rows = ~np.isin(self.pairs, disliked)
        pairs = np.concatenate([self.pairs[rows], likes.pairs])
        times = np.concatenate([self.times[rows], likes.times])
        users, items = np.divmod(pairs, self.item_count)
        order = np.lexsort((times, users))
        counts = np.bincount(users, minlength=len(self.users))
        return replace(
            self,
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            items=items[order].astype(np.int32),
            times=times[order],
            disliked=items_by_user(disliked, self.item_count),
            opinions=opinions,
        )


def items_by_user(pairs: NDArray[np.int64], item_count: int) -> dict[int, Numbers]:
    """Return the items of each user, from sorted pairs."""
    users, items = np.divmod(pairs, item_count)
    distinct, first = np.unique(users, return_index=True)
    parts = np.split(items.astype(np.int32), first[1:]) if len(first) else []
    return dict(zip(distinct.tolist(), parts, strict=True))
