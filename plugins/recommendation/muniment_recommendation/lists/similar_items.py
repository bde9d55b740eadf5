"""The items nearest to one, by the model's scores for a history of that item alone."""

from __future__ import annotations

import msgspec
import numpy as np

from muniment_recommendation.ranking.document import Ranking
from muniment_recommendation.requests.item_ids import numbers_of
from muniment_recommendation.requests.query import ListOptions, Query

from .list_maker import ListMaker


def similar_items(lists: ListMaker, item: str, count: int) -> Ranking:
    """Return the nearest items, the best first, without the item itself.

    Raises QueryError for an unknown item, with the ids that resemble it.
    """
    catalogue = lists.model.catalogue
    history = np.array(numbers_of([item], catalogue.numbers, "the model"), np.int32)
    forbidden = np.zeros(len(catalogue), dtype=bool)
    ranking = lists.ranking(Query(history, "", forbidden), ListOptions(k=count))
    return msgspec.structs.replace(ranking, items=ranking.items[:count])
