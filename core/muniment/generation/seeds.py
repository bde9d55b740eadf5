"""Seeds: unsigned 64-bit integers, chosen at random by default, and seeds derived from them.

An item's randomness depends on its own seed only. The derivation must never change, because
recorded generations replay from it. `tests/core/test_seeds.py` contains golden values.
"""

from __future__ import annotations

import hashlib
import secrets

from muniment.errors import SeedError

BITS = 64
MAXIMUM = 2**BITS - 1


def random_seed() -> int:
    """Return a random seed from the operating system."""
    return secrets.randbits(BITS)


def parse_seed(value: object) -> int:
    """Return `value`, an integer or its decimal string, as a seed.

    Raises SeedError for anything other than a whole number from 0 to 2^64 - 1.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise SeedError(value)
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= 20):
        raise SeedError(value)
    seed = int(value)
    if not 0 <= seed <= MAXIMUM:
        raise SeedError(value)
    return seed


def derive_seed(seed: int, *path: str | int) -> int:
    """Return the seed of a sample or step, derived from `seed` and a path of names and numbers.

    It is the first eight bytes, big-endian, of a SHA-256. The hash covers the decimal seed and the
    parts of the path. Each of these is preceded by its type and its length in bytes.

    Example:
        >>> muniment.derive_seed(7, 1) == muniment.derive_seed(7, 1) != muniment.derive_seed(7, 2)
        True
    """
    # Type and length prevent two paths from having the same concatenation.
    digest = hashlib.sha256(b"muniment-seed/1\n")
    for part in (seed, *path):
        kind, data = (b"i", str(part).encode()) if isinstance(part, int) else (b"s", part.encode())
        digest.update(kind + str(len(data)).encode() + b":" + data)
    return int.from_bytes(digest.digest()[:8])


def sample_seed(seed: int, index: int) -> int:
    """Return the seed of sample `index` (from 0) of several samples of one request.

    Sample 0 has the requested seed, so `-n 1` and the first sample of `-n 4` are equal.
    """
    return seed if index == 0 else derive_seed(seed, "sample", index)
