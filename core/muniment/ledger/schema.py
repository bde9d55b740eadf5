"""The closed schema: an entry is written and read by the fields of its kind, or not at all.

What is written passes through here as well as what is verified, so an entry that a reader would
refuse is never made. The kinds are in `kinds.py`; the description for people is
docs/reference/entries.md.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from muniment.errors import MunimentError
from muniment.ledger.canonical import narrow
from muniment.ledger.entries import Body
from muniment.ledger.fields import UNFIT, Field, template
from muniment.ledger.kinds import FIELDS


class EntryError(MunimentError, ValueError):
    """An entry does not fit the schema; `field` says where."""

    def __init__(self, kind: str, field: str, value: object) -> None:
        shown = repr(value)
        shown = shown if len(shown) <= 80 else shown[:79] + "…"
        super().__init__(f"{kind} entry: {field} cannot be {shown}")
        self.kind, self.field = kind, field


class Reference(NamedTuple):
    """A payload that an entry commits to; `size` is that of its content, where the entry says."""

    kind: str
    position: int
    commitment: str
    size: int | None


def write(body: Body) -> bytes:
    """Return the canonical bytes of an entry; EntryError unless every field fits its kind."""
    return _kind(body).write(body)


def read(data: bytes) -> Body:
    """Return the entry that canonical bytes hold; ValueError (EntryError) for any other bytes."""
    body, _ = _decode(str(data, "utf-8"))  # what follows is found by writing it again
    if type(body) is not dict:
        raise ValueError("not a JSON object")
    kind = _kind(body)
    try:
        again = kind.write(body)
    except EntryError:  # a float from 2^53 to 10^21 is written without an exponent
        body = json.loads(data, parse_int=lambda digits: narrow(int(digits)))
        again = kind.write(body)
    if again != data:
        raise ValueError("not in canonical form")
    held: Body = body
    return held


def references(body: Body) -> Iterator[Reference]:
    """Yield the payloads that an entry commits to."""
    for name, payload in _kind(body).payloads:
        held = body[name]
        if isinstance(held, str):
            yield Reference(payload, 0, held, None)
        elif held is not None:
            for position, item in enumerate(held):
                yield Reference(payload, position, item["content"], item["bytes"])


def named(body: Body) -> Iterator[tuple[str, int]]:
    """Yield the kind and number of each entry that an entry names."""
    for name, kind in _kind(body).entries:
        held = body[name]
        if isinstance(held, int):
            yield kind, held
        elif held is not None:
            for number in held:
                yield kind, number


_decode = json.JSONDecoder().raw_decode


class _Kind:
    """One kind of entry at one version, made ready to write."""

    def __init__(self, name: str, version: int, fields: Mapping[str, Field]) -> None:
        self._name, self._fields = name, fields
        self._size = len(fields) + 2
        self._fill = template(fields, {"kind": f'"{name}"', "version": str(version)})
        self.payloads = [(key, field.payload) for key, field in fields.items() if field.payload]
        self.entries = [(key, field.entry) for key, field in fields.items() if field.entry]

    def write(self, body: Body) -> bytes:
        try:
            if len(body) == self._size:
                return self._fill(body).encode()
        except UNFIT:
            pass
        raise self._error(body)

    def _error(self, body: Body) -> EntryError:
        odd = sorted(body.keys() ^ {"kind", "version", *self._fields})
        if odd:
            return EntryError(self._name, ", ".join(odd), "missing or unknown")
        for key, field in self._fields.items():
            try:
                field.write(body[key])
            except UNFIT:
                return EntryError(self._name, key, body[key])
        raise AssertionError("every field fits")


_KINDS = {key: _Kind(*key, fields) for key, fields in FIELDS.items()}


def _kind(body: Mapping[str, Any]) -> _Kind:
    kind, version = body.get("kind"), body.get("version")
    found = _KINDS.get((kind, version)) if isinstance(kind, str) and type(version) is int else None
    if found is None:
        raise EntryError(str(kind), "kind and version", (kind, version))
    return found
