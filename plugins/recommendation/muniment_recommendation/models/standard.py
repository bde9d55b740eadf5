"""Standardise scores of different models, so that they can be added."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .base import Scores


@dataclass(frozen=True, slots=True)
class Standard:
    """The mean and the deviation [Q] of rows of scores over the items that a query has not seen.

    A deviation of 0 is replaced by 1: all these items then have the standard score 0.
    """

    means: Scores
    deviations: Scores

    def apply(self, scores: Scores) -> Scores:
        """Return standard scores of the same shape [Q, …]."""
        return (scores - self.means[:, None]) / self.deviations[:, None]


def standard_of(scores: Scores, unseen: NDArray[np.bool_]) -> Standard:
    """Return mean and deviation of scores [Q, I] over the items that are true in `unseen`."""
    counts = np.maximum(np.count_nonzero(unseen, axis=1), 1)
    means = np.where(unseen, scores, 0.0).sum(axis=1) / counts
    differences = np.where(unseen, scores - means[:, None], 0.0)
    deviations = np.sqrt(np.vecdot(differences, differences) / counts)
    # Rounding gives equal scores a tiny deviation, which would enlarge the errors.
    deviations[deviations <= 1e-12 * np.maximum(np.abs(means), 1)] = 1.0
    return Standard(means, deviations)
