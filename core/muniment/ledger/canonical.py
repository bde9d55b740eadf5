"""Canonical JSON (RFC 8785): one value has exactly one sequence of bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

Json: TypeAlias = bool | int | float | str | list[Any] | tuple[Any, ...] | dict[str, Any] | None

SAFE = 2**53 - 1  # the largest integer that every reader of JSON holds exactly

_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
).encode


class _NotPlainError(Exception):
    """The standard library's encoder might write this value differently."""


def canonical(value: Json) -> bytes:
    """Return the RFC 8785 bytes of `value`.

    The standard library's C encoder writes what a property test shows it to write identically
    (ASCII keys, numbers without an exponent); `rfc8785` writes the rest. An integer beyond 2^53
    is refused with ValueError: callers keep those as strings.
    """
    try:
        return _encode(_plain(value)).encode()
    except _NotPlainError:
        import rfc8785

        return rfc8785.dumps(value)


def wide(number: int) -> int | str:
    """Return an integer as entries hold it: as a string of digits beyond 2^53."""
    return number if -SAFE <= number <= SAFE else str(number)


def narrow(held: Any) -> Any:
    """Return a number that an entry holds as it was: the inverse of `wide`.

    A float from 2^53 to 10^21 is written like an integer; a string of digits is the integer.
    """
    if isinstance(held, str):
        return int(held)
    if type(held) is int and not -SAFE <= held <= SAFE:
        return float(held)
    return held


def _plain(value: Any) -> Any:
    """Return `value` with whole floats as integers, as RFC 8785 writes them."""
    kind = type(value)
    if kind is dict:
        try:
            if not all(map(str.isascii, value)):
                raise _NotPlainError
        except TypeError:
            raise ValueError("keys are strings") from None
        return {k: v if type(v) is str else _plain(v) for k, v in value.items()}
    if kind is str or value is None or kind is bool:
        return value
    if kind is int:
        if -SAFE <= value <= SAFE:
            return value
        raise ValueError(f"{value} is beyond 2^53: an entry holds it as a string")
    if kind is list or kind is tuple:
        return [_plain(item) for item in value]
    if kind is float:
        if value.is_integer() and -SAFE <= value <= SAFE:
            return int(value)
        if 1e-4 <= abs(value) < 1e15:  # repr and ECMAScript agree: digits, no exponent
            return value
    raise _NotPlainError


def parse(data: bytes) -> Mapping[str, Any]:
    """Return the JSON object that `data` holds; ValueError when it is not canonical."""
    value: Any = json.loads(data)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    try:
        again = canonical(value)
    except ValueError:  # a float from 2^53 to 10^21 is written without an exponent
        value = json.loads(data, parse_int=lambda digits: narrow(int(digits)))
        again = canonical(value)
    if again != data:
        raise ValueError("not in canonical form")
    body: Mapping[str, Any] = value
    return body
