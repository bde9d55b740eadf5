"""The similarity of items, by which lists are made diverse and their diversity is measured."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from muniment_recommendation.data.catalogue import Catalogue
from muniment_recommendation.data.interactions import Interactions, Numbers
from muniment_recommendation.models.item_matrix import reciprocals


class ItemSimilarity:
    """Cosines of items by their tags, or by their users where the catalogue has no tags."""

    def __init__(self, features: scipy.sparse.csr_array) -> None:
        lengths = np.sqrt(features.multiply(features).sum(axis=1))
        scales = scipy.sparse.diags_array(reciprocals(lengths))
        self._rows = scipy.sparse.csr_array(scales @ features)

    @classmethod
    def of(cls, catalogue: Catalogue, interactions: Interactions) -> ItemSimilarity:
        """Return the similarity of the items of a catalogue."""
        tags = tag_matrix(catalogue)
        return cls(tags if tags.nnz else scipy.sparse.csr_array(interactions.matrix().T))

    def among(self, items: Numbers) -> NDArray[np.float64]:
        """Return the cosines [items, items], from 0 to 1. Without features they are 0."""
        rows = self._rows[items]
        # Rounded, so that the last bits of a sum never decide an order.
        cosines: NDArray[np.float64] = np.round((rows @ rows.T).toarray(), 6)
        return cosines


def mean_distance(similarities: NDArray[np.float64]) -> float:
    """Return the mean of 1 - similarity over the pairs of a list's items.

    `similarities` [n, n] has cosines and is symmetric. A list of fewer than 2 items has 0. Ziegler
    et al., "Improving Recommendation Lists Through Topic Diversification", WWW 2005, in the form of
    Vargas and Castells, RecSys 2011.
    """
    size = len(similarities)
    if size < 2:
        return 0.0
    pairs = size * (size - 1)
    return float(1 - (similarities.sum() - np.trace(similarities)) / pairs)


def tag_matrix(catalogue: Catalogue) -> scipy.sparse.csr_array:
    """Return ones where an item has a tag [items, tags]. Tags are in sorted order."""
    columns = {tag: column for column, tag in enumerate(sorted(all_tags(catalogue)))}
    indices = [columns[tag] for item in catalogue.items for tag in dict.fromkeys(item.tags)]
    lengths = [len(set(item.tags)) for item in catalogue.items]
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    shape = (len(catalogue), len(columns))
    return scipy.sparse.csr_array((np.ones(len(indices)), indices, offsets), shape=shape)


def all_tags(catalogue: Catalogue) -> set[str]:
    """Return the tags of all items."""
    return {tag for item in catalogue.items for tag in item.tags}
