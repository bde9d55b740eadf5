"""Patterns that policy authors write, run on RE2: linear time, whatever the pattern."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import re2

from muniment_moderation.hits import Hit, quoted
from muniment_moderation.normalise import Folded

MOST_A_PATTERN = 25  # each further match may read the rest of the text again


class Patterns:
    """Compiled patterns, each searched by itself.

    An RE2 set would read the text once for all of them, but finds nothing, and says nothing of
    it, when its memory does not suffice: a filter must not pass what it could not judge.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        """Compile; raises ValueError naming a pattern that cannot be used, and why."""
        self._compiled = [(pattern, _compiled(pattern)) for pattern in patterns]

    def find(self, folded: Folded) -> Iterator[Hit]:
        """Yield where patterns match, at most `MOST_A_PATTERN` times each."""
        for pattern, compiled in self._compiled:
            for match in islice(compiled.finditer(folded.text), MOST_A_PATTERN):
                yield Hit(*folded.span(*match.span()), f"the pattern {quoted(pattern)}")


def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False  # text is case-folded; so may `[A-Z]` in a pattern be meant
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(
            f"the pattern {quoted(pattern)} is not valid: {_explained(error)}"
        ) from None
    for char in pattern:
        if (plain := unicodedata.normalize("NFKC", char)) != char:
            raise ValueError(
                f"the pattern {quoted(pattern)} can never match its {char!r}: texts are normalised "
                f"before they are searched; write {plain!r}"
            )
    if compiled.search("") is not None:
        raise ValueError(f"the pattern {quoted(pattern)} matches the empty text, and so every text")
    return compiled


def _explained(error: re2.error) -> str:
    said = error.args[0] if error.args else "unknown error"
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)
