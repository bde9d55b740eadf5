"""Patterns of policies, matched with RE2, which takes linear time for any pattern."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import re2

from muniment_moderation.hits import Hit, quoted
from muniment_moderation.normalise import Folded, fold

_HEXADECIMAL = re.compile(r"\\x(?:\{([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{2}))")
_CASE_SENSITIVE = re.compile(r"\(\?[A-Za-z]*-[A-Za-z]*i")
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
    if len(pattern.splitlines()) > 1 or pattern.endswith("\n"):
        raise ValueError(f"the pattern {quoted(pattern)} has a line end; write it on one line")
    if _CASE_SENSITIVE.search(pattern):
        raise ValueError(
            f"the pattern {quoted(pattern)} is case-sensitive, but texts are case-folded before "
            "they are searched; remove the flag"
        )
    for char in _literals(pattern):
        if (folded := fold(char).text) not in (char, char.lower()):
            raise ValueError(
                f"the pattern {quoted(pattern)} can never match its {char!r}: texts are normalised "
                f"before they are searched; write {folded!r}"
            )
    if compiled.search("") is not None:
        raise ValueError(f"the pattern {quoted(pattern)} matches the empty text, and so every text")
    return compiled


def _literals(pattern: str) -> Iterator[str]:
    """Yield the characters of a pattern, and those that it writes as hexadecimal escapes."""
    yield from pattern
    for braced, plain in _HEXADECIMAL.findall(pattern):
        with suppress(ValueError):
            yield chr(int(braced or plain, 16))


def _reason(error: re2.error) -> str:
    message = error.args[0] if error.args else "unknown error"
    return message.decode(errors="replace") if isinstance(message, bytes) else str(message)
