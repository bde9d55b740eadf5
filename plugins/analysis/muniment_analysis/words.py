"""Counting words where some scripts have spaces between them and some have none."""

from __future__ import annotations

import re
import unicodedata

# Scripts written without spaces whose characters are each counted as one word.
_ALONE = (
    (0x3005, 0x30FF),  # iteration marks of Han, kana
    (0x3100, 0x312F),  # bopomofo
    (0x31A0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),  # half-width kana
    (0x1AFF0, 0x1B16F),
    (0x20000, 0x3FFFF),
)
_WORDS = re.compile(r"c|w+(?:'w+)*")


class _Kinds(dict[int, str]):
    """A table for `str.translate` that fills itself: `c` stands alone, `w` is part of a word."""

    def __missing__(self, code: int) -> str:
        kind = _kind(code)
        if len(self) < 1 << 16:
            self[code] = kind
        return kind


def _kind(code: int) -> str:
    char = chr(code)
    if char in "'\u2019":
        return "'"
    if unicodedata.category(char)[0] not in "LNM":
        return " "
    return "c" if any(first <= code <= last for first, last in _ALONE) else "w"


_KINDS = _Kinds()


def words(text: str) -> list[str]:
    """Return the words of a text, case-folded, in order.

    A word is a run of letters, numbers and their marks, apostrophes within it included; a
    Chinese character, kana or bopomofo is a word by itself. Punctuation and symbols are none.
    """
    shape = text.translate(_KINDS)
    return [text[slice(*word.span())].casefold() for word in _WORDS.finditer(shape)]
