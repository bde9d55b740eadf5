"""Fold texts to a normal form, with a map from its characters to the original text.

Folding applies Unicode NFKC and full case folding, and removes:

- default-ignorable characters, noncharacters, and characters of private use or around annotations
- control characters that are not white space
- combining marks on a Latin, Greek, Cyrillic or Han character that do not form another letter

Folding is idempotent.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

# The Unicode property Default_Ignorable_Code_Point, characters around annotations, private use and
# noncharacters, as ranges (first, last).
IGNORABLE = (
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xE000, 0xF8FF),
    (0xFDD0, 0xFDEF),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFB),
    (0xFFFE, 0xFFFF),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    *((plane + 0xFFFE, plane + 0xFFFF) for plane in range(0x10000, 0xE0000, 0x10000)),
    (0xE0000, 0xE0FFF),
    (0xEFFFE, 0x10FFFF),
)
_IGNORABLE_FIRST = [first for first, _ in IGNORABLE]
# A character and 30 combining marks, as in Unicode's Stream-Safe Text Format (UAX 15). More marks
# would make normalisation slow, because it sorts them in quadratic time.
_MAX_CLUSTER = 31

# A text is scanned as a string of shapes, with one letter for each character: `s` folds to one
# character, `b` folds to none or several, `m` combines with the character before it, and `x` is
# removed.
_PARTS = re.compile(r"(?P<plain>(?:s(?!x*m))+)|(?P<gone>x+)|[sbm](?:x*m)*")


class Lookup(dict[int, str]):
    """A lazily filled table for `str.translate`, limited to 65,536 entries."""

    def __init__(self, function: Callable[[str], str]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, code: int) -> str:
        value = self._function(chr(code))
        if len(self) < 1 << 16:
            self[code] = value
        return value


@dataclass(frozen=True, slots=True)
class Folded:
    """Folded text. Its character `i` comes from `starts[i]:ends[i]` of the original text."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]
    original_length: int

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the start and end of `text[start:end]` in the original text, in characters."""
        if start < end:
            return self.starts[start], self.ends[end - 1]
        offset = self.starts[start] if start < len(self.text) else self.original_length
        return offset, offset


def fold(text: str) -> Folded:
    """Return the folded form of a text. The time is linear in its length."""
    shapes = text.translate(_SHAPES)
    parts: list[str] = []
    starts, ends = array("I"), array("I")
    for part in _PARTS.finditer(shapes):
        first, last = part.span()
        if part["plain"] is not None:
            parts.append(text[first:last].translate(_FOLDED))
            starts.extend(range(first, last))
            ends.extend(range(first + 1, last + 1))
        elif part["gone"] is None:
            parts.append(folded := _cluster(text[first : min(last, first + _MAX_CLUSTER)]))
            starts.extend([first] * len(folded))
            ends.extend([last] * len(folded))
    return Folded("".join(parts), starts, ends, len(text))


@lru_cache(maxsize=1 << 12)
def _cluster(text: str) -> str:
    """Return the folded form of a character and its combining marks."""
    for _ in range(4):  # case folding can undo NFKC; at most two rounds were observed
        before = text
        text = unicodedata.normalize("NFKC", text).casefold()
        if len(text) > 1 or not text.isalnum():
            text = _without_decorations("".join(char for char in text if not _ignorable(char)))
        if text == before:
            break
    return text[:_MAX_CLUSTER]


def _without_decorations(text: str) -> str:
    """Return the text without the combining marks that only decorate a character."""
    characters: list[str] = []
    base = ""
    for char in text:
        if unicodedata.category(char)[0] != "M":
            base = char
        elif not base or not base.isalnum() or _marks_are_decoration(ord(base)):
            continue
        characters.append(char)
    return "".join(characters)


def _marks_are_decoration(code: int) -> bool:
    """Return whether marks after this letter are decoration if NFKC did not compose them."""
    return code < 0x0530 or 0x1E00 <= code <= 0x1FFF or 0x3400 <= code <= 0x9FFF or code >= 0x20000


def _ignorable(char: str) -> bool:
    code = ord(char)
    index = bisect_right(_IGNORABLE_FIRST, code) - 1
    if index >= 0 and code <= IGNORABLE[index][1]:
        return True
    return unicodedata.category(char) == "Cc" and not char.isspace()


def ascii_form(char: str) -> str:
    """Return the ASCII character of which a character is another form, or else itself."""
    form = unicodedata.normalize("NFKC", char)
    return form if len(form) == 1 and form.isascii() and not form.isspace() else char


def _shape(char: str) -> str:
    if _ignorable(char):
        return "x"
    if extends_cluster(char):
        return "m"
    return "s" if len(_cluster(char)) == 1 else "b"


def extends_cluster(char: str) -> bool:
    """Return whether a character is folded together with the preceding one."""
    first = unicodedata.normalize("NFKD", char)[0]
    # Hangul vowels and final consonants are letters, but compose with the preceding character.
    return unicodedata.category(first)[0] == "M" or "\u1160" <= first <= "\u11ff"


_SHAPES = Lookup(_shape)
_FOLDED = Lookup(_cluster)
