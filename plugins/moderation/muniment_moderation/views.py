"""Four views of folded text, in which a term is found by a substring search.

The same view is made of a text and of the terms. A view maps each of its characters to its
position in the folded text. The views distinguish three kinds of characters:

- A word is a run of letters, numbers and their combining marks.
- A single character belongs to a script without spaces between words (Chinese, Japanese, Thai, …)
  or to Korean, whose particles are attached to the words.
- All other characters form gaps.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from muniment_moderation.normalise import Lookup

# Scripts whose terms are found anywhere, because words have no boundaries there.
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
EDGE = "\0"  # marks the start and end of a word; folded text contains no NUL


def _kind(char: str) -> str:
    if unicodedata.category(char)[0] not in "LNM":
        return " "
    code = ord(char)
    return "c" if any(first <= code <= last for first, last in _UNSPACED) else "w"


_KINDS = Lookup(_kind)
_RUNS = re.compile(r"w+|c+| +")
_NO_GAP = re.compile(r"[wc]+")
_SPELLED = re.compile(r"(?<!w)w(?: +w(?!w)){2,}")  # at least three single letters with gaps
_SPELLED_RUNS = re.compile(rf"(?P<spelled>{_SPELLED.pattern})|w+|c+")
_ONE_LETTER_WORDS = "ai"


def kinds(text: str) -> str:
    """Return one letter for each character: `w` (word), `c` (single) or a space (gap)."""
    return text.translate(_KINDS)


@dataclass(slots=True)
class View:
    """A view of a folded text. Its character `i` is at `positions[i]` in the folded text."""

    pieces: list[str]
    positions: array[int]

    @classmethod
    def empty(cls) -> View:
        """Return an empty view."""
        return cls([], array("I"))

    @property
    def text(self) -> str:
        """The text to search."""
        return "".join(self.pieces)

    def add(self, piece: str, first: int) -> None:
        """Append characters that are adjacent in the folded text, from position `first` on."""
        self.pieces.append(piece)
        self.positions.extend(range(first, first + len(piece)))

    def add_word(self, word: str, first: int) -> None:
        """Append a word between edges. `first` is its position in the folded text."""
        last = first + len(word) - 1
        self.pieces.append(f"{EDGE}{word}{EDGE}")
        self.positions.extend((first, *range(first, last + 1), last))

    def mark(self, character: str, position: int) -> None:
        """Append a character that is not in the folded text, with a position in it."""
        self.pieces.append(character)
        self.positions.append(position)


def words(text: str) -> View:
    """Return the words between edges, without gaps, such as `|pipe||bomb|`."""
    view = View.empty()
    for run in _RUNS.finditer(kinds(text)):
        first, last = run.span()
        if run[0][0] == "w":
            view.add_word(text[first:last], first)
        elif run[0][0] == "c":
            view.mark(EDGE, first)  # prevents a match across a single character
    return view


def compact(text: str) -> View:
    """Return the text without gaps. The view of `制-造 炸.弹` is `制造炸弹`."""
    view = View.empty()
    for run in _NO_GAP.finditer(kinds(text)):
        first, last = run.span()
        view.add(text[first:last], first)
    return view


def literal(text: str) -> View:
    """Return the whole text, with edges around words and each white space as one space."""
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
    """Return the words, with spelled-out letters joined into words.

    The view of `a p.i.p.e  b.o.m.b` is `|a||pipe||bomb|`. In a sequence of single letters, a gap
    that differs from the most frequent gap separates words. So does the gap after a leading `a`
    or `i`, which are English words. Each sequence is appended a second time as one word. The view
    is empty if nothing is spelled out, because the view `words` is then sufficient.
    """
    view, shape = View.empty(), kinds(text)
    sequences = [
        [match.start() + letter.start() for letter in re.finditer("w", match[0])]
        for match in _SPELLED.finditer(shape)
    ]
    if not sequences:
        return view
    remaining = iter(sequences)
    for run in _SPELLED_RUNS.finditer(shape):
        first, last = run.span()
        if run["spelled"] is not None:
            letters = next(remaining)
            _spell(view, text, letters, _word_starts(text, letters))
        elif run[0][0] == "w":
            view.add_word(text[first:last], first)
        else:
            view.mark(EDGE, first)
    for letters in sequences:
        view.mark(" ", letters[0])  # prevents a match across two sequences
        _spell(view, text, letters, set())
    return view


def _word_starts(text: str, letters: list[int]) -> set[int]:
    """Return the positions at which the second and later words of a sequence begin.

    `letters` are the positions of the letters of the sequence.
    """
    gaps = {after: text[before + 1 : after] for before, after in pairwise(letters)}
    ((most_common, _),) = Counter(gaps.values()).most_common(1)
    starts = {after for after, gap in gaps.items() if gap != most_common}
    return starts | {letters[1]} if text[letters[0]] in _ONE_LETTER_WORDS else starts


def _spell(view: View, text: str, letters: list[int], word_starts: set[int]) -> None:
    """Append the letters of a sequence as words between edges."""
    view.mark(EDGE, letters[0])
    for previous, position in pairwise([letters[0], *letters]):
        if position in word_starts:
            view.mark(EDGE, previous)
            view.mark(EDGE, position)
        view.add(text[position], position)
    view.mark(EDGE, letters[-1])
