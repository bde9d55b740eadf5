"""Rows of interactions as they were read, before some count as positive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .interactions import Numbers
from .times import Times

Flags = NDArray[np.bool_]

DISLIKE = "dislike"
"""The action of a user who must not get the item."""
IMPRESSION = "impression"
"""The action of a user who only saw the item, which counts as nothing."""


@dataclass(frozen=True, eq=False)
class Texts:
    """The texts of a column: the distinct ones, sorted, and the number of each row's."""

    distinct: tuple[str, ...]
    numbers: Numbers

    def __getitem__(self, rows: Any) -> Texts:
        """Return the texts of some rows, without those that no longer occur."""
        used, numbers = np.unique(self.numbers[rows], return_inverse=True)
        return Texts(tuple(self.distinct[number] for number in used), numbers.astype(np.int32))

    def are(self, text: str) -> Flags:
        """Return which rows have a text."""
        if text not in self.distinct:
            return np.zeros(len(self.numbers), np.bool_)
        flags: Flags = self.numbers == self.distinct.index(text)
        return flags

    def texts(self) -> list[str]:
        """Return the text of each row."""
        return [self.distinct[number] for number in self.numbers.tolist()]


class TextsBuilder:
    """The texts of a column while it is read in chunks."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._chunks: list[Numbers] = []

    def add(self, texts: Sequence[str]) -> None:
        """Add the texts of the next rows."""
        numbers = self._numbers
        chunk = [numbers.setdefault(text, len(numbers)) for text in texts]
        self._chunks.append(np.array(chunk, np.int32))

    def finish(self) -> Texts:
        """Return the texts of all rows."""
        distinct = sorted(self._numbers)
        places = np.empty(len(distinct), np.int32)
        for place, text in enumerate(distinct):
            places[self._numbers[text]] = place
        chunks = self._chunks or [np.zeros(0, np.int32)]
        return Texts(tuple(distinct), places[np.concatenate(chunks)])


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a table of interactions, in the order of the file.

    `times` are microseconds since 1970. `ratings` are NaN in rows without one. Both `ratings` and
    `actions` are None for a table without the column. Actions are in lower case.
    """

    users: Texts
    items: Texts
    times: Times
    ratings: NDArray[np.float64] | None = None
    actions: Texts | None = None

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, rows: Any) -> Rows:
        """Return some rows, by a slice, by flags or by numbers."""
        return Rows(
            self.users[rows],
            self.items[rows],
            self.times[rows],
            None if self.ratings is None else self.ratings[rows],
            None if self.actions is None else self.actions[rows],
        )

    def without_user(self, user: str) -> Rows:
        """Return the rows of all other users."""
        return self[~self.users.are(user)]

    def followed_by(self, later: Rows) -> Rows:
        """Return these rows and then other ones, as if they were in one table.

        A row has no rating and a blank action if its table has no such column.
        """
        ratings = actions = None
        if self.ratings is not None or later.ratings is not None:
            ratings = np.concatenate([_ratings(self), _ratings(later)])
        if self.actions is not None or later.actions is not None:
            actions = joined(_actions(self), _actions(later))
        return Rows(
            joined(self.users, later.users),
            joined(self.items, later.items),
            np.concatenate([self.times, later.times]),
            ratings,
            actions,
        )


def joined(first: Texts, second: Texts) -> Texts:
    """Return the texts of both, one after the other."""
    distinct = sorted({*first.distinct, *second.distinct})
    places = {text: place for place, text in enumerate(distinct)}
    numbers = [
        np.array([places[text] for text in texts.distinct], np.int32)[texts.numbers]
        for texts in (first, second)
    ]
    return Texts(tuple(distinct), np.concatenate(numbers))


def _ratings(rows: Rows) -> NDArray[np.float64]:
    return np.full(len(rows), np.nan) if rows.ratings is None else rows.ratings


def _actions(rows: Rows) -> Texts:
    return Texts(("",), np.zeros(len(rows), np.int32)) if rows.actions is None else rows.actions
