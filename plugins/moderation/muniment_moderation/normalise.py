"""One form for text that reads the same, with the way back to where it stood in the original.

Folding is Unicode NFKC and full case folding, with what cannot be seen removed: default-ignorable
characters, control characters that are not white space, and combining marks that decorate a
Latin, Greek, Cyrillic or Han character without making another letter of it. Folding folded text
changes nothing.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

# Unicode's Default_Ignorable_Code_Point, as ranges: (first, last).
_IGNORABLE = (
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
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)
_IGNORABLE_FIRST = [first for first, _ in _IGNORABLE]
_LONGEST = 31  # a character and 30 marks, as in Unicode's stream-safe text: sorting is quadratic

# A shape is one letter for each character: `s` folds alone to one character, `b` to none or
# several, `m` joins what stands before it, `x` vanishes.
_PARTS = re.compile(r"(?P<plain>(?:s(?!x*m))+)|(?P<gone>x+)|[sbm](?:x*m)*")


class Lookup(dict[int, str]):
    """A table for `str.translate` that fills itself, and stays small whatever it is asked."""

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
    """Folded text; character `i` of it came from `starts[i]:ends[i]` of the original."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]
    original_length: int

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the offsets in the original of `text[start:end]`, in characters."""
        if start < end:
            return self.starts[start], self.ends[end - 1]
        at = self.starts[start] if start < len(self.text) else self.original_length
        return at, at


def fold(text: str) -> Folded:
    """Return the folded form of any text, in time linear in its length."""
    shapes = text.translate(_SHAPES)
    pieces: list[str] = []
    starts, ends = array("I"), array("I")
    for part in _PARTS.finditer(shapes):
        first, last = part.span()
        if part["plain"] is not None:
            pieces.append(text[first:last].translate(_ALONE))
            starts.extend(range(first, last))
            ends.extend(range(first + 1, last + 1))
        elif part["gone"] is None:
            pieces.append(folded := _cluster(text[first : min(last, first + _LONGEST)]))
            starts.extend([first] * len(folded))
            ends.extend([last] * len(folded))
    return Folded("".join(pieces), starts, ends, len(text))


@lru_cache(maxsize=1 << 12)
def _cluster(text: str) -> str:
    """Fold a character together with the marks that belong to it."""
    for _ in range(4):  # case folding can undo normal form; two rounds are the most seen
        before = text
        text = unicodedata.normalize("NFKC", text).casefold()
        if len(text) > 1 or not text.isalnum():
            text = _undecorated("".join(char for char in text if not _ignorable(char)))
        if text == before:
            break
    return text[:_LONGEST]


def _undecorated(text: str) -> str:
    kept: list[str] = []
    base = ""
    for char in text:
        if unicodedata.category(char)[0] != "M":
            base = char
        elif not base or not base.isalnum() or _takes_no_marks(ord(base)):
            continue
        kept.append(char)
    return "".join(kept)


def _takes_no_marks(code: int) -> bool:
    """Say whether a mark left on this letter by NFKC is decoration: it made no other letter."""
    return code < 0x0530 or 0x1E00 <= code <= 0x1FFF or 0x3400 <= code <= 0x9FFF or code >= 0x20000


def _ignorable(char: str) -> bool:
    code = ord(char)
    at = bisect_right(_IGNORABLE_FIRST, code) - 1
    if at >= 0 and code <= _IGNORABLE[at][1]:
        return True
    return unicodedata.category(char) == "Cc" and not char.isspace()


def _shape(char: str) -> str:
    if _ignorable(char):
        return "x"
    first = unicodedata.normalize("NFKD", char)[0]
    # Vowels and finals of Hangul compose with the syllable before them though they are letters.
    if unicodedata.category(first)[0] == "M" or "\u1160" <= first <= "\u11ff":
        return "m"
    return "s" if len(_cluster(char)) == 1 else "b"


_SHAPES = Lookup(_shape)
_ALONE = Lookup(_cluster)
