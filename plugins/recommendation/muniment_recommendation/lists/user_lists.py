"""The lists of all users of a model, and their rows in JSON Lines and CSV."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

import muniment
from muniment_recommendation.data.interactions import Numbers
from muniment_recommendation.errors import QueryError
from muniment_recommendation.models.base import Scores
from muniment_recommendation.ranking.csv_rows import csv_rows
from muniment_recommendation.requests.query import (
    ListOptions,
    Query,
    default_diversity,
    query_of_user,
)

from .list_maker import ListMaker

_CSV_HEADER = ("user", "rank", "item", "title", "score")


class ListedItem(NamedTuple):
    """An item of a list."""

    item: str
    title: str
    score: float


@dataclass(frozen=True, slots=True)
class UserList:
    """The items for one user, the best first. It is empty if nothing can be recommended."""

    user: str
    items: tuple[ListedItem, ...]


def user_lists(lists: ListMaker, k: int) -> Iterator[UserList]:
    """Yield the list of each user, in the order of the users of the model.

    The items are those that the generator recommends with its default parameters.
    """
    catalogue, interactions = lists.model.catalogue.items, lists.model.interactions
    for number, user in enumerate(interactions.users):
        query = query_of_user(interactions, number)
        diversity = default_diversity(bool(len(query.history)), "")
        numbers, scores = best_items(lists, query, ListOptions(k=k, diversity=diversity))
        items = (
            ListedItem(catalogue[item].id, catalogue[item].name, score)
            for item, score in zip(numbers.tolist(), scores.tolist(), strict=True)
        )
        yield UserList(user, tuple(items))


def best_items(lists: ListMaker, query: Query, options: ListOptions) -> tuple[Numbers, Scores]:
    """Return the best items and their scores, none if the user took or dislikes all items."""
    try:
        return lists.best(query, options)
    except QueryError:
        return np.empty(0, np.int32), np.empty(0)


def json_lines(lists: Iterable[UserList]) -> Iterator[bytes]:
    """Yield a line of JSON for each list."""
    for one in lists:
        items = [item._asdict() for item in one.items]
        line = json.dumps({"user": one.user, "items": items}, ensure_ascii=False)
        yield f"{line}\n".encode()


def csv_lines(lists: Iterable[UserList]) -> Iterator[bytes]:
    """Yield the header, then the rows of each list: one for each item.

    A title that a spreadsheet would compute as a formula begins with an apostrophe. Ids are
    unchanged, so that the rows can be joined with the data.
    """
    yield csv_rows([_CSV_HEADER]).encode()
    for one in lists:
        yield csv_rows(
            (one.user, rank, item.item, muniment.spreadsheet_text(item.title), item.score)
            for rank, item in enumerate(one.items, 1)
        ).encode()


FORMATS: dict[str, Callable[[Iterable[UserList]], Iterator[bytes]]] = {
    ".jsonl": json_lines,
    ".csv": csv_lines,
}
"""The functions that write lists, by the suffix of the file."""
