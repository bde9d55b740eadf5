"""Readings of a text: as it is, with decoded escapes and symbols, and without markup.

A filter searches each reading, because programs and people read escaped or disguised text as well
as plain text. Each character of a reading is mapped to its position in the original text.
"""

from __future__ import annotations

import html
import re
import sys
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

_MAX_DECODINGS = 3  # escapes inside escapes

# Escapes of JSON and of most programming languages, of addresses, and of HTML and XML. Bytes in
# hexadecimal or octal digits are matched as runs, because several can be one character.
_ESCAPES = re.compile(
    r"(?P<unicode>(?:\\u[0-9A-Fa-f]{4})+)"
    r"|\\u\{(?P<braced>[0-9A-Fa-f]{1,6})\}"
    r"|\\U(?P<long>[0-9A-Fa-f]{8})"
    r"|(?P<hex>(?:\\x[0-9A-Fa-f]{2})+)"
    r"|(?P<octal>(?:\\[0-3]?[0-7]{1,2})+)"
    r"|\\(?P<plain>[\"'\\/abefnrtv])"
    r"|(?P<percent>(?:%[0-9A-Fa-f]{2})+)"
    r"|(?P<entity>&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});)"
)
_PLAIN = {
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}

# Symbols that show a letter and that Unicode's normalisation keeps: tags, which are invisible,
# white letters on a dark circle or square, and the halves of flags.
_LETTERS = {0xE0000 + code: chr(code) for code in range(0x20, 0x7F)} | {
    first + index: chr(ord("A") + index)
    for first in (0x1F150, 0x1F170, 0x1F1E6)
    for index in range(26)
}

# The characters of Latin-1 for the invalid bytes of UTF-8, which `surrogateescape` decodes so.
_INVALID_BYTES = {0xDC00 + byte: chr(byte) for byte in range(0x80, 0x100)}

# Bytes of quoted-printable text (RFC 2045), and its line ends that are not part of the text.
_QUOTED_PRINTABLE = re.compile(r"(?P<bytes>(?:=[0-9A-Fa-f]{2})+)|=[ \t]*\r?\n")

# Control sequences of terminals (ECMA-48): with parameters, with a string, and all others. No part
# matches the first character of a sequence, so that the search takes linear time.
_TERMINAL = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9b-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)

# Tags and comments of HTML and XML. A comment without an end reaches to the end of the text, as in
# a browser. The name and the groups are possessive, and no part of a tag matches `<`: the time is
# linear.
_TAGS = re.compile(
    r"""<!--.*?(?:-->|\Z)"""
    r"""|<[/!?]?(?P<name>[A-Za-z][A-Za-z0-9]*+)(?>"[^"<]*"|'[^'<]*'|[^<>])*+>""",
    re.DOTALL,
)
# Elements that a browser shows on a line, or in a cell, of their own.
_BREAKS = frozenset(
    "address article aside blockquote br center dd div dl dt fieldset figcaption figure footer "
    "form h1 h2 h3 h4 h5 h6 header hr li main nav ol option p pre section table td th tr ul".split()
)


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
    """Yield the text itself, and its other readings where they differ.

    Each of them begins with the previous one, so that one text can be disguised in several ways.
    There are at most six.
    """
    reading = Reading(text, range(len(text)), range(1, len(text) + 1))
    yield reading
    for step in (_decoded, _with_letters, _unquoted, _without_sequences, _without_tags):
        following = step(reading)
        if following.text != reading.text:
            yield following
            reading = following


def _decoded(reading: Reading) -> Reading:
    for _ in range(_MAX_DECODINGS):
        decoded = _replace(reading, _ESCAPES, "\\%&", _meaning)
        if decoded.text == reading.text:
            break
        reading = decoded
    return reading


def _with_letters(reading: Reading) -> Reading:
    if reading.text.isascii():
        return reading
    return Reading(reading.text.translate(_LETTERS), reading.starts, reading.ends)


def _unquoted(reading: Reading) -> Reading:
    return _replace(reading, _QUOTED_PRINTABLE, "=", _quoted_meaning)


def _without_sequences(reading: Reading) -> Reading:
    return _replace(reading, _TERMINAL, "\x1b\x90\x98\x9b\x9d\x9e\x9f", lambda match: "")


def _without_tags(reading: Reading) -> Reading:
    return _replace(reading, _TAGS, "<", _tag_meaning)


def _replace(
    reading: Reading,
    pattern: re.Pattern[str],
    beginnings: str,
    meaning_of: Callable[[re.Match[str]], str | None],
) -> Reading:
    """Return a reading in which each match is replaced by its meaning, unless that is None.

    Each match of the pattern begins with one of the characters `beginnings`.
    """
    if not any(char in reading.text for char in beginnings):  # much faster than the pattern
        return reading
    parts: list[str] = []
    starts, ends = array("I"), array("I")
    place = 0
    for match in pattern.finditer(reading.text):
        meaning = meaning_of(match)
        if meaning is None:
            continue
        first, last = match.span()
        parts += [reading.text[place:first], meaning]
        starts.extend(reading.starts[place:first])
        ends.extend(reading.ends[place:first])
        starts.extend([reading.starts[first]] * len(meaning))
        ends.extend([reading.ends[last - 1]] * len(meaning))
        place = last
    if not parts:
        return reading
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
    if kind == "hex":
        return _characters(bytes.fromhex(value.replace("\\x", "")))
    if kind == "octal":
        return _characters(bytes(int(digits, 8) for digits in value[1:].split("\\")))
    if kind == "percent":
        return _characters(unquote_to_bytes(value))
    if kind == "unicode":  # a character beyond U+FFFF consists of two escapes
        return bytes.fromhex(value.replace("\\u", "")).decode("utf-16-be", "replace")
    code = int(value, 16)
    if code > sys.maxunicode:
        return None
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else chr(code)


def _characters(data: bytes) -> str:
    """Return the text of bytes as UTF-8, with each invalid byte as the character of its number."""
    return data.decode(errors="surrogateescape").translate(_INVALID_BYTES)


def _quoted_meaning(match: re.Match[str]) -> str:
    """Return the characters of quoted-printable bytes."""
    return _characters(bytes.fromhex((match["bytes"] or "").replace("=", ""))).translate(_LETTERS)


def _tag_meaning(match: re.Match[str]) -> str:
    """Return a line end for the tag of an element that breaks the line, and else nothing."""
    return "\n" if (match["name"] or "").lower() in _BREAKS else ""
