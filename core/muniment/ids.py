"""ULIDs, which are ids that sort by the time of their creation."""

# Not taken from a package: the packaged implementation imports `email` and `inspect` through
# `importlib.metadata`. That takes 80 ms, a third of the time in which a command may start.

from __future__ import annotations

import os
import threading
import time

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 26

_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """Return a new ULID, greater than every earlier one of this process.

    It has 48 bits of Unix milliseconds and 80 random bits. Within one millisecond, each id is the
    last one plus a random number of 48 bits.
    """
    # The random increment keeps ids of processes that were forked from one process apart.
    global _last
    with _lock:
        value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10))
        if value >> 80 <= _last >> 80:
            value = _last + 1 + int.from_bytes(os.urandom(6))
        _last = value
    return encode(value)


def encode(value: int) -> str:
    """Return the 26 Crockford base-32 characters of a 128-bit integer."""
    return "".join(ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))
