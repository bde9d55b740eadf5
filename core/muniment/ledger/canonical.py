"""Canonical JSON: each value has exactly one sequence of bytes, that of RFC 8785.

The values avoid everything for which RFC 8785 needs more than sorted keys. Floats and integers
beyond 2^53 are strings, and keys have no characters above U+FFFF, so that UTF-8 and UTF-16 sort
them alike. A property test compares the bytes with those of the package `rfc8785`.
"""

from __future__ import annotations

import math

import msgspec

SAFE = 2**53 - 1  # the largest integer that every JSON parser reads exactly

encode = msgspec.json.Encoder(order="sorted").encode
"""Return a value as canonical bytes, without checking that it is one of the allowed values."""


def canonical(value: object) -> bytes:
    """Return the canonical bytes of a JSON value.

    Raises ValueError for a float, an integer beyond 2^53 or a key with a character above U+FFFF.
    """
    _check(value)
    return encode(value)


def _check(value: object) -> None:
    if isinstance(value, float):
        raise ValueError(f"{value!r} is a float, which must be written as a string")
    if isinstance(value, int) and not -SAFE <= value <= SAFE:
        raise ValueError(f"{value} is beyond 2^53; it must be written as a string")
    if isinstance(value, dict):
        for key, item in value.items():
            if not is_key(key):
                raise ValueError(f"key {key!r} has a character above U+FFFF")
            _check(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check(item)


def is_key(text: str) -> bool:
    """Return whether a text may be the key of an object."""
    return text.isascii() or max(text) <= "\uffff"


def encode_number(number: float) -> int | str:
    """Return a number as entries contain it.

    A float is the shortest string that reads back equal, without negative zero. An integer
    beyond 2^53 is a string of digits. Raises ValueError for infinity and NaN.
    """
    if isinstance(number, int):
        return number if -SAFE <= number <= SAFE else str(number)
    return encode_float(number)


def encode_float(number: float) -> str:
    """Return a float as entries contain it. Raises ValueError for infinity and NaN."""
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a finite number")
    return repr(float(number) + 0.0)


def decode_number(text: str) -> int | float:
    """Return the number that an entry contains as a string."""
    return float(text) if "." in text or "e" in text else int(text)
