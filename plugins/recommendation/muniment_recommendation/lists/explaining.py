"""The reasons for the items of a list: the parts of each score by their origin."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from muniment_recommendation.data.catalogue import CatalogueItem, shortened
from muniment_recommendation.data.interactions import Numbers
from muniment_recommendation.models.base import Scores
from muniment_recommendation.models.popularity import Popularity
from muniment_recommendation.ranking.document import VALUE_DIGITS, Contribution, RankedItem, Source

from .scoring import COLD, Scored

MOST_NAMED = 20
"""The number of items of a history that are named for one score."""
TEXT_LENGTH = 1000
"""The number of characters of an item's text in a list."""


def explain(items: tuple[CatalogueItem, ...], scored: Scored, numbers: Numbers) -> list[RankedItem]:
    """Return the items with these numbers, with their scores and reasons."""
    components = {name: _listed(part) for name, part in scored.components(numbers).items()}
    contributions = _contributions(items, scored, numbers)
    return [
        RankedItem(
            item=items[number].id,
            title=items[number].name,
            text=shortened(items[number].text, TEXT_LENGTH),
            score=score,
            components={
                name: values[place]
                for name, values in components.items()
                if name != COLD or values[place]
            },
            contributions=contributions[place],
        )
        for place, (number, score) in enumerate(
            zip(numbers.tolist(), scored.totals[numbers].tolist(), strict=True)
        )
    ]


def _contributions(
    items: tuple[CatalogueItem, ...], scored: Scored, numbers: Numbers
) -> list[tuple[Contribution, ...]]:
    """Return the contributions to each score, which sum to it."""
    query, wish = scored.history, scored.wish
    others: dict[Source, Scores] = {}
    offsets = np.zeros(len(numbers))
    if wish is not None:
        others["prompt"] = wish.similarities[numbers] * wish.scale
        offsets += wish.offset
    if query is not None:
        if any(part.name == Popularity.family for part in query.parts):
            others["popularity"] = query.popularity(numbers)
        offsets += query.offsets(numbers)
    others["offset"] = offsets
    history, shares = np.empty(0, np.int32), np.empty((len(numbers), 0))
    if query is not None and len(query.history):
        history, shares = query.history, query.contributions(numbers).T
    named, values = _largest(shares)
    if len(history) > MOST_NAMED or not scored.is_additive:
        # All that remains, so that approximate contributions have the exact sum, too.
        rest = scored.totals[numbers] - values.sum(axis=1) - sum(others.values())
        others = {"rest": rest, **others}
    ids = [items[number].id for number in history.tolist()]
    columns = {source: _listed(parts) for source, parts in others.items()}
    return [
        (
            *[
                Contribution(source="history", item=ids[row], value=value)
                for row, value in zip(rows, shares, strict=True)
                if value
            ],
            *[
                Contribution(source=source, value=parts[place])
                for source, parts in columns.items()
                if parts[place]
            ],
        )
        for place, (rows, shares) in enumerate(zip(named.tolist(), _listed(values), strict=True))
    ]


def _largest(shares: Scores) -> tuple[NDArray[np.intp], Scores]:
    """Return the columns of the shares [K, H] with the largest sizes, and these shares.

    In each row, the largest share is the first.
    """
    rows = np.arange(len(shares))[:, None]
    columns = np.broadcast_to(np.arange(shares.shape[1]), shares.shape)
    if shares.shape[1] > MOST_NAMED:
        columns = np.argpartition(-np.abs(shares), MOST_NAMED - 1, axis=1)[:, :MOST_NAMED]
        columns.sort(axis=1)
    columns = columns[rows, np.argsort(-shares[rows, columns], axis=1, kind="stable")]
    return columns, shares[rows, columns]


def _listed(values: Scores) -> list[Any]:
    """Return rounded numbers as a list. -0.0 becomes 0.0."""
    rounded: list[Any] = (np.round(values, VALUE_DIGITS) + 0.0).tolist()
    return rounded
