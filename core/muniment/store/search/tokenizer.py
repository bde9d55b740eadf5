"""Split texts and search texts into the terms of the search index.

In scripts with spaces between words, each word is a term, in lower case. In scripts without them,
such as Chinese, Japanese and Thai, each character and each pair of adjacent characters is a term.
Words of one or two characters are therefore found without a dictionary. Compatibility forms such as
full-width letters are normalised (NFKC).
"""

from __future__ import annotations

import operator
import re
import unicodedata
from collections.abc import Iterable

MAX_INDEXED_BYTES = 256 * 1024  # bytes of UTF-8; the rest of a text is not indexed
MAX_TERM_CHARACTERS = 64  # longer words are cut to this length

# Scripts without spaces between words. Hangul has spaces between phrases only, so it is included.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u3098\u309d-\u30ff"
    "\u3100-\u312f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
# Marks that belong to the letter before them; `\w` does not match them.
MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u0670\u0900-\u0dff\u3099\u309a"
# Symbols that NFKC replaces by letters, such as ㈱ and ™; `\w` does not match them.
_SYMBOLS = (
    "\u20a8\u2100-\u214f\u249c-\u24e9\u3196-\u319f\u3200-\u33ff\ufdfc\uff65\U0001f110-\U0001f251"
)
LETTER = rf"[^\W_{_UNSPACED}]"
# U+037A is a letter that NFKC replaces by a space and a mark.
_FIRST = rf"[^\W_\u037a]|[{_UNSPACED}{_SYMBOLS}]"
_TEXT = re.compile(rf"(?:{_FIRST})(?:{_FIRST}|[{MARKS}])*")
_PARTS = re.compile(rf"({LETTER}(?:{LETTER}|[{MARKS}])*)|([{_UNSPACED}]+)")
_ASCII = bytes(
    ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else ord(" ")
    for code in range(256)
)


def terms(texts: Iterable[str]) -> set[str]:
    """Return the terms of texts."""
    result: set[str] = set()
    for text in texts:
        text = truncate(text)
        if text.isascii():
            result.update(text.encode().translate(_ASCII).decode().split())
            continue
        for word, run in words_and_runs(text):
            if word:
                result.add(word)
            else:
                result.update(run)
                result.update(map(operator.add, run, run[1:]))
    if max(map(len, result), default=0) > MAX_TERM_CHARACTERS:
        result = {term[:MAX_TERM_CHARACTERS] for term in result}
    return result


def words_and_runs(text: str) -> list[tuple[str, str]]:
    """Return the words, and the runs of unspaced scripts, of a text in order.

    Each is a pair (word, run), one of which is empty.
    """
    # Punctuation is removed first: most characters that NFKC changes in Chinese texts are commas.
    words = " ".join(_TEXT.findall(text))
    return _PARTS.findall(fold(words))


def fold(text: str) -> str:
    """Return a text for comparison, normalised with NFKC and case-folded."""
    if text.isascii():
        return text.lower()
    if not unicodedata.is_normalized("NFKC", text):
        text = unicodedata.normalize("NFKC", text)
    return text.casefold()


def truncate(text: str) -> str:
    """Return the first `MAX_INDEXED_BYTES` of a text, without a partial character."""
    if len(text) * 4 <= MAX_INDEXED_BYTES or (text.isascii() and len(text) <= MAX_INDEXED_BYTES):
        return text
    return text[:MAX_INDEXED_BYTES].encode()[:MAX_INDEXED_BYTES].decode(errors="ignore")
