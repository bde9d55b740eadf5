"""Compliance with requirements: the share of outputs that comply, and of k that all do.

pass^k is from Yao et al. 2024, "τ-bench: A Benchmark for Tool-Agent-User Interaction in Real-World
Domains". Its unbiased estimate from c compliant outputs of n is C(c, k) / C(n, k).
"""

from __future__ import annotations

from math import comb

import numpy as np
from numpy.typing import NDArray


def pass_k(compliant: int, outputs: int, k: int) -> float:
    """Return the estimated probability that k outputs all comply, for 1 ≤ k ≤ `outputs`."""
    if not 1 <= k <= outputs or not 0 <= compliant <= outputs:
        raise ValueError(f"pass^{k} is not defined for {compliant} of {outputs} outputs")
    return comb(compliant, k) / comb(outputs, k)


def pass_curve(complies: NDArray[np.float64]) -> list[float]:
    """Return pass^1, pass^2, … of an item [P, S, R], up to the number of seeds in a cell.

    Each is the mean over the cells, whose outputs differ in the seed alone.
    """
    replicates = complies.shape[-1]
    counts = np.rint(complies.sum(axis=-1)).astype(int).ravel()
    return [
        float(np.mean([pass_k(int(count), replicates, k) for count in counts]))
        for k in range(1, replicates + 1)
    ]


def is_binary(values: NDArray[np.float64]) -> bool:
    """Return whether all values are 0 or 1, so that they can mean compliance."""
    return bool(np.isin(values, (0.0, 1.0)).all())
