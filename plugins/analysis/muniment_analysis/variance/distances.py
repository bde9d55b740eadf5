"""Squared distances between the outputs of an item, from vectors or similarities."""

from __future__ import annotations

import numpy as np

from muniment_analysis.errors import ValuesError
from muniment_analysis.intervals import Floats


def squared_distances(vectors: Floats) -> Floats:
    """Return the squared Euclidean distances of vectors [outputs, dimensions].

    Equal vectors have a distance of exactly 0.
    """
    rows = [np.square(vectors - vector).sum(axis=1) for vector in vectors]
    return np.array(rows)


def squared_distances_of_similarities(similarities: Floats) -> Floats:
    """Return 2(1 − s) for similarities [outputs, outputs] with s = 1 for equal outputs.

    For the cosine, this is the squared distance of the vectors at length 1. Raises ValuesError for
    a matrix that is not symmetric, or a similarity above 1.
    """
    if not np.array_equal(similarities, similarities.T) or similarities.max() > 1 + 1e-9:
        raise ValuesError("similarities must be symmetric and at most 1; check the measure")
    return np.maximum(0.0, 2 * (1 - similarities))
