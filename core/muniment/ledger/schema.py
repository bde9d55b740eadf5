"""Encode entries as canonical bytes, and decode them by the closed schema of their class.

Encoded bytes are decoded before they count, so an entry that a reader would reject is never made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from operator import ne
from typing import Any, NamedTuple, get_type_hints

import msgspec
from msgspec.structs import fields

from muniment.errors import MunimentError
from muniment.ledger import canonical, old_versions  # noqa: F401  # declares classes
from muniment.ledger.entries import Entry, EnvironmentEntry
from muniment.ledger.fields import EntryOf, PayloadOf

# Invisible characters, and those that change how others are displayed. No name has them. They are
# listed, because all versions of Python must reject the same characters. The list is part of the
# format of entries, so it is not that of `muniment.escapes`, which may grow.
UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e007f]"
)


class EntryError(MunimentError, ValueError):
    """An entry that does not match the schema of its kind, with the reason."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(f"{kind} entry: {reason}")
        self.kind, self.reason = kind, reason


class Reference(NamedTuple):
    """A payload that an entry commits to. `size` is its size in bytes, if the entry has it."""

    kind: str
    position: int
    commitment: str
    size: int | None


def encode(entry: Entry) -> bytes:
    """Return the canonical bytes of an entry. Raise EntryError unless every field is valid."""
    try:
        data = canonical.encode(entry)
        decoded = _decoder(entry.kind, entry.version).decode(data)
        if decoded != entry:
            raise ValueError("a field has a value of another type")
        _check_values([decoded], data)
    except EntryError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise EntryError(entry.kind, str(error)) from error
    return data


def decode(data: bytes, key: tuple[str, int] | None = None) -> Entry:
    """Return the entry that canonical bytes contain. Raise ValueError for any other bytes.

    An entry of an older version is returned as the newest class of its kind. `key` is its kind
    and version, if they are known. Too many nested brackets are a RecursionError.
    """
    return decode_all([data], [key or kind_and_version(data)])[0]


def decode_all(data: Sequence[bytes], keys: Iterable[tuple[str, int]]) -> list[Entry]:
    """Return the entries that canonical bytes contain. Raise ValueError if one is not valid.

    Entries of older versions are returned as the newest classes of their kinds. `keys` are the
    kinds and versions. It is faster than a call of `decode` for each.
    """
    keys = list(keys)
    entries: list[Entry] = [
        _decoder(*key).decode(item) for item, key in zip(data, keys, strict=True)
    ]
    if any(map(ne, map(canonical.encode, entries), data)):
        raise ValueError("not in canonical form")
    _check_values(entries, b"".join(data))
    return entries if OLD.isdisjoint(keys) else [entry.newest() for entry in entries]


def _check_values(entries: Sequence[Entry], data: bytes) -> None:
    """Raise EntryError for a value that the types of the fields allow but an entry does not.

    `data` are the bytes of all entries.
    """
    for entry in entries:
        if field := entry.invalid_field():
            raise EntryError(entry.kind, f"its field {field} has an invalid value")
    # Nearly every entry is ASCII without an escape, and has no such character.
    if not data.isascii() or b"\\" in data or b"\x7f" in data:
        for entry in entries:
            _check_characters(entry)


def references(entry: Entry) -> Iterator[Reference]:
    """Yield the payloads that an entry commits to."""
    for name, kind in payload_fields(type(entry)).items():
        value = getattr(entry, name)
        if isinstance(value, str):
            yield Reference(kind, 0, value, None)
        elif value is not None:
            for position, item in enumerate(value):
                yield Reference(kind, position, item.content, item.bytes)


def named(entry: Entry) -> Iterator[tuple[str, int]]:
    """Yield the kind and number of each entry that an entry refers to."""
    for name, kind in reference_fields(type(entry)).items():
        value = getattr(entry, name)
        if isinstance(value, int):
            yield kind, value
        elif value is not None:
            for number in value.values() if isinstance(value, dict) else value:
                yield kind, number


class _Header(msgspec.Struct):
    kind: str
    version: int


_decode_header = msgspec.json.Decoder(_Header).decode


def kind_and_version(data: bytes) -> tuple[str, int]:
    """Return the kind and version in the bytes of an entry. Raise ValueError without them."""
    header = _decode_header(data)
    return header.kind, header.version


@cache
def _decoder(kind: str, version: int) -> msgspec.json.Decoder[Any]:
    entry_class = ENTRIES.get((kind, version))
    if entry_class is None:
        raise EntryError(kind, f"version {version} of the kind {kind!r:.80} is unknown")
    return msgspec.json.Decoder(entry_class)


def kind_of(entry_class: type[Entry]) -> str:
    """Return the kind of the entries of a class."""
    return next(kind for (kind, _), known in ENTRIES.items() if known is entry_class)


def kinds_of(base: type[Entry]) -> list[str]:
    """Return the kinds of the entries whose classes have a base class."""
    kinds = [kind for (kind, _), known in ENTRIES.items() if issubclass(known, base)]
    return list(dict.fromkeys(kinds))


@cache
def _marked(mark: type[PayloadOf | EntryOf], entry_class: type[Entry]) -> Mapping[str, str]:
    """Return the fields of a class with a mark, with the kind that each mark names."""
    hints = get_type_hints(entry_class, include_extras=True)
    return {
        name: item.kind
        for name in entry_class.__struct_fields__
        for item in getattr(hints[name], "__metadata__", ())
        if isinstance(item, mark)
    }


payload_fields = partial(_marked, PayloadOf)
"""Return the fields of a class that commit to payloads, with the kind of these payloads."""
reference_fields = partial(_marked, EntryOf)
"""Return the fields of a class that refer to entries, with the kind of these entries."""


def _check_characters(entry: Entry) -> None:
    """Raise EntryError if a name has an unseen character, or a key one above U+FFFF."""
    values = msgspec.to_builtins(entry)
    if isinstance(entry, EnvironmentEntry):  # a fact can be any text
        values["facts"] = dict.fromkeys(entry.facts)
    for text, is_key in _texts(values):
        if UNSEEN.search(text) or (is_key and not canonical.is_key(text)):
            raise EntryError(entry.kind, f"it cannot contain {text!r:.80}")


def _texts(value: object) -> Iterator[tuple[str, bool]]:
    """Yield every text in a value, and whether it is the key of an object."""
    if isinstance(value, str):
        yield value, False
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key, True
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _classes(base: type[Entry]) -> Iterator[tuple[tuple[str, int], type[Entry]]]:
    for entry_class in base.__subclasses__():
        own: Any = {field.name: field.default_factory for field in fields(entry_class)}
        if "kind" in own:
            yield (own["kind"](), own["version"]()), entry_class
        yield from _classes(entry_class)


ENTRIES: Mapping[tuple[str, int], type[Entry]] = dict(_classes(Entry))
"""The class of each kind and version."""
_NEWEST = {kind: max(v for k, v in ENTRIES if k == kind) for kind, _ in ENTRIES}
OLD = {key for key in ENTRIES if key[1] < _NEWEST[key[0]]}
"""The kinds and versions of which a newer version exists."""
