"""Fields: what may stand in an entry, checked and written as canonical JSON in one step.

A field's `write` returns the RFC 8785 text of a value that fits and raises for any other (one of
`UNFIT`). So nothing is checked twice, and what is written is canonical by construction; a property
test compares it with `rfc8785`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any, TypeAlias

from muniment.ledger.canonical import SAFE, double

Write: TypeAlias = Callable[[Any], str]

MODEL_DIGEST = re.compile(r"[a-z0-9][a-z0-9-]{0,31}:[0-9a-f]{16,128}")
PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")

_NAME_CHARACTERS = 255
_DIGITS = re.compile(r"0|[1-9][0-9]{0,19}")
_INTEGER = re.compile(r"-?[1-9][0-9]*")


class UnfitError(ValueError):
    """A value is not what its field may hold."""


UNFIT = (UnfitError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
"""What a field's `write` raises for a value that does not fit."""


@dataclass(frozen=True, slots=True)
class Field:
    """What one field of an entry may hold.

    `payload` is the kind of payload that the value commits to: it is a commitment, null, or a
    list of objects with `content` (the commitment) and `bytes` (the size). `entry` is the kind of
    the earlier entries that the value names by number: a number, null, or a list of numbers.
    """

    write: Write
    payload: str = ""
    entry: str = ""
    present: Write | None = None  # writes what is not null, where null may stand


def matching(pattern: re.Pattern[str]) -> Field:
    """Text of a form whose characters JSON writes as they are."""
    fullmatch = pattern.fullmatch

    def write(value: Any) -> str:
        if fullmatch(value) is None:
            raise UnfitError(value)
        return f'"{value}"'

    return Field(write)


def one_of(*values: str) -> Field:
    """One of a closed list of words."""
    return Field({value: f'"{value}"' for value in values}.__getitem__)


def optional(field: Field) -> Field:
    """What the field may hold, or null."""
    inner = field.write
    return replace(
        field, write=lambda value: "null" if value is None else inner(value), present=inner
    )


def list_of(field: Field) -> Field:
    """A list of what the field may hold."""
    inner = field.write

    def write(value: Any) -> str:
        if type(value) is not list:
            raise UnfitError(value)
        return f"[{','.join(map(inner, value))}]" if value else "[]"

    return replace(field, write=write, present=None)


def map_of(key: Field, field: Field) -> Field:
    """An object whose names and values are what the fields may hold."""
    key_of, inner = key.write, field.write

    def write(value: Any) -> str:
        if type(value) is not dict:
            raise UnfitError(value)
        if not value:
            return "{}"
        ascii_ = all(map(str.isascii, value))
        names = sorted(value) if ascii_ else sorted(value, key=_utf16)
        return "{" + ",".join([f"{key_of(name)}:{inner(value[name])}" for name in names]) + "}"

    return Field(write)


def record(**fields: Field) -> Field:
    """An object of exactly these fields."""
    fill, size = template(fields), len(fields)

    def write(value: Any) -> str:
        if type(value) is not dict or len(value) != size:
            raise UnfitError(value)
        return fill(value)

    return Field(write)


def template(fields: Mapping[str, Field], constants: Mapping[str, str] | None = None) -> Write:
    """Return what writes an object's members in the canonical order.

    `constants` are members that always have the same value, as JSON. The order is worked out once
    and compiled to one expression: going through the fields one by one for every entry takes
    twice as long.
    """
    constants = constants or {}
    writers: dict[str, Write] = {}
    members, calls = [], []
    for name in sorted({**fields, **constants}):
        if name in constants:
            members.append(f'"{name}":{constants[name]}')
            continue
        members.append(f'"{name}":%s')
        field = fields[name]
        writers[f"_{name}"] = field.present or field.write
        null = f'"null" if held[{name!r}] is None else ' if field.present else ""
        calls.append(f"{null}_{name}(held[{name!r}])")
    form = "{" + ",".join(members) + "}"
    fill: Write = eval(f"lambda held: {form!r} % ({', '.join(calls)},)", dict(writers))
    return fill


def commitment(payload: str) -> Field:
    """The commitment to a payload of that kind."""
    return replace(matching(re.compile(r"[0-9a-f]{64}")), payload=payload)


def number_of(entry: str) -> Field:
    """The number of an earlier entry of that kind."""
    return replace(COUNT, entry=entry)


@lru_cache(4096)
def _label(value: str) -> str:
    if len(value) > _NAME_CHARACTERS or not value.isprintable():
        raise UnfitError(value)
    value.encode()
    return str(encode_basestring(value))


def _name(value: str) -> str:
    if not value:
        raise UnfitError(value)
    return _label(value)


def _integer(value: Any) -> str:
    if type(value) is not int or not -SAFE <= value <= SAFE:
        raise UnfitError(value)
    return str(value)


def _count(value: Any) -> str:
    if type(value) is not int or not 0 <= value <= SAFE:
        raise UnfitError(value)
    return str(value)


def _bool(value: Any) -> str:
    if value is True:
        return "true"
    if value is False:
        return "false"
    raise UnfitError(value)


def _number(value: Any) -> str:
    return double(value) if type(value) is float else _integer(value)


def _seed(value: str) -> str:
    if not _DIGITS.fullmatch(value) or int(value) >= 2**64:
        raise UnfitError(value)
    return f'"{value}"'


def _parameter(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return _bool(value)
    if isinstance(value, str):
        if not _INTEGER.fullmatch(value) or -SAFE <= int(value) <= SAFE:
            raise UnfitError(value)
        return f'"{value}"'
    return _number(value)


def _fact(value: Any) -> str:
    if not isinstance(value, str):
        return _integer(value)
    if "\0" in value:
        raise UnfitError(value)
    value.encode()
    return str(encode_basestring(value))


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-be")


INTEGER, COUNT, NUMBER, BOOL = Field(_integer), Field(_count), Field(_number), Field(_bool)
NAME = Field(_name)  # a name that a plugin declares: printable, not empty, of a sane length
LABEL = Field(_label)  # a name that may be empty
ULID = matching(re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}"))
HEX128 = matching(re.compile(r"[0-9a-f]{32}"))
DIGEST = matching(MODEL_DIGEST)
MEDIA_TYPE = matching(re.compile(r"[a-z]+/[A-Za-z0-9.+-]+(; ?[a-z]+=[A-Za-z0-9.-]+)*"))
SEED = Field(_seed)
PARAMETERS = map_of(matching(PARAMETER_NAME), Field(_parameter))
FACTS = map_of(NAME, Field(_fact))
CATEGORIES = map_of(NAME, NUMBER)
