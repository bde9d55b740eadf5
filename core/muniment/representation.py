"""Short representations of objects, for an interactive session, a debugger or a log.

A `__repr__` made here is one line of at most 120 characters. It shows no whole digest and only the
beginning of a text. It escapes control characters, and never raises. Nothing is computed before it
is called.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from datetime import datetime
from itertools import islice
from operator import attrgetter
from pathlib import PurePath
from typing import Any

MAX_CHARACTERS = 120
_MOST_OF_REPR = 1000  # characters of another object's `__repr__` that are read
_LIMITS = (40, 24, 16, 10)  # characters of one value: the first with which all fields fit
_WORD = re.compile(r"[\w.-]{1,26}", re.ASCII)  # such as an id, which is useless when it is cut
_DIGEST = re.compile(r"([0-9a-f]{8})[0-9a-f]{24,}")


def showing(*names: str, **computed: Callable[[Any], object]) -> Callable[[object], str]:
    """Return a `__repr__` that shows these attributes, then the results of these functions.

    Without arguments it shows the fields of a dataclass, a `Struct` or a named tuple. Empty values
    and attributes that cannot be read are omitted.
    """

    def __repr__(self: object) -> str:
        fields = names if names or computed else _fields(self)
        readers = [(name, attrgetter(name)) for name in fields]
        return _described(self, [*readers, *computed.items()])

    return __repr__


def _fields(shown: object) -> Iterable[str]:
    for attribute in ("__dataclass_fields__", "__struct_fields__", "_fields"):
        if names := getattr(type(shown), attribute, None):
            return tuple(names)
    return ()


def _described(shown: object, readers: Iterable[tuple[str, Callable[[Any], object]]]) -> str:
    values: list[tuple[str, object]] = []
    for name, read in readers:
        try:
            value = read(shown)
            if value is None or (isinstance(value, str | bytes | Sequence | Mapping) and not value):
                continue
        except Exception:  # the attribute is missing, or its property raises
            continue
        values.append((name, value))
    text = ""
    name = type(shown).__qualname__[:40]
    for limit in _LIMITS:
        text = ", ".join(f"{label}={_value(value, limit)}" for label, value in values)
        if len(name) + len(text) + 2 <= MAX_CHARACTERS:
            return f"{name}({text})"
    return f"{name}({text[: MAX_CHARACTERS - len(name) - 3]}…)"


def _value(value: object, limit: int) -> str:
    """Return a value as Python writes it, in about `limit` characters."""
    try:
        match value:
            case str():
                return _quoted(value, limit)
            case PurePath():
                return _quoted(str(value), limit)
            case bytes() | bytearray() | memoryview():
                return f"{len(value):,} bytes"
            case datetime():
                return value.isoformat(" ", "seconds")
            case Mapping():
                return _cut("{", _pairs(value, limit), len(value), "}", limit)
            case Sequence() | Set():
                return _cut("[", (_value(item, limit) for item in value), len(value), "]", limit)
            case _:
                from muniment.escapes import escaped  # not imported for --help

                return _excerpt(escaped(repr(value)[:_MOST_OF_REPR]), limit)
    except Exception:  # the `__repr__` or the `__len__` of a plugin's object may raise
        return "…"


def _quoted(text: str, limit: int) -> str:
    if _WORD.fullmatch(text):
        return repr(text)
    start = _DIGEST.sub(r"\1…", text[: limit + 64])
    return repr(start if len(text) <= limit + 64 and len(start) <= limit else f"{start[:limit]}…")


def _pairs(values: Mapping[object, object], limit: int) -> Iterator[str]:
    return (f"{_value(key, limit)}: {_value(values[key], limit)}" for key in values)


def _cut(opening: str, parts: Iterator[str], count: int, closing: str, limit: int) -> str:
    """Return the first parts that fit into the limit, and the number of all if one is omitted."""
    shown: list[str] = []
    length = 0
    for part in islice(parts, limit):
        length += len(part) + 2
        if shown and length > limit:
            break
        shown.append(_excerpt(part, limit))
    more = f", … {count:,} in all" if len(shown) < count else ""
    return f"{opening}{', '.join(shown)}{more}{closing}"


def _excerpt(text: str, limit: int) -> str:
    text = _DIGEST.sub(r"\1…", text)
    return text if len(text) <= limit else f"{text[:limit]}…"
