"""The closed schema: an entry is written and read by the fields of its kind, or not at all.

What is written is read back before it counts, so an entry that a reader would refuse is never made.
The kinds are in `kinds.py`; the description for people is docs/reference/entries.md.

msgspec checks types and writes JSON at once. What it writes is canonical (RFC 8785) but for a few
numbers and the order of names beyond the Basic Multilingual Plane; an entry that may hold any of
these goes through `rfc8785` itself. A property test compares the two.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple, get_type_hints

import msgspec

from muniment.errors import MunimentError
from muniment.ledger.canonical import SAFE, canonical
from muniment.ledger.entries import Body
from muniment.ledger.kinds import FIELDS, EntryOf, PayloadOf


class EntryError(MunimentError, ValueError):
    """An entry does not fit the schema; `kind` says which, `why` what is wrong and where."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(f"{kind} entry: {why}")
        self.kind, self.why = kind, why


class Reference(NamedTuple):
    """A payload that an entry commits to; `size` is that of its content, where the entry says."""

    kind: str
    position: int
    commitment: str
    size: int | None


def write(body: Body) -> bytes:
    """Return the canonical bytes of an entry; EntryError unless every field fits its kind."""
    try:
        kind = _kind(body)
        data = _encode(body)
        try:
            again = _decode(data)
            sure = not _far(data)
        except _UnsureError:
            sure = False
        if sure:
            kind.decode(data)
            kind.check(body, data)
        else:
            data = canonical(dict(body))
            again = _read_rare(data)
    except EntryError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        raise EntryError(str(body.get("kind")), str(error)) from error
    if again != body:  # what JSON cannot hold, such as a number that is none
        odd = ", ".join(field for field in again if again[field] != body[field])
        raise EntryError(again["kind"], f"what {odd} holds cannot be written")
    return data


def read(data: bytes) -> Body:
    """Return the entry that canonical bytes hold; ValueError (EntryError) for any other bytes.

    For brackets in brackets without end it is RecursionError.
    """
    try:
        return _read_plain(data)
    except _UnsureError:
        return _read_rare(data)


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


class _UnsureError(Exception):
    """What msgspec writes may not be what RFC 8785 says, or the entry does not fit."""


def _plain_number(text: str) -> float:
    """Read a number that is no integer and that msgspec and RFC 8785 write alike."""
    if "e" in text or text.endswith(".0"):
        raise _UnsureError
    return float(text)


_decode = msgspec.json.Decoder(float_hook=_plain_number).decode
_encode = msgspec.json.Encoder(order="sorted").encode
_FAR = tuple(bytes([first]) for first in range(0xF0, 0xF5))  # begin characters beyond 16 bits

# Characters that cannot be seen or that change how others are shown: no name has them. They are
# written out, since every version of Python must refuse the same.
UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e007f]"
)


def _far(data: bytes) -> bool:
    """Whether UTF-16, so RFC 8785, may have another order of these characters."""
    return not data.isascii() and any(first in data for first in _FAR)


def _read_plain(data: bytes) -> Body:
    body = _decode(data)
    if type(body) is not dict:
        raise ValueError("not a JSON object")
    kind = _kind(body)
    if _encode(body) != data:
        raise _UnsureError
    try:
        kind.decode(data)
    except msgspec.ValidationError:
        raise _UnsureError from None
    if _far(data):
        raise _UnsureError
    kind.check(body, data)
    held: Body = body
    return held


def _read_rare(data: bytes) -> Body:
    """Read an entry whose bytes are canonical only if `rfc8785` itself writes them."""
    body = json.loads(data, parse_int=_rare_integer)
    if type(body) is not dict:
        raise ValueError("not a JSON object")
    kind = _kind(body)
    try:
        msgspec.convert(body, kind.declared)
    except msgspec.ValidationError as error:
        raise EntryError(kind.name, str(error)) from None
    if canonical(body) != data:
        raise ValueError("not in canonical form")
    kind.check(body, data)
    held: Body = body
    return held


def _rare_integer(digits: str) -> int | float:
    """Read an integer, or a float from 2^53 to 10^21, which is written without an exponent."""
    number = int(digits)
    return number if -SAFE <= number <= SAFE else float(digits)


class _Kind:
    """One kind of entry at one version, made ready to check."""

    def __init__(self, name: str, version: int) -> None:
        self.name = name
        self.declared = FIELDS[name, version]
        marks = [
            (field, mark)
            for field, hint in get_type_hints(self.declared, include_extras=True).items()
            for mark in getattr(hint, "__metadata__", ())
        ]
        self.payloads = [(field, m.kind) for field, m in marks if isinstance(m, PayloadOf)]
        self.entries = [(field, m.kind) for field, m in marks if isinstance(m, EntryOf)]

    @cached_property
    def decode(self) -> Callable[[bytes], object]:
        """What reads canonical bytes, raising msgspec.ValidationError for what cannot be.

        It takes long to make, and only writing and verifying need it.
        """
        return msgspec.json.Decoder(self.declared).decode

    def check(self, body: Body, data: bytes) -> None:
        """Raise EntryError where an entry of the right types holds what its kind cannot."""
        if field := self.declared.odd(body):
            raise EntryError(self.name, f"its {field} cannot be {body[field]!r:.80}")
        # Nearly every entry is ASCII without an escape, and then there is nothing to look for.
        if data.isascii() and b"\\" not in data and b"\x7f" not in data:
            return
        texts = _texts([value for field, value in body.items() if field != "facts"])
        for text in (*texts, *body.get("facts", ())):
            if UNSEEN.search(text):
                raise EntryError(self.name, f"it cannot hold {text!r:.80}")


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in a value, names of members among them."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        yield from _texts(list(value.values()))
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


_kinds: dict[tuple[str, int], _Kind] = {}  # those met so far


def _kind(body: Mapping[str, Any]) -> _Kind:
    kind, version = body.get("kind"), body.get("version")
    if isinstance(kind, str) and type(version) is int:
        if found := _kinds.get((kind, version)):
            return found
        if (kind, version) in FIELDS:
            return _kinds.setdefault((kind, version), _Kind(kind, version))
    raise EntryError(str(kind), f"no kind and version is {kind!r:.80} and {version!r:.80}")
