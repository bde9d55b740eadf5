"""Index terms: what of a text can be searched for, and what a query means.

Words of scripts that put spaces between them are terms as they are, lower-cased. Scripts that
do not (Chinese, Japanese, Thai, ...) give every character and every pair of neighbours, so that a
word of one or two characters is found without a dictionary. Compatibility forms such as full-width
letters count as what they stand for (NFKC).
"""

from __future__ import annotations

import operator
import re
import unicodedata
from collections.abc import Iterable

INDEXED = 256 * 1024  # bytes of UTF-8 of each text that are indexed
LONGEST = 64  # characters of a word that are told apart

# Scripts without spaces between words; Hangul is written in phrases, so it belongs here too.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u3098\u309d-\u30ff"
    "\u3100-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
# Marks that belong to the letter before them; `\w` leaves them out.
MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u0670\u0900-\u0dff\u3099\u309a"
LETTER = rf"[^\W_{_UNSPACED}]"
_TEXT = re.compile(rf"(?:[^\W_]|[{_UNSPACED}])(?:[^\W_]|[{_UNSPACED}{MARKS}])*")
_PARTS = re.compile(rf"({LETTER}(?:{LETTER}|[{MARKS}])*)|([{_UNSPACED}]+)")
_ASCII = bytes(
    ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else ord(" ")
    for code in range(256)
)


def terms(texts: Iterable[str]) -> set[str]:
    """Return the terms that texts are found by."""
    found: set[str] = set()
    for text in texts:
        text = beginning(text)
        if text.isascii():
            found.update(text.encode().translate(_ASCII).decode().split())
            continue
        for word, run in parts(text):
            if word:
                found.add(word)
            else:
                found.update(run)
                found.update(map(operator.add, run, run[1:]))
    if found and len(max(found, key=len)) > LONGEST:
        found = {term[:LONGEST] for term in found}
    return found


def parts(text: str) -> list[tuple[str, str]]:
    """Return the words and unspaced runs of a text in order, as pairs of which one is empty."""
    # Punctuation is left out first: most of what NFKC changes in Chinese texts is commas.
    words = " ".join(_TEXT.findall(text))
    return _PARTS.findall(folded(words))


def folded(text: str) -> str:
    """Return a text as it is compared: compatibility forms and case do not matter."""
    if text.isascii():
        return text.lower()
    if not unicodedata.is_normalized("NFKC", text):
        text = unicodedata.normalize("NFKC", text)
    return text.casefold()


def beginning(text: str) -> str:
    """Return as much of a text as is indexed."""
    if len(text) * 4 <= INDEXED or (text.isascii() and len(text) <= INDEXED):
        return text
    return text[:INDEXED].encode()[:INDEXED].decode(errors="ignore")
