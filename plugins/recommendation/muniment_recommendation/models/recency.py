"""Weights of the items of a history, which decay with their age."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse

from muniment_recommendation.data.interactions import Numbers

from .base import Scores, Values


def recency(length: int, values: Values) -> Scores:
    """Return the weights of a history of `length` items, the oldest first.

    The newest item has the weight 1. After `half_life` items, half of the part above `floor`
    remains. Both are among the values of a model. Without a floor, it is 0.
    """
    ages = np.arange(length - 1, -1, -1, dtype=np.float64)
    half_life, floor = values["half_life"], values.get("floor", 0.0)
    return floor + (1 - floor) * 0.5 ** (ages / half_life)


def weighted_rows(
    histories: Sequence[Numbers], item_count: int, values: Values
) -> scipy.sparse.csr_array:
    """Return the weights [Q, I] of the items of each history. An item occurs at most once."""
    lengths = np.array([len(history) for history in histories], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    items = np.concatenate([np.empty(0, np.int32), *histories])
    weights = [recency(len(history), values) for history in histories]
    return scipy.sparse.csr_array(
        (np.concatenate([np.empty(0), *weights]), items, offsets),
        shape=(len(histories), item_count),
    )
