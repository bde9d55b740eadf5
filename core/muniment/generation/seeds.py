"""Seeds: unsigned 64-bit integers, drawn when none is given and derived for everything below.

An item's randomness depends on its own seed only. What is derived here is fixed for ever:
recorded generations replay from it, so `tests/core/test_seeds.py` holds golden values.
"""

from __future__ import annotations

import hashlib
import secrets

from muniment.errors import SeedError

BITS = 64
MAXIMUM = 2**BITS - 1


def draw() -> int:
    """Return a fresh seed from the operating system's randomness."""
    return secrets.randbits(BITS)


def parse(value: object) -> int:
    """Return `value` (an integer or its decimal string) as a seed.

    Raises SeedError for anything that is not a whole number from 0 to 2^64 - 1.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise SeedError(value)
    if isinstance(value, str) and not (value.isascii() and value.isdigit() and len(value) <= 20):
        raise SeedError(value)
    seed = int(value)
    if not 0 <= seed <= MAXIMUM:
        raise SeedError(value)
    return seed


def derive(seed: int, *path: str | int) -> int:
    """Return the seed of the sample or step that `path` names below `seed`.

    The first eight bytes, big-endian, of SHA-256 over the decimal seed and the parts of the
    path, each preceded by its type and its length in bytes, so that no two paths collide by
    concatenation.
    """
    digest = hashlib.sha256(b"muniment-seed/1\n")
    for part in (seed, *path):
        kind, data = (b"i", str(part).encode()) if isinstance(part, int) else (b"s", part.encode())
        digest.update(kind + str(len(data)).encode() + b":" + data)
    return int.from_bytes(digest.digest()[:8])


def sample_seed(seed: int, index: int) -> int:
    """Return the seed of sample `index` of a request asked for several times with one seed.

    Sample 0 keeps the seed that was asked for, so `-n 1` and the first of `-n 4` agree.
    """
    return seed if index == 0 else derive(seed, "sample", index)
