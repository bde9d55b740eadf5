"""Readings of a text: as it is, with decoded escapes, and with letters in place of symbols.

A filter searches each reading, because programs and people read escaped or disguised text as well
as plain text. Each character of a reading is mapped to its position in the original text.
"""

from __future__ import annotations

import html
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

_MAX_DECODINGS = 3  # escapes inside escapes

# Escapes of JSON and of most programming languages, of addresses, and of HTML and XML.
_ESCAPES = re.compile(
    r"(?P<unicode>(?:\\u[0-9A-Fa-f]{4})+)"
    r"|\\u\{(?P<braced>[0-9A-Fa-f]{1,6})\}"
    r"|\\U(?P<long>[0-9A-Fa-f]{8})"
    r"|\\x(?P<byte>[0-9A-Fa-f]{2})"
    r"|\\(?P<plain>[\"'\\/bfnrt])"
    r"|(?P<percent>(?:%[0-9A-Fa-f]{2})+)"
    r"|(?P<entity>&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});)"
)
_PLAIN = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}

# Symbols that show a letter and that Unicode's normalisation keeps: tags, which are invisible,
# white letters on a dark circle or square, and the halves of flags.
_LETTERS = {0xE0000 + code: chr(code) for code in range(0x20, 0x7F)} | {
    first + index: chr(ord("A") + index)
    for first in (0x1F150, 0x1F170, 0x1F1E6)
    for index in range(26)
}


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading of a text. Its character `i` comes from `starts[i]:ends[i]` of the original."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the start and end of `text[start:end]` in the original text, in characters."""
        if start < end:
            return self.starts[start], self.ends[end - 1]
        offset = (
            self.starts[start] if start < len(self.text) else (self.ends[-1] if self.ends else 0)
        )
        return offset, offset


def readings(text: str) -> Iterator[Reading]:
    """Yield the text itself, and its other readings where they differ."""
    reading = Reading(text, range(len(text)), range(1, len(text) + 1))
    yield reading
    for _ in range(_MAX_DECODINGS):
        decoded = _decode(reading)
        if decoded.text == reading.text:
            break
        reading = decoded
    if reading.text != text:
        yield reading
    letters = reading.text.translate(_LETTERS)
    if letters != reading.text:
        yield Reading(letters, reading.starts, reading.ends)


def _decode(reading: Reading) -> Reading:
    """Return a reading in which each escape is replaced by the characters that it means."""
    parts: list[str] = []
    starts, ends = array("I"), array("I")
    place = 0
    for match in _ESCAPES.finditer(reading.text):
        meaning = _meaning(match)
        if meaning is None:
            continue
        first, last = match.span()
        parts += [reading.text[place:first], meaning]
        starts.extend(reading.starts[place:first])
        ends.extend(reading.ends[place:first])
        starts.extend([reading.starts[first]] * len(meaning))
        ends.extend([reading.ends[last - 1]] * len(meaning))
        place = last
    parts.append(reading.text[place:])
    starts.extend(reading.starts[place:])
    ends.extend(reading.ends[place:])
    return Reading("".join(parts), starts, ends)


def _meaning(match: re.Match[str]) -> str | None:
    """Return the characters of an escape, or None if it is not valid."""
    kind, value = match.lastgroup, match[match.lastgroup or 0]
    if kind == "plain":
        return _PLAIN.get(value, value)
    if kind == "entity":
        meaning = html.unescape(value)
        return None if meaning == value else meaning
    try:
        if kind == "unicode":  # a character beyond U+FFFF consists of two escapes
            return bytes.fromhex(value.replace("\\u", "")).decode("utf-16-be")
        if kind == "percent":
            return unquote_to_bytes(value).decode()
        return chr(int(value, 16))
    except ValueError:
        return None
