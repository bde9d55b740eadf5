"""Transitions: the items that users take soon after an item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse

from muniment_recommendation.data.catalogue import Catalogue
from muniment_recommendation.data.interactions import Interactions

from .base import Progress
from .item_matrix import ItemMatrix, largest

_WINDOW = 10  # items after an item that count
_DECAY = 0.8  # of each further step between the two items
_EXPONENT = 0.7  # of the sum of a row, by which it is divided: 0 prefers popular items, 1 rare ones


class Transitions(ItemMatrix):
    """The decayed number of times that one item follows another in a history.

    A following item counts 1, one a step later `_DECAY`, and so on up to `_WINDOW` items. The
    option `successors` is the number of items that are kept for each item.
    """

    family = "transitions"
    choices: ClassVar[Mapping[str, tuple[float, ...]]] = {"half_life": (0.5, 1, 2, 4, 8)}
    options: ClassVar[Mapping[str, int | float | None]] = {"successors": 500}

    @classmethod
    def fit(
        cls,
        data: Interactions,
        catalogue: Catalogue,
        options: Mapping[str, Any],
        seed: int,
        progress: Progress | None = None,
    ) -> Self:
        """Count the pairs of each distance within the histories."""
        size = data.item_count
        remaining = np.repeat(data.offsets[1:], data.lengths) - np.arange(len(data.items))
        counts = scipy.sparse.csr_array((size, size))
        for gap in range(1, _WINDOW + 1):
            first = np.flatnonzero(remaining > gap)
            pairs = (data.items[first], data.items[first + gap])
            weights = np.full(len(first), _DECAY ** (gap - 1))
            counts = counts + scipy.sparse.csr_array((weights, pairs), shape=(size, size))
        sums = np.maximum(counts.sum(axis=1), 1e-12)
        shares = scipy.sparse.csr_array(scipy.sparse.diags_array(sums**-_EXPONENT) @ counts)
        number = cls.option(options, "successors")
        return cls(largest(shares, number), {"half_life": 2.0})
