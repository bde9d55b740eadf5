"""Interactions: which user took which item, the oldest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

Numbers = NDArray[np.int32]
"""Numbers of items, which are their positions in the catalogue."""


@dataclass(frozen=True)
class Interactions:
    """The histories of all users, over a catalogue of `item_count` items.

    The number of a user is its position in `users`. `items` [rows] has the numbers of the items,
    and `times` [rows] their times in microseconds since 1970, of user 0 first, the oldest first.
    `offsets` [users + 1] has the first row of each user. A user takes an item at most once.
    `disliked` has the items that a user must not get, by the number of the user.
    """

    users: tuple[str, ...]
    offsets: NDArray[np.int64]
    items: Numbers
    times: NDArray[np.int64]
    item_count: int
    disliked: Mapping[int, Numbers] = field(default_factory=dict)

    @cached_property
    def user_numbers(self) -> dict[str, int]:
        """The number of each user by its id."""
        return {user: number for number, user in enumerate(self.users)}

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of interactions of each user [users]."""
        return np.diff(self.offsets)

    def history(self, user: int) -> Numbers:
        """Return the items of a user, the oldest first, as a view."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

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
        return Interactions(
            self.users, kept, self.items[rows], self.times[rows], self.item_count, self.disliked
        )

    def without_last(self, number: int = 1) -> Interactions:
        """Return the interactions without the last `number` of each user."""
        rows = np.arange(len(self.items))
        ends = np.repeat(self.offsets[1:], self.lengths)
        return self.keep(rows < ends - number)
