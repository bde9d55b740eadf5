"""Random numbers of the seed of a request, with which a list is sampled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BITS = 53  # of a float


def gumbel_noise(seed: int, count: int) -> NDArray[np.float64]:
    """Return one number of the Gumbel distribution for each item, rounded to six digits.

    Ordering items by `score + temperature * noise` samples them one by one without replacement,
    with probabilities proportional to `exp(score / temperature)`.
    """
    # The raw integers of Philox are the same in every version of numpy. Those of Generator are not.
    integers = np.random.Philox(key=seed).random_raw(count)
    uniform = ((integers >> np.uint64(64 - _BITS)) + 0.5) * 2.0**-_BITS
    noise: NDArray[np.float64] = np.round(-np.log(-np.log(uniform)), 6)
    return noise
