"""Patterns of policies, matched with RE2, which takes linear time for any pattern."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import re2

from muniment_moderation.hits import Hit, quoted
from muniment_moderation.normalise import Folded

MAX_MATCHES = 25  # per pattern; each further match may read the rest of the text again


class Patterns:
    """Compiled RE2 patterns."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """Compile the patterns. Raise ValueError that names an invalid pattern and the reason."""
        # Not an RE2 set, which would search for all patterns in one pass: it reports no match,
        # and no error, if it runs out of memory, and a filter must not pass unchecked text.
        self._compiled = [(pattern, _compile(pattern)) for pattern in patterns]

    def find(self, folded: Folded) -> Iterator[Hit]:
        """Yield the matches, at most `MAX_MATCHES` for each pattern."""
        for pattern, compiled in self._compiled:
            for match in islice(compiled.finditer(folded.text), MAX_MATCHES):
                yield Hit(*folded.span(*match.span()), f"the pattern {quoted(pattern)}")


def _compile(pattern: str) -> Any:
    """Return a compiled pattern. Raise ValueError if it is invalid or matches every text."""
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False  # the text is case-folded, but a pattern may contain [A-Z]
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(f"the pattern {quoted(pattern)} is not valid: {_reason(error)}") from None
    for char in pattern:
        if (plain := unicodedata.normalize("NFKC", char)) != char:
            raise ValueError(
                f"the pattern {quoted(pattern)} can never match its {char!r}: texts are normalised "
                f"before they are searched; write {plain!r}"
            )
    if compiled.search("") is not None:
        raise ValueError(f"the pattern {quoted(pattern)} matches the empty text, and so every text")
    return compiled


def _reason(error: re2.error) -> str:
    message = error.args[0] if error.args else "unknown error"
    return message.decode(errors="replace") if isinstance(message, bytes) else str(message)
