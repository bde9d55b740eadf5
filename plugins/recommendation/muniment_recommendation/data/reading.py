"""Reading a folder of data: its catalogue, and the interactions that count as positive."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from muniment_recommendation.errors import DataError

from .catalogue import Catalogue
from .interactions import Interactions, items_by_user
from .opinions import Opinions
from .rows import DISLIKE, IMPRESSION, Flags, Rows
from .tables import Tables, read_tables


@dataclass(frozen=True)
class Data:
    """The data of a model.

    Attributes:
        catalogue: The items of the table of items in its order, then the others sorted by id.
        interactions: The positive interactions, each item of a user once, at its first time.
        files: The names of the files.
        notes: Facts that a user should know, such as the number of repeated rows.
        repeats: Positive rows that repeat an earlier one.
    """

    catalogue: Catalogue
    interactions: Interactions
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    repeats: int = 0

    @cached_property
    def digest(self) -> str:
        """The digest of the items and the interactions.

        It does not depend on the format of the files or on the order of rows with different times.
        """
        digest = hashlib.sha256()
        texts = [[item.id, item.title, item.text, item.tags] for item in self.catalogue.items]
        for part in (self.interactions.users, texts):
            digest.update(json.dumps(part).encode())
        disliked = self.interactions.disliked
        arrays: list[NDArray[np.integer]] = [
            self.interactions.offsets,
            self.interactions.items,
            self.interactions.times,
            *(np.array([user, *disliked[user]]) for user in sorted(disliked)),
        ]
        for array in arrays:
            digest.update(array.astype("<i8").tobytes())
        return f"sha256:{digest.hexdigest()}"


def read_data(path: Path, *, min_rating: float | None = None) -> Data:
    """Return the data of a folder.

    Every row is positive, except those with the action `dislike` or `impression`. With
    `min_rating`, rows with a lower rating or none are not positive either. Raises DataError.
    """
    return data_of(read_tables(path), min_rating=min_rating)


def data_of(tables: Tables, *, min_rating: float | None = None) -> Data:
    """Return the data of tables, as `read_data` does. Raises DataError."""
    rows, catalogue = tables.rows, tables.catalogue
    positive = _positive(rows, min_rating)
    # Ties in time stay in the order of the file.
    order = np.lexsort((rows.times, rows.users.numbers))
    pairs = pairs_of(rows, catalogue)
    opinions = _opinions(rows, positive, pairs, order)
    disliked = np.zeros(0, np.int64) if opinions is None else opinions.disliked()
    if len(disliked):
        positive &= ~np.isin(pairs, disliked)
    kept, repeats = _first_of_pairs(pairs, order[positive[order]])
    if not len(kept):
        raise DataError(_no_positive(tables, min_rating))
    user_count = len(rows.users.distinct)
    counts = np.bincount(rows.users.numbers[kept], minlength=user_count)
    interactions = Interactions(
        users=rows.users.distinct,
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        items=(pairs[kept] % len(catalogue)).astype(np.int32),
        times=rows.times[kept],
        item_count=len(catalogue),
        disliked=items_by_user(disliked, len(catalogue)),
        opinions=opinions,
    )
    notes = (*tables.notes, *_notes(interactions, repeats))
    return Data(catalogue, interactions, tables.files, notes, repeats)


def pairs_of(rows: Rows, catalogue: Catalogue) -> NDArray[np.int64]:
    """Return a number for the user and the item of each row: user times items plus item."""
    places = np.array([catalogue.numbers[item] for item in rows.items.distinct], np.int64)
    users = rows.users.numbers.astype(np.int64)
    pairs: NDArray[np.int64] = users * len(catalogue) + places[rows.items.numbers]
    return pairs


def _positive(rows: Rows, min_rating: float | None) -> Flags:
    """Return which rows count as positive."""
    positive = np.ones(len(rows), np.bool_)
    if rows.actions is not None:
        positive &= ~(rows.actions.are(DISLIKE) | rows.actions.are(IMPRESSION))
    if min_rating is not None:
        if rows.ratings is None:
            raise DataError(
                f"the data has no column rating, which a minimum of {min_rating:g} needs; "
                "remove --min-rating, or add the column"
            )
        positive &= rows.ratings >= min_rating  # false for NaN
    return positive


def _opinions(
    rows: Rows, positive: Flags, pairs: NDArray[np.int64], order: NDArray[np.intp]
) -> Opinions | None:
    """Return the rows of the pairs of user and item with a dislike, or None without one."""
    dislikes = np.zeros(0, np.bool_) if rows.actions is None else rows.actions.are(DISLIKE)
    if not dislikes.any():
        return None
    order = order[((positive | dislikes) & np.isin(pairs, pairs[dislikes]))[order]]
    return Opinions(pairs[order], rows.times[order], dislikes[order])


def _first_of_pairs(
    pairs: NDArray[np.int64], order: NDArray[np.intp]
) -> tuple[NDArray[np.intp], int]:
    """Return the first row of each pair, in the given order, and the number of other rows."""
    _, first = np.unique(pairs[order], return_index=True)
    return order[np.sort(first)], len(order) - len(first)


def _no_positive(tables: Tables, min_rating: float | None) -> str:
    name = tables.files[0] if tables.files else "the data"
    reason = "" if min_rating is None else f" with a rating of {min_rating:g} or more"
    remedy = "add rows" if min_rating is None else "add rows, or use a lower --min-rating"
    return f"{name} has no positive row{reason}; {remedy}"


def _notes(interactions: Interactions, repeats: int) -> list[str]:
    notes = []
    if repeats:
        notes.append(
            f"{repeats:,} row{'s repeat' if repeats > 1 else ' repeats'} a pair of user and item; "
            "only the first is used"
        )
    active = int((interactions.lengths > 0).sum())
    if tied := int(np.count_nonzero(interactions.has_tied_end)):
        notes.append(
            f"{tied:,} of {active:,} users {'has' if tied == 1 else 'have'} a tied last time; "
            "ties are in the order of the file"
        )
    if active == 1:
        notes.append("there is only one user, so nothing can be tested against other users")
    if interactions.item_count == 1:
        notes.append("there is only one item, so there is nothing to rank")
    elif int(interactions.lengths.sum()) == active * interactions.item_count:
        notes.append(
            "every user has all items, so a list for a user of the data needs --no-exclude-seen"
        )
    return notes
