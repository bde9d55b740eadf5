"""Count the sentences of a text, in English and in Chinese.

A regular expression finds the ends. They agree with those of the tokenizer Punkt (Kiss and Strunk
2006, "Unsupervised Multilingual Sentence Boundary Detection") in most English texts.
"""

from __future__ import annotations

import re

# An end needs a space or a bracket after it, since "3.5" and "a.b" have none. Chinese ones do not.
# A run of marks is matched as a whole, so that a long one is read once.
_END = re.compile(r"""(?<![.!?])[.!?]++(?=[\s"'()\[\]{}*:;@]|$)|[\u3002\uff01\uff1f\uff61]+""")
_CLOSING = re.compile(r"""["')\]}\u2019\u201d\u300d\u300f\uff09]*""")
_WORD = re.compile(r"\w")
_LAST_WORD = re.compile(r'[^\s"()\[\]{}*:;,!?]*\.$')
_NEXT_WORD = re.compile(r"""[\s"'({\u2018\u201c]*([^\W_]*)""")
_LONGEST = 40  # characters of a word before a mark, which bounds the time of a search

_ABBREVIATIONS = frozenset(
    "adm apr aug ave bros capt co col corp dec dept dr etc feb gen gov hon inc jan jr lt ltd maj "
    "messrs mr mrs ms mt nov oct ph.d prof rep rev sen sep sept sgt sr st univ vol vs".split()
)
_INITIALS = re.compile(r"(?:[^\W\d_]\.)+")  # J., U.S., e.g.
_NUMBER = re.compile(r"\W*\d[\d.,]*\.")
# Words that begin a sentence if they are capitalised after an abbreviation or an ellipsis.
_STARTERS = frozenset(
    "a an and as at but for he his i if in it its my no on our she so that the their then there "
    "these they this those though we what when while who you your".split()
)


def count_sentences(text: str) -> int:
    """Return the number of sentences in a text. One without a word is not counted."""
    number = start = 0
    for end in _END.finditer(text):
        if not _ends_sentence(text, end):
            continue
        closing = _CLOSING.match(text, end.end())
        stop = closing.end() if closing else end.end()
        number += _WORD.search(text, start, stop) is not None
        start = stop
    return number + (_WORD.search(text, start) is not None)


def _ends_sentence(text: str, end: re.Match[str]) -> bool:
    """Return whether a mark, which can be part of an abbreviation, ends a sentence."""
    if set(end[0]) != {"."}:
        return True
    last = _LAST_WORD.search(text, max(0, end.start() - _LONGEST), end.start() + 1)
    word = last[0] if last else "."
    following = _NEXT_WORD.match(text, end.end())
    next_word = following[1] if following else ""
    if _NUMBER.fullmatch(word):
        return not next_word[:1].islower()
    if len(end[0]) > 1 or _is_abbreviation(word):
        return next_word[:1].isupper() and next_word.lower() in _STARTERS
    return True


def _is_abbreviation(word: str) -> bool:
    """Return whether a word with a final period can stand inside a sentence."""
    lowered = word.lower()
    if lowered in ("p.s.", "p.p.s."):  # the mark of a postscript stands before a sentence
        return False
    return lowered[:-1] in _ABBREVIATIONS or _INITIALS.fullmatch(word) is not None
