"""Pairs of user and item with a dislike, whose rows decide whether the user likes the item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .times import Times


@dataclass(frozen=True, eq=False)
class Opinions:
    """The positive rows and the dislikes of the pairs with a dislike, of a user the oldest first.

    `pairs` [rows] are numbers of a user times the number of items, plus that of an item. `times`
    are microseconds since 1970. The last row of a pair decides.
    """

    pairs: NDArray[np.int64]
    times: Times
    dislikes: NDArray[np.bool_]

    def __getitem__(self, rows: NDArray[np.bool_]) -> Opinions:
        """Return the rows that are true."""
        return Opinions(self.pairs[rows], self.times[rows], self.dislikes[rows])

    def disliked(self) -> NDArray[np.int64]:
        """Return the sorted pairs whose last row is a dislike."""
        pairs, last = np.unique(self.pairs[::-1], return_index=True)
        disliked: NDArray[np.int64] = pairs[self.dislikes[::-1][last]]
        return disliked

    def first_likes(self) -> Opinions:
        """Return the first positive row of each pair whose last row is positive."""
        likes = self[~self.dislikes & ~np.isin(self.pairs, self.disliked())]
        first = np.zeros(len(likes.pairs), np.bool_)
        first[np.unique(likes.pairs, return_index=True)[1]] = True
        return likes[first]
