"""Canonical JSON (RFC 8785): one value has exactly one sequence of bytes."""

from __future__ import annotations

from typing import Any, TypeAlias

Json: TypeAlias = bool | int | float | str | list[Any] | tuple[Any, ...] | dict[str, Any] | None

SAFE = 2**53 - 1  # the largest integer that every reader of JSON holds exactly


def canonical(value: Json) -> bytes:
    """Return the RFC 8785 bytes of `value`.

    An integer beyond 2^53 is refused with ValueError: callers keep those as strings. Nearly every
    entry is written by msgspec, which is faster, to the same bytes (`schema.py`).
    """
    import rfc8785

    return rfc8785.dumps(value)


def encode_integer(number: int) -> int | str:
    """Return an integer as entries hold it: as a string of digits beyond 2^53."""
    return number if -SAFE <= number <= SAFE else str(number)


def decode_number(held: Any) -> Any:
    """Return a number that an entry holds as it was: the inverse of `wide`.

    A float from 2^53 to 10^21 is written like an integer; a string of digits is the integer.
    """
    if isinstance(held, str):
        return int(held)
    if type(held) is int and not -SAFE <= held <= SAFE:
        return float(held)
    return held
