"""Interactions from recorded feedback, added to the tables of a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

import numpy as np

import muniment
from muniment_recommendation.data.catalogue import CatalogueItem, shortened
from muniment_recommendation.data.items import cut_item
from muniment_recommendation.data.rows import DISLIKE, Rows, TextsBuilder
from muniment_recommendation.data.tables import Tables
from muniment_recommendation.data.times import EPOCH
from muniment_recommendation.requests.query import user_of

_POSITIVE_ACTIONS = frozenset(("click", "like", "buy"))
_POSITIVE_RATINGS = frozenset(("up", "4", "5"))
_NEGATIVE_RATINGS = frozenset(("down", "1", "2"))
_TITLE = 200  # characters of a prompt that are a title


@dataclass(frozen=True, slots=True)
class _Opinion:
    """The opinion of a user on an item, with its time and the number of its entry.

    `is_listed` is true for an item of a list, and false for a generation.
    """

    time: int
    number: int
    user: str
    item: CatalogueItem
    action: Literal["like", "dislike"]
    is_listed: bool


def with_feedback(
    tables: Tables,
    events: Iterable[muniment.FeedbackEvent],
    is_forgotten: Callable[[str, datetime], bool] = lambda user, at: False,
) -> tuple[Tables, int]:
    """Return tables with recorded feedback as further rows, and the number of these rows.

    A click, like, purchase or good rating is a positive row at its time. A dislike or bad rating
    excludes the item for the user. The user is that of the query, else the actor. The item is that
    of the list, else the generation itself. Erased, altered, blocked and failed generations are
    omitted, and so is feedback for which `is_forgotten` returns true for its user and time. An item
    of a list counts only if the tables have it, because lists of other data can be on record.
    """
    known = {*(item.id for item in tables.items), *tables.rows.items.distinct}
    opinions = [
        opinion
        for event in events
        if (opinion := _opinion(event)) is not None
        and not is_forgotten(opinion.user, event.at)
        and (opinion.item.id in known or not opinion.is_listed)
    ]
    if not opinions:
        return tables, 0
    opinions.sort(key=lambda opinion: (opinion.time, opinion.number))
    described = {opinion.item.id: opinion.item for opinion in opinions}
    new = [described[id] for id in sorted(described.keys() - known)]
    rows = tables.rows.followed_by(_rows(opinions, has_ratings=tables.rows.ratings is not None))
    dislikes = sum(opinion.action == DISLIKE for opinion in opinions)
    note = f"rows added from feedback: {len(opinions) - dislikes:,} positive, {dislikes:,} disliked"
    return replace(
        tables, rows=rows, items=(*tables.items, *new), notes=(*tables.notes, note)
    ), len(opinions)


def _opinion(event: muniment.FeedbackEvent) -> _Opinion | None:
    """Return the opinion of an event, or None if it does not count."""
    made = event.generation
    if made.status != "completed" or made.erased or made.altered:
        return None
    user = user_of({item.name: item for item in made.inputs}) or event.actor
    if event.action == DISLIKE or event.rating in _NEGATIVE_RATINGS:
        action: Literal["like", "dislike"] = "dislike"
    elif event.action in _POSITIVE_ACTIONS or event.rating in _POSITIVE_RATINGS:
        action = "like"
    else:
        return None
    item = _item(event)
    if item is None or not user.strip():
        return None
    time = (event.at - EPOCH) // timedelta(microseconds=1)
    return _Opinion(time, event.number, user, item, action, event.position is not None)


def _item(event: muniment.FeedbackEvent) -> CatalogueItem | None:
    """Return the item that feedback is about, or None if it is unknown."""
    if event.position is not None:
        if event.item is None or not event.item.id.strip():
            return None
        title, _, text = event.item.text.partition("\n")
        title = "" if title == event.item.id else title.strip()  # lists show an id as the title
        return cut_item(CatalogueItem(event.item.id, title, text))
    made = event.generation
    title = shortened(" ".join(made.prompt.split()), _TITLE)
    return cut_item(CatalogueItem(made.id, title, made.text))


def _rows(opinions: list[_Opinion], *, has_ratings: bool) -> Rows:
    users, items, actions = TextsBuilder(), TextsBuilder(), TextsBuilder()
    users.add([opinion.user for opinion in opinions])
    items.add([opinion.item.id for opinion in opinions])
    actions.add([opinion.action for opinion in opinions])
    return Rows(
        users.finish(),
        items.finish(),
        np.array([opinion.time for opinion in opinions], np.int64),
        # Feedback counts whatever the minimum of the ratings in the data is.
        np.full(len(opinions), np.inf) if has_ratings else None,
        actions.finish(),
    )
