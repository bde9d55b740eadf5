"""The noise of sampling: a hash of (seed, step, vocabulary id), fixed for ever.

A generation is replayed years later on another machine, so the noise must not come from a library's
generator, whose algorithm or call order may change. Every number here is made of 64-bit integer
operations and of IEEE-754 double `+ - * /`, which are exactly specified; the logarithm is our own
because the C library's differs between platforms in the last bit. Golden values stand in the tests:
changing any constant below breaks every recorded generation.

All arrays are one-dimensional, one element a vocabulary id. Gumbel noise has no unit: it is added
to logits divided by the temperature (natural logarithm).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

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
    """The finaliser of splitmix64: a bijection of 64-bit integers that scatters every bit."""
    value = ((value ^ (value >> 30)) * _MIX1) & MASK
    value = ((value ^ (value >> 27)) * _MIX2) & MASK
    return value ^ (value >> 31)


def step_key(seed: int, step: int) -> int:
    """The 64-bit key of one decoding step, shared by all ids of the vocabulary.

    Raises ValueError when `seed` is not an unsigned 64-bit integer or `step` is negative.
    """
    if not 0 <= seed <= MASK:
        raise ValueError(f"seed {seed} is not an unsigned 64-bit integer")
    if step < 0:
        raise ValueError(f"step {step} is negative")
    return mix((mix(seed ^ _SEED_SALT) + (step + 1) * GOLDEN) & MASK)


def hashes(seed: int, step: int, ids: NDArray[np.integer]) -> NDArray[np.uint64]:
    """One 64-bit hash an id; `ids` and the result have shape [n]."""
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
    """Hashes to doubles strictly between 0 and 1: the top 52 bits and a half, which is exact."""
    return ((values >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def natural_log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """ln(x) for positive normal doubles, within 2 units in the last place, equal bits everywhere.

    x = m * 2^e with m in [sqrt(1/2), sqrt(2)); ln m = 2 atanh((m - 1) / (m + 1)) as a series.
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
    """Hashes to Gumbel noise, -ln(-ln u); finite, roughly between -3.6 and 36.8."""
    return -natural_log(-natural_log(uniform(values)))


def gumbel(seed: int, step: int, ids: NDArray[np.integer]) -> NDArray[np.float64]:
    """The Gumbel noise of these vocabulary ids at one step of one seed; shapes [n] to [n]."""
    return gumbel_of(hashes(seed, step, ids))


def hash_threshold(level: float) -> int:
    """An integer such that every hash with Gumbel noise of at least `level` is at least that.

    It may let a few smaller ones through; it lets a vocabulary be searched for the ids that could
    win without a logarithm for each.
    """
    bound = math.exp(-math.exp(min(-level, 700.0))) * (1.0 - 1e-9) - 1e-12
    return min(max(int(bound * 2.0**64), 0), MASK)
