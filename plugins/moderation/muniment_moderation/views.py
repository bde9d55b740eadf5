"""Four ways of reading folded text, so that finding a term is finding a substring.

A text and the terms looked for in it are read the same way; a view remembers where each of its
characters stood. What counts: a *word* is a run of letters, numbers and their marks; characters
of scripts written without spaces between words (Chinese, Japanese, Thai, …), and of Korean, whose
particles cling, stand alone; everything else is a *gap*.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from muniment_moderation.normalise import Lookup

# Scripts whose terms are found anywhere: there is no word boundary to ask for.
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1100, 0x11FF),  # Hangul, before it is composed
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x31FF),  # kana, bopomofo and the iteration marks of Han
    (0x3400, 0x4DBF),
    (0x4E00, 0xA4CF),  # Han, Yi
    (0xA960, 0xA97F),
    (0xAC00, 0xD7FF),  # Hangul
    (0xF900, 0xFAFF),
    (0x1AFF0, 0x1B16F),  # kana, older forms
    (0x20000, 0x3FFFF),  # Han, rarer ones
)
EDGE = "\0"  # a word's edge; folding removes NUL from every text


def _kind(char: str) -> str:
    if unicodedata.category(char)[0] not in "LNM":
        return " "
    code = ord(char)
    return "c" if any(first <= code <= last for first, last in _UNSPACED) else "w"


_KINDS = Lookup(_kind)
_RUNS = re.compile(r"w+|c+| +")
_NO_GAP = re.compile(r"[wc]+")
_SPELLED = re.compile(r"(?<!w)w(?: +w(?!w)){2,}")  # three single letters or more, with gaps
_SPELLED_RUNS = re.compile(rf"(?P<spelled>{_SPELLED.pattern})|w+|c+")
_ARTICLES = "ai"


def kinds(text: str) -> str:
    """Return one letter for each character: `w` in a word, `c` alone, a space for a gap."""
    return text.translate(_KINDS)


@dataclass(slots=True)
class View:
    """A reading of a text: character `i` of it is character `positions[i]` of the folded text."""

    pieces: list[str]
    positions: array[int]

    @classmethod
    def empty(cls) -> View:
        """Return a view to add to."""
        return cls([], array("I"))

    @property
    def text(self) -> str:
        """What there is to search."""
        return "".join(self.pieces)

    def add(self, piece: str, first: int) -> None:
        """Append characters that stand side by side in the folded text."""
        self.pieces.append(piece)
        self.positions.extend(range(first, first + len(piece)))

    def add_word(self, word: str, first: int) -> None:
        """Append a word between its edges."""
        last = first + len(word) - 1
        self.pieces.append(f"{EDGE}{word}{EDGE}")
        self.positions.extend((first, *range(first, last + 1), last))

    def mark(self, sign: str, at: int) -> None:
        """Append a sign of our own, at the place of the folded text's character `at`."""
        self.pieces.append(sign)
        self.positions.append(at)


def words(text: str) -> View:
    """Read words between edges, whatever lies between them: `|pipe||bomb|`."""
    view = View.empty()
    for run in _RUNS.finditer(kinds(text)):
        first, last = run.span()
        if run[0][0] == "w":
            view.add_word(text[first:last], first)
        elif run[0][0] == "c":
            view.mark(EDGE, first)  # keeps the words on either side apart
    return view


def compact(text: str) -> View:
    """Read what is not a gap, as if no gap were there: `制-造 炸.弹` is `制造炸弹`."""
    view = View.empty()
    for run in _NO_GAP.finditer(kinds(text)):
        first, last = run.span()
        view.add(text[first:last], first)
    return view


def literal(text: str) -> View:
    """Read everything, with the edges of words marked and white space as single spaces."""
    view = View.empty()
    for run in _RUNS.finditer(kinds(text)):
        first, last = run.span()
        if run[0][0] == "w":
            view.add_word(text[first:last], first)
        elif run[0][0] == "c":
            view.add(text[first:last], first)
        else:
            for part in re.finditer(r"\s+|\S+", text[first:last]):
                if part[0].isspace():
                    view.mark(" ", first + part.start())
                else:
                    view.add(part[0], first + part.start())
    return view


def spelled(text: str) -> View:
    """Read words, single letters in a row joined: `a p.i.p.e  b.o.m.b` is `|a||pipe||bomb|`.

    A gap unlike the commonest of its row parts two words, and so does the one after a first `a`
    or `i`, in English words themselves. Every row is then read once more, in one piece.
    The view is empty where nothing is spelled out: `words` says the same.
    """
    view, shape = View.empty(), kinds(text)
    rows = [
        [row.start() + part.start() for part in re.finditer("w", row[0])]
        for row in _SPELLED.finditer(shape)
    ]
    if not rows:
        return view
    at = iter(rows)
    for run in _SPELLED_RUNS.finditer(shape):
        first, last = run.span()
        if run["spelled"] is not None:
            letters = next(at)
            _spell(view, text, letters, _partings(text, letters))
        elif run[0][0] == "w":
            view.add_word(text[first:last], first)
        else:
            view.mark(EDGE, first)
    for letters in rows:
        view.mark(" ", letters[0])  # no term reaches over it
        _spell(view, text, letters, set())
    return view


def _partings(text: str, letters: list[int]) -> set[int]:
    """Return the letters of a row that a new word begins with, the first one left out."""
    gaps = {after: text[before + 1 : after] for before, after in pairwise(letters)}
    ((commonest, _),) = Counter(gaps.values()).most_common(1)
    partings = {after for after, gap in gaps.items() if gap != commonest}
    return partings | {letters[1]} if text[letters[0]] in _ARTICLES else partings


def _spell(view: View, text: str, letters: list[int], partings: set[int]) -> None:
    view.mark(EDGE, letters[0])
    for before, at in pairwise([letters[0], *letters]):
        if at in partings:
            view.mark(EDGE, before)
            view.mark(EDGE, at)
        view.add(text[at], at)
    view.mark(EDGE, letters[-1])
