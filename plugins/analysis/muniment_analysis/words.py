"""Split texts into words and sentences, in scripts with and without spaces between words."""

from __future__ import annotations

import re
import unicodedata

# Characters that are counted as one word each, from scripts that are written without spaces.
_SINGLE = (
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
    """A lazily filled table for `str.translate`.

    It maps a character to `c` (a word by itself), `w` (part of a word), an apostrophe, or a space
    (not part of a word).
    """

    def __missing__(self, code: int) -> str:
        kind = _kind(code)
        if len(self) < 1 << 16:  # limits the memory
            self[code] = kind
        return kind


def _kind(code: int) -> str:
    char = chr(code)
    if char in "'\u2019":
        return "'"
    if unicodedata.category(char)[0] not in "LNM":
        return " "
    return "c" if any(first <= code <= last for first, last in _SINGLE) else "w"


_KINDS = _Kinds()


def words(text: str) -> list[str]:
    """Return the words of a text in order, case-folded.

    A word is a sequence of letters, numbers and their combining marks, with apostrophes inside
    it. Each Chinese character, kana or bopomofo is a word by itself. Punctuation and symbols are
    not words.
    """
    kinds = text.translate(_KINDS)
    return [text[slice(*word.span())].casefold() for word in _WORDS.finditer(kinds)]


# As in `_SINGLE`. A character of `_SPACED` is part of a word that is written with its neighbours.
_SINGLE_CLASS = "".join(f"{chr(first)}-{chr(last)}" for first, last in _SINGLE)
_SPACED = rf"[^\W{_SINGLE_CLASS}]"
_RUNS = re.compile(rf"(?=\w)[{_SINGLE_CLASS}]|{_SPACED}+")


def count_word_runs(text: str) -> int:
    """Return the number of runs of letters, digits and underscores in a text.

    IFEval counts words in this way: *don't* has two runs, and *state-of-the-art* four. Each Chinese
    character, kana or bopomofo is a run by itself.
    """
    return sum(1 for _ in _RUNS.finditer(text))


def whole_word_pattern(word: str) -> str:
    """Return a regular expression that matches a text where it is not part of a longer word.

    An end of the text that is a Chinese character, a kana or a symbol is always the end of a word.
    """
    before = rf"(?<!{_SPACED})" if re.match(_SPACED, word) else ""
    after = rf"(?!{_SPACED})" if word and re.match(_SPACED, word[-1]) else ""
    return before + re.escape(word) + after
