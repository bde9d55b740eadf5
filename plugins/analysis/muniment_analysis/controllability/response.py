"""The response of an output to a numeric setting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ranks of values from 1. Equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=np.float64)


def spearman(levels: Sequence[float], values: NDArray[np.float64]) -> float | None:
    """Return Spearman's rank correlation of levels [L] with values [L, n], or None.

    It is None if all levels or all values are equal. Spearman 1904, "The Proof and Measurement of
    Association between Two Things".
    """
    x = ranks(np.repeat(np.asarray(levels, dtype=np.float64), values.shape[1]))
    y = ranks(values.ravel())
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale > 0 else None


def slope(levels: Sequence[float], values: NDArray[np.float64]) -> float | None:
    """Return the least-squares slope of values [L, n] for each unit of the levels [L], or None."""
    x = np.asarray(levels, dtype=np.float64)
    x = x - x.mean()
    scale = float(x @ x)
    return float(x @ values.mean(axis=1)) / scale if scale > 0 else None
