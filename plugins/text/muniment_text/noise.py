"""The noise of sampling, computed from a hash of seed, step and vocabulary id.

A generation may be replayed years later on another machine. The noise therefore does not come from
the random generator of a library, whose algorithm or order of calls may change. It is computed with
64-bit integer operations and IEEE-754 double precision `+ - * /`, which are exactly specified. The
logarithm is implemented here, because those of C libraries differ in the last bit.

The tests contain golden values. Changing a constant in this module breaks the replay of every
recorded generation.

All arrays are one-dimensional, with one element for each vocabulary id. Gumbel noise is added to
logits (natural logarithm) that were divided by the temperature.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# The salt is "muniment" in ASCII. The other hash constants are those of splitmix64.
MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
_SEED_SALT = 0x6D756E696D656E74
_MIX1 = 0xBF58476D1CE4E5B9
_MIX2 = 0x94D049BB133111EB

_SQRT_HALF = 0.7071067811865476
_LN2_HIGH = 0.6931471803691238
_LN2_LOW = 1.9082149292705877e-10
_SERIES = tuple(1.0 / (2 * n + 1) for n in range(12, -1, -1))


def mix(value: int) -> int:
    """Return the splitmix64 finaliser of a 64-bit integer, which is a bijection."""
    value = ((value ^ (value >> 30)) * _MIX1) & MASK
    value = ((value ^ (value >> 27)) * _MIX2) & MASK
    return value ^ (value >> 31)


def step_key(seed: int, step: int) -> int:
    """Return the 64-bit key of one decoding step, which all vocabulary ids share.

    Raises ValueError if `seed` is not an unsigned 64-bit integer or `step` is negative.
    """
    if not 0 <= seed <= MASK:
        raise ValueError(f"seed {seed} is not an unsigned 64-bit integer")
    if step < 0:
        raise ValueError(f"step {step} is negative")
    return mix((mix(seed ^ _SEED_SALT) + (step + 1) * GOLDEN) & MASK)


def hashes(seed: int, step: int, ids: NDArray[np.integer]) -> NDArray[np.uint64]:
    """Return a 64-bit hash for each id. `ids` and the result have shape [n]."""
    value = (ids.astype(np.uint64) + np.uint64(1)) * np.uint64(GOLDEN) + np.uint64(
        step_key(seed, step)
    )
    value ^= value >> np.uint64(30)
    value *= np.uint64(_MIX1)
    value ^= value >> np.uint64(27)
    value *= np.uint64(_MIX2)
    value ^= value >> np.uint64(31)
    return value


def uniform(values: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return a double between 0 and 1, both excluded, for each hash.

    It is (the top 52 bits + 0.5) / 2^52, which is exact.
    """
    return ((values >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def natural_log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ln(x) for positive normal doubles, with equal bits on every platform.

    The error is at most 2 units in the last place. The method is `x = m * 2^e` with m in
    `[sqrt(1/2), sqrt(2))`. The series of `ln m = 2 atanh((m - 1) / (m + 1))` has 13 terms.
    """
    mantissa, exponent = np.frexp(x)
    small = mantissa < _SQRT_HALF
    mantissa = np.where(small, mantissa * 2.0, mantissa)
    scale = (exponent - small).astype(np.float64)
    ratio = (mantissa - 1.0) / (mantissa + 1.0)
    square = ratio * ratio
    series = np.full_like(x, _SERIES[0])
    for coefficient in _SERIES[1:]:
        series = series * square + coefficient
    return scale * _LN2_HIGH + (2.0 * (ratio * series) + scale * _LN2_LOW)


def gumbel_of(values: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return the Gumbel noise -ln(-ln u) of each hash, from about -3.6 to 36.8."""
    return -natural_log(-natural_log(uniform(values)))


def gumbel(seed: int, step: int, ids: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the Gumbel noise [n] of vocabulary ids [n] at one step of one seed."""
    return gumbel_of(hashes(seed, step, ids))


def hash_threshold(level: float) -> int:
    """Return a lower bound of the hashes whose Gumbel noise is at least `level`.

    Some hashes above the bound have less noise. The bound finds the ids of a vocabulary that
    could win without computing a logarithm for each id.
    """
    bound = math.exp(-math.exp(min(-level, 700.0))) * (1.0 - 1e-9) - 1e-12
    return min(max(int(bound * 2.0**64), 0), MASK)
