"""ULIDs: ids that sort by the time they were made.

Written here because the packaged implementation imports `email` and `inspect` by way of
`importlib.metadata`: 80 ms, a third of what the whole command line may take to start.
"""

from __future__ import annotations

import os
import threading
import time

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 26

_lock = threading.Lock()
_last = 0


def new_id() -> str:
    """Return a new ULID, greater than every one this process made before.

    48 bits of Unix milliseconds, then 80 random bits; within one millisecond the last
    value grows by a random step, so that processes forked from one still differ.
    """
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
