"""The order of items by their scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def best_numbers(
    scores: NDArray[np.float64], allowed: NDArray[np.bool_], count: int
) -> NDArray[np.int32]:
    """Return the numbers of the allowed items of highest score, at most `count`.

    Equal scores are in the order of the catalogue. The others are not sorted, which is faster.
    """
    numbers = np.flatnonzero(allowed)
    values = scores[numbers]
    if count < len(values):
        least = np.partition(values, -count)[-count]
        numbers = numbers[values >= least]
        values = scores[numbers]
    return numbers[np.argsort(-values, kind="stable")[:count]].astype(np.int32)
