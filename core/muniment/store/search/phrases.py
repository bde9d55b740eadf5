"""Parse search texts into phrases, and find phrases in the texts of generations.

A generation must contain every phrase. A phrase is a quoted part, or a part without a space such as
`GPT-4` or a Chinese expression. A search text has no operators.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from muniment.representation import showing
from muniment.store.search.tokenizer import (
    LETTER,
    MARKS,
    MAX_TERM_CHARACTERS,
    fold,
    terms,
    words_and_runs,
)

LEADING_CHARACTERS = 30  # of context in a snippet, before its first match
SNIPPET_CHARACTERS = 120
MAX_SNIPPETS = 3  # of one generation
_MAX_HIGHLIGHTS = 20  # in one snippet

_QUOTED_OR_BARE = re.compile(r'["“”]([^"“”]*)["“”]?|([^\s"“”]+)')
_BETWEEN = r"[\W_]"
_COMBINING = re.compile(rf"[{MARKS}\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff]")
_CLUSTER = re.compile(rf"(?s:.)[{MARKS}]*")


@dataclass(frozen=True, slots=True)
class Phrase:
    """Adjacent words to search for.

    Attributes:
        terms: The terms that the search index must have.
        pattern: The pattern that matches the phrase in folded texts.
        exact: Whether a text with the terms always contains the phrase, which then has one term.
    """

    terms: frozenset[str]
    pattern: re.Pattern[str]
    exact: bool


@dataclass(frozen=True, slots=True)
class Snippet:
    """A part of a text that shows matches.

    Attributes:
        source: The source of the text: `prompt`, `system`, `input`, `output`, `reason` or
            `failure`.
        text: The part of the text, with "…" at an end where the text goes on. Of an output of JSON,
            it is a part of the strings of one object, if they match.
        highlights: Start and end (excluded) of matches, as character offsets in `text`.
    """

    source: str
    text: str
    highlights: tuple[tuple[int, int], ...]

    __repr__ = showing()


def phrases(text: str) -> tuple[Phrase, ...]:
    """Return the distinct phrases of a search text, or none if it has no letter or digit."""
    parsed = (
        _parse_phrase(quoted or bare)
        for quoted, bare in _QUOTED_OR_BARE.findall(text)
        if words_and_runs(quoted or bare)
    )
    return tuple({phrase.pattern.pattern: phrase for phrase in parsed}.values())


def _parse_phrase(text: str) -> Phrase:
    pattern, previous = "", ""
    parts = words_and_runs(text)
    for word, run in parts:
        kind = "word" if word else "run"
        if previous:
            pattern += _BETWEEN + ("+" if kind == previous == "word" else "*")
        pattern += (
            rf"(?<!{LETTER}){re.escape(word)}(?!{LETTER}|[{MARKS}])" if word else re.escape(run)
        )
        previous = kind
    word, run = parts[0]
    exact = len(parts) == 1 and (len(word) <= MAX_TERM_CHARACTERS if word else len(run) <= 2)
    required = terms([text])
    if not exact:
        # A pair is more selective than its two characters, which need no lookup of their own.
        pairs = [run for _, run in parts if len(run) > 1]
        required -= {character for run in pairs for character in run if len(run) > 1}
        required |= {run for _, run in parts if len(run) == 1}
    elif len(run) == 2:
        required = {run}
    return Phrase(frozenset(required), re.compile(pattern), exact)


def contain_all(texts: Iterable[str], query_phrases: Sequence[Phrase]) -> bool:
    """Return whether each phrase occurs in at least one of the texts."""
    missing = list(query_phrases)
    for text in texts:
        if missing:
            folded = fold(text)
            missing = [phrase for phrase in missing if phrase.pattern.search(folded) is None]
    return not missing


def snippets(
    texts: Iterable[tuple[str, str]], query_phrases: Sequence[Phrase]
) -> tuple[Snippet, ...]:
    """Return up to `MAX_SNIPPETS` snippets that show each phrase once, if possible.

    `texts` are pairs of a source and a text, as `shown_texts` yields them.
    """
    missing = list(query_phrases)
    cut: list[Snippet] = []
    for source, text in texts:
        folded = fold(text)
        while missing and len(cut) < MAX_SNIPPETS:
            matches = [m for phrase in missing if (m := phrase.pattern.search(folded))]
            if not matches:
                break
            at = min(match.start() for match in matches)
            snippet, shown = _cut_snippet(source, text, folded, at, query_phrases)
            cut.append(snippet)
            still_missing = [phrase for phrase in missing if phrase not in shown]
            if len(still_missing) == len(missing):
                break
            missing = still_missing
    return tuple(cut)


def _cut_snippet(
    source: str, text: str, folded: str, at: int, query_phrases: Sequence[Phrase]
) -> tuple[Snippet, list[Phrase]]:
    """Return a snippet of `text` around offset `at` of its folded form, and the phrases in it."""
    original = _original_offsets(text, folded)
    start = max(0, original[at] - LEADING_CHARACTERS)
    end = min(len(text), start + SNIPPET_CHARACTERS)
    low, high = at, at
    while low > 0 and original[low - 1] >= start:
        low -= 1
    while high < len(folded) and original[high] < end:
        high += 1
    spans: list[tuple[int, int]] = []
    shown: list[Phrase] = []
    for phrase in query_phrases:
        # A match that begins in the snippet may end after it; the snippet is then extended.
        for match in phrase.pattern.finditer(folded, low):
            if match.start() >= high or len(spans) >= _MAX_HIGHLIGHTS:
                break
            if phrase not in shown:
                shown.append(phrase)
            spans.append((original[match.start()], original[match.end()]))
    end = max(
        end, min(max((stop for _, stop in spans), default=end), start + 2 * SNIPPET_CHARACTERS)
    )
    return (
        Snippet(
            source,
            ("…" if start else "") + text[start:end] + ("…" if end < len(text) else ""),
            tuple(_merge_overlapping(spans, start - bool(start), end)),
        ),
        shown,
    )


def _merge_overlapping(
    spans: Iterable[tuple[int, int]], start: int, end: int
) -> Iterator[tuple[int, int]]:
    """Yield the spans in order, merged, cut at `end` and relative to `start`."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1]:
            first, other_last = merged.pop()
            last = max(last, other_last)
        merged.append((first, last))
    return ((first - start, min(last, end) - start) for first, last in merged)


def _original_offsets(text: str, folded: str) -> Sequence[int]:
    """Return the offset in the original text for each offset in the folded text and its end."""
    if len(text) == len(folded) and not _COMBINING.search(text):
        return range(len(text) + 1)
    offsets: list[int] = []
    for match in _CLUSTER.finditer(text):
        offsets += [match.start()] * len(fold(match[0]))
    offsets = offsets[: len(folded)] + [len(text)] * (len(folded) - len(offsets))
    return [*offsets, len(text)]
