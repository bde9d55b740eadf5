"""Reading the tables of a folder as they are written.

Ids stay texts: 007 is not 7, and NA, null and 1e5 are ids.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from muniment_recommendation.errors import DataError

from .catalogue import Catalogue, CatalogueItem
from .items import ITEM_NAMES, ItemReader, unused_columns
from .rows import DISLIKE, IMPRESSION, Rows, Texts, TextsBuilder
from .sources import Source, find_source
from .table_file import TableFile, quoted
from .times import TimeReader, Times, iso_time

USER_NAMES = ("user", "user_id", "userid")
_TIME_NAMES = ("timestamp", "time")
_COMMON_ACTIONS = frozenset(
    ("", DISLIKE, IMPRESSION, *"buy click like play purchase rate rating read view watch".split())
)
_MAX_ID = 1000
_EXCEL = (25_000 * 10**6, 75_000 * 10**6)
"""Microseconds for which the numbers of days of Excel are taken, from 1968 to 2105."""


@dataclass(frozen=True)
class Tables:
    """The rows and the described items of a folder, before some rows count as positive.

    Attributes:
        rows: The interactions in the order of the file.
        items: The items of the table of items, in its order.
        files: The names of the files.
        notes: Facts that a user should know, such as columns that are not used.
    """

    rows: Rows
    items: tuple[CatalogueItem, ...] = ()
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def catalogue(self) -> Catalogue:
        """The described items, then the other ones sorted by id."""
        described = {item.id for item in self.items}
        others = [item for item in self.rows.items.distinct if item not in described]
        return Catalogue((*self.items, *map(CatalogueItem, others)))

    def with_rows(self, rows: Rows) -> Tables:
        """Return the same items with other rows."""
        return replace(self, rows=rows)


def read_tables(path: Path) -> Tables:
    """Return the tables of a folder, or those with a table of interactions. Raises DataError."""
    source = find_source(path)
    reader = _RowReader(TableFile.open(source.interactions, is_atomic=source.is_atomic))
    rows = reader.read()
    items, notes = _read_items(source, rows)
    return Tables(rows, items, source.files, (*reader.notes, *notes))


def _read_items(source: Source, rows: Rows) -> tuple[tuple[CatalogueItem, ...], list[str]]:
    """Return the described items, and notes about them."""
    if source.items is None:
        return (), []
    reader = ItemReader(TableFile.open(source.items, is_atomic=source.is_atomic))
    items = reader.read()
    described = {item.id for item in items}
    missing = [item for item in rows.items.distinct if item not in described]
    if not missing:
        return items, reader.notes
    count = f"{len(missing):,} of {len(rows.items.distinct):,} items"
    note = f"{source.items} does not describe {count} of the rows, such as {quoted(missing[0])}"
    return items, [*reader.notes, note]


class _RowReader:
    """The reader of one table of interactions."""

    def __init__(self, table: TableFile) -> None:
        self.notes: list[str] = []
        self._table = table
        self._user = table.required(USER_NAMES, "the ids of the users")
        self._item = table.required(ITEM_NAMES, "the ids of the items")
        self._time = table.required(_TIME_NAMES, "the times that order the items of a user")
        self._rating = table.number_of(("rating",))
        self._action = table.number_of(("action",))
        used = (self._user, self._item, self._time, self._rating, self._action)
        if unused := [column for n, column in enumerate(table.columns) if n not in used]:
            self.notes.append(f"{table.path}: {unused_columns(unused)}")

    def read(self) -> Rows:
        """Return all rows, and fill `notes`."""
        users, items, actions = TextsBuilder(), TextsBuilder(), TextsBuilder()
        clock = TimeReader(self._table, self._time)
        times: list[Times] = []
        ratings: list[NDArray[np.float64]] = []
        count = 0
        for columns in self._table.chunks():
            users.add(columns[self._user])
            items.add(columns[self._item])
            times.append(clock.read(columns[self._time], count))
            if self._rating is not None:
                ratings.append(self._ratings(columns[self._rating], self._rating))
            if self._action is not None:
                actions.add([text.strip().casefold() for text in columns[self._action]])
            count += len(columns[0])
        if not count:
            raise DataError(
                f"{self._table.path} has no rows; write one line for each item that a user took"
            )
        rows = Rows(
            users.finish(),
            items.finish(),
            np.concatenate(times),
            np.concatenate(ratings) if ratings else None,
            None if self._action is None else actions.finish(),
        )
        self._check_ids("user", self._user, rows.users)
        self._check_ids("item", self._item, rows.items)
        self._note_facts(rows)
        return rows

    def _ratings(self, texts: Sequence[str], column: int) -> NDArray[np.float64]:
        """Return ratings, which are NaN for a blank and for what is not finite."""
        try:
            ratings = np.array(list(map(float, texts)))
        except ValueError:
            ratings = np.array([self._rating_of(text, column) for text in texts])
        ratings[~np.isfinite(ratings)] = np.nan
        return ratings

    def _rating_of(self, text: str, column: int) -> float:
        number = _rating(text)
        if number is None:
            raise self._table.column_error(
                column,
                lambda text: _rating(text) is None,
                f"the rating {quoted(text)} is not a number",
                "write a number or nothing",
            )
        return number

    def _check_ids(self, kind: str, column: int, ids: Texts) -> None:
        """Raise DataError for an id that is blank or too long."""
        for text in ids.distinct:
            if not text.strip():
                raise self._table.column_error(
                    column, lambda id: not id.strip(), f"the {kind} has no id", "write one"
                )
            if len(text) > _MAX_ID:
                raise self._table.column_error(
                    column,
                    lambda id: len(id) > _MAX_ID,
                    f"the id of the {kind} has more than {_MAX_ID:,} characters",
                    "write a shorter one",
                )
        if pair := _lookalikes(ids.distinct):
            one, other = map(quoted, pair)
            self.notes.append(
                f"{self._table.path}: the {kind}s {one} and {other} are different, "
                "because ids are used as written"
            )

    def _note_facts(self, rows: Rows) -> None:
        future = np.flatnonzero(rows.times > time.time_ns() // 1000 + 86_400_000_000)
        if len(future):
            self._note(
                future, f"the time is in the future ({iso_time(int(rows.times[future[0]]))})"
            )
        used = rows.times[rows.times != 0]
        if len(used) and _EXCEL[0] <= used.min() <= used.max() < _EXCEL[1]:
            self.notes.append(
                f"{self._table.path}: all times are in the first day of 1970; if they are numbers "
                "of days from Excel, save the dates as texts such as 2026-01-31"
            )
        if rows.ratings is not None:
            missing = np.flatnonzero(np.isnan(rows.ratings))
            if len(missing):
                self._note(
                    missing,
                    "the rating is missing or not a number, so the row counts as positive "
                    "unless a minimum is used",
                )
        if rows.actions is not None:
            other = [quoted(a) for a in rows.actions.distinct if a not in _COMMON_ACTIONS]
            if other:
                names = ", ".join(other[:10])
                self.notes.append(
                    f"{self._table.path}: the actions {names} count as positive; "
                    f"only {DISLIKE} and {IMPRESSION} do not"
                )

    def _note(self, records: NDArray[np.intp], text: str) -> None:
        self.notes.append(f"{self._table.path}, {self._table.places(records.tolist())}: {text}")


def _rating(text: str) -> float | None:
    """Return a rating, which is NaN for a blank, or None for a text that is not a number."""
    try:
        return float(text) if text.strip() else np.nan
    except ValueError:
        return None


def _lookalikes(ids: Sequence[str]) -> tuple[str, str] | None:
    """Return two ids that another program could read as one, such as 7 and 007."""
    first: dict[str, str] = {}
    for text in ids:
        key = text.strip().removesuffix(".0").lstrip("0").casefold()
        if first.setdefault(key, text) != text:
            return first[key], text
    return None
