"""EXIF blocks, which are TIFF directories: their entries, and the user comment.

The standard gives a comment of 8 bytes that name its characters. Programs write UTF-16 in the
order of the block, in the other one, or without these bytes, so a reader has to try.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias

USER_COMMENT = 0x9286
SOFTWARE = 0x0131
MAX_ENTRIES = 1000
"""The number of entries that are read, over all directories."""
MAX_BLOCK = 16_000_000
"""The maximum size in bytes of a block that is read, of which a text can be the largest part."""

Order: TypeAlias = Literal["little", "big"]

_PREFIX = b"Exif\0\0"
_BELOW = {0x8769: "Exif", 0x8825: "GPS", 0xA005: "Interop"}
_EXIF_VERSION, _EXIF_DIRECTORY = 0x9000, 0x8769
_ASCII, _LONG, _UNDEFINED = 2, 4, 7  # types of the standard
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_UNICODE, _ASCII_CODE = b"UNICODE\0", b"ASCII\0\0\0"
_MARKS = (b"\xff\xfe", b"\xfe\xff")
_SAMPLE = 10_000  # bytes or characters that show the encoding
_JIS = b"JIS\0\0\0\0\0"


class Entry(NamedTuple):
    """An entry of a directory: its tag, its type from 1 to 13, and its bytes.

    `directory` is IFD0, IFD1, Exif, GPS or Interop. `order` is that of the numbers in the bytes.
    `data` is a view of the block, since a thousand entries can refer to the same large part of it.
    """

    directory: str
    tag: int
    kind: int
    data: memoryview
    order: Order

    def start(self, limit: int) -> bytes:
        """Return a copy of the first bytes, at most `limit`."""
        return bytes(self.data[:limit])


def entries(block: bytes) -> Iterator[Entry]:
    """Yield the entries of all directories, at most `MAX_ENTRIES`. Damaged ones are left out."""
    block = block.removeprefix(_PREFIX)
    if block[:4] not in (b"II*\0", b"MM\0*"):
        return
    order: Order = "little" if block.startswith(b"II") else "big"
    view = memoryview(block)
    waiting = [("IFD0", _number(view[4:8], order))]
    read: set[int] = set()
    count = 0
    while waiting:
        directory, place = waiting.pop(0)
        if place in read:  # a directory that refers to itself
            continue
        read.add(place)
        number = _number(view[place : place + 2], order)
        for index in range(number):
            field = view[place + 2 + 12 * index : place + 14 + 12 * index]
            count += 1
            if count > MAX_ENTRIES:
                return
            if len(field) < 12:
                break
            entry = _entry(view, directory, field, order)
            if entry is None:
                continue
            if entry.tag in _BELOW and len(entry.data) == 4:
                waiting.append((_BELOW[entry.tag], _number(entry.data, order)))
            else:
                yield entry
        after = place + 2 + 12 * number
        following = _number(view[after : after + 4], order)
        if directory == "IFD0" and following:
            waiting.append(("IFD1", following))


def user_comment(block: bytes) -> str | None:
    """Return the text of the user comment, or None if there is none."""
    return next(iter(user_comments(block)), None)


def user_comments(block: bytes) -> tuple[str, ...]:
    """Return the texts that the user comment can stand for, the most probable one first.

    They are two for UTF-16, whose order is not always that of the block, and at most one otherwise.
    """
    for entry in entries(block):
        if entry.tag == USER_COMMENT and entry.directory == "Exif":
            texts = (text.strip("\0") for text in _readings(entry.start(MAX_BLOCK), entry.order))
            return tuple(text for text in texts if text)
    return ()


def block(software: str, comment: str, code: Literal["unicode", "ascii"] = "unicode") -> bytes:
    """Return an EXIF block with the name of a program and a user comment.

    A comment of `unicode` is UTF-16 in big-endian order, which is both the order of the block and
    that of the programs which ignore it. One of `ascii` has half the size.
    """
    if code == "ascii":
        text = _ASCII_CODE + comment.encode("ascii")
    else:
        text = _UNICODE + comment.encode("utf-16-be")
    name = software.encode("ascii") + b"\0"
    padding = b"\0" * (len(name) % 2)  # places are even
    first_end = 8 + 2 + 2 * 12 + 4
    below = first_end + len(name) + len(padding)
    below_end = below + 2 + 2 * 12 + 4
    return b"".join(
        (
            struct.pack(">2sHI", b"MM", 42, 8),
            struct.pack(">H", 2),
            struct.pack(">HHII", SOFTWARE, _ASCII, len(name), first_end),
            struct.pack(">HHII", _EXIF_DIRECTORY, _LONG, 1, below),
            struct.pack(">I", 0),
            name + padding,
            struct.pack(">H", 2),
            struct.pack(">HHI4s", _EXIF_VERSION, _UNDEFINED, 4, b"0232"),
            struct.pack(">HHII", USER_COMMENT, _UNDEFINED, len(text), below_end),
            struct.pack(">I", 0),
            text,
        )
    )


def _entry(block: memoryview, directory: str, field: memoryview, order: Order) -> Entry | None:
    tag, kind, count = (_number(field[a:b], order) for a, b in ((0, 2), (2, 4), (4, 8)))
    size = _SIZES.get(kind, 0) * count
    if not size:
        return None
    place = _number(field[8:12], order)
    data = field[8 : 8 + size] if size <= 4 else block[place : place + size]
    return Entry(directory, tag, kind, data, order) if len(data) == size else None


def _number(data: memoryview, order: Order) -> int:
    return int.from_bytes(data, order)


def _readings(data: bytes, order: Order) -> tuple[str, ...]:
    """Return the texts of a comment, whose characters may be named wrongly or not at all.

    Bytes that are no text of the named characters become U+FFFD.
    """
    code, content = data[:8], data[8:]
    if code == _UNICODE:
        return _utf16(content, order)
    if code == _JIS:
        return (content.decode("iso2022_jp", "replace"),)
    return _unnamed(content if code in (_ASCII_CODE, bytes(8)) else data, order)


def _unnamed(data: bytes, order: Order) -> tuple[str, ...]:
    """Return the texts of characters that are not named, which are UTF-8 or UTF-16."""
    if b"\0" in data.strip(b"\0") or data.startswith(_MARKS):
        return _utf16(data, order)
    try:
        return (data.decode(),)
    except UnicodeDecodeError:
        sample = data[:_SAMPLE]
        visible = sum(0x20 <= byte < 0x7F for byte in sample)
        is_latin = visible > len(sample) * 3 / 4 or len(data) % 2
        return (data.decode("utf-8", "replace"),) if is_latin else _utf16(data, order)


def _utf16(data: bytes, order: Order) -> tuple[str, ...]:
    """Return the texts of UTF-16 in both orders, or that of its byte order mark."""
    if data.startswith(_MARKS):
        return (data.decode("utf-16", "replace"),)
    big, little = (data.decode(name, "replace") for name in ("utf-16-be", "utf-16-le"))
    # A byte of an ASCII character is 0, and many code points are no characters.
    evidence = data[::2].count(0) - data[1::2].count(0)
    if abs(evidence) < len(data) // 4:
        evidence += 4 * (_unassigned(little[:_SAMPLE]) - _unassigned(big[:_SAMPLE]))
    if not evidence:
        evidence = 1 if order == "big" else -1
    return (big, little) if evidence > 0 else (little, big)


def _unassigned(text: str) -> int:
    return sum(unicodedata.category(character) in ("Cn", "Co", "Cs") for character in text)
