"""Item-kNN: items that the same users took, by the cosine of their users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse

from muniment_recommendation.data.catalogue import Catalogue
from muniment_recommendation.data.interactions import Interactions

from .base import Progress
from .item_matrix import ItemMatrix, largest, reciprocals

_BLOCK = 500  # rows of the similarities that are in memory before the largest are kept


class ItemKnn(ItemMatrix):
    """The cosine between two items, each a vector of its users, for the nearest neighbours.

    The option `neighbours` is the number of similarities that are kept for each item.
    """

    family = "item-knn"
    choices: ClassVar[Mapping[str, tuple[float, ...]]] = {"half_life": (1, 2, 5, 10, 20, 1e6)}
    options: ClassVar[Mapping[str, int | float | None]] = {"neighbours": 200}

    @classmethod
    def fit(
        cls,
        data: Interactions,
        catalogue: Catalogue,
        options: Mapping[str, Any],
        seed: int,
        progress: Progress | None = None,
    ) -> Self:
        """Compute the similarities in blocks of items."""
        users = scipy.sparse.csc_array(data.matrix())
        norms = np.sqrt(data.counts())
        users = users @ scipy.sparse.diags_array(reciprocals(norms))
        items = scipy.sparse.csr_array(users.T)
        number = cls.option(options, "neighbours")
        blocks = []
        for start in range(0, data.item_count, _BLOCK):
            block = scipy.sparse.csr_array(items[start : start + _BLOCK] @ users)
            rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
            block.data[block.indices == rows + start] = 0  # an item is not its own neighbour
            block.eliminate_zeros()
            blocks.append(largest(block, number))
        return cls(scipy.sparse.vstack(blocks, format="csr"), {"half_life": 1e6, "floor": 0.05})
