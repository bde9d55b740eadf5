"""Patterns of policies, matched with RE2, which takes linear time for any pattern."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import re2

from muniment_moderation.hits import Hit, quoted
from muniment_moderation.normalise import Folded, extends_cluster, fold

_HEXADECIMAL = re.compile(r"\\x(?:\{([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{2}))")
# Escapes and classes, in which each character is itself, or else flags that end with `-i`, and an
# anchor that follows or precedes a letter on the wrong side. A letter that can be absent is none.
_SYNTAX = re.compile(
    r"\\Q.*?(?:\\E|\Z)|\\.|\[\^?\]?(?:\\.|\[:[^\]]*:\]|[^\]\\])*+\]"
    r"|(?P<sensitive>\(\?[A-Za-z]*-[A-Za-z]*i)"
    r"|(?P<anchor>\w\^|\$\w(?![*?{]))",
    re.DOTALL,
)
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
    if any(match["sensitive"] for match in _SYNTAX.finditer(pattern)):
        raise ValueError(
            f"the pattern {quoted(pattern)} is case-sensitive, but texts are case-folded before "
            "they are searched; remove the flag"
        )
    for match in _SYNTAX.finditer(pattern):
        if match["anchor"]:
            raise ValueError(
                f"the pattern {quoted(pattern)} can never match its {match['anchor']!r}: ^ is the "
                "start of the text and $ its end; write \\^ or \\$ for the character, or remove it"
            )
    for cluster in _clusters(_HEXADECIMAL.sub(_character, pattern)):
        if (folded := fold(cluster).text) not in (cluster, cluster.lower()):
            raise ValueError(
                f"the pattern {quoted(pattern)} can never match its {cluster!r}: texts are "
                "normalised before they are searched; "
                + (f"write {folded!r}" if folded else "remove it")
            )
    if compiled.search("") is not None:
        raise ValueError(f"the pattern {quoted(pattern)} matches the empty text, and so every text")
    return compiled


def _character(escape: re.Match[str]) -> str:
    """Return the character of a hexadecimal escape. RE2 has refused those beyond Unicode."""
    return chr(int(escape[1] or escape[2], 16))


def _clusters(text: str) -> Iterator[str]:
    """Yield the parts of a text that are folded together."""
    cluster = ""
    for char in text:
        if cluster and not extends_cluster(char):
            yield cluster
            cluster = ""
        cluster += char
    if cluster:
        yield cluster


def _reason(error: re2.error) -> str:
    message = error.args[0] if error.args else "unknown error"
    return message.decode(errors="replace") if isinstance(message, bytes) else str(message)
