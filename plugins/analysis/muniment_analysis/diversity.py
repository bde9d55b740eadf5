"""Measures of the diversity of several outputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def vendi_score(similarities: NDArray[np.float64]) -> float:
    """Return the effective number of different outputs, from 1 to their number.

    `similarities` [n, n] is positive semidefinite and has 1 on its diagonal. The score is the
    exponential of the entropy of the eigenvalues of similarities / n. It is from Friedman and
    Dieng 2023, "The Vendi Score: A Diversity Evaluation Metric for Machine Learning".
    """
    size = len(similarities)
    eigenvalues = np.linalg.eigvalsh(np.asarray(similarities, dtype=np.float64) / size)
    positive = eigenvalues[eigenvalues > 1e-12]
    return float(np.exp(-np.sum(positive * np.log(positive))))


def cosine_similarities(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cosines [n, n] between vectors [n, d], which are exactly 1 between equal vectors.

    Zero vectors, such as those of empty texts, have the cosine 0 with others.
    """
    rows, places = np.unique(vectors, axis=0, return_inverse=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    units = rows / np.where(lengths > 0, lengths, 1)
    cosines = np.clip(units @ units.T, -1, 1)
    similarities = (cosines + cosines.T) / 2  # exactly symmetric
    np.fill_diagonal(similarities, 1)
    return np.asarray(similarities[np.ix_(places, places)])
