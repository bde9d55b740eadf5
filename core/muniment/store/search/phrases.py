"""What a search asks for, and where in a text it stands.

A query is words; all must be there. What is between quotes must stand together, and so must what
is written without a space, such as a Chinese phrase or `GPT-4`. Nothing in a query is an operator.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from muniment.store.search.tokenizer import LETTER, LONGEST, MARKS, folded, parts, terms

BEFORE = 30  # characters that a snippet shows before what was found
LENGTH = 120  # characters of a snippet
MOST = 3  # snippets of one generation
_HIGHLIGHTS = 20  # in one snippet

_PIECES = re.compile(r'["“”]([^"“”]*)["“”]?|([^\s"“”]+)')
_BETWEEN = r"[\W_]"
_COMBINING = re.compile(rf"[{MARKS}\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff]")
_CLUSTER = re.compile(rf"(?s:.)[{MARKS}]*")


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that stand together: the terms they are found by, and a pattern for folded texts.

    `exact` says that a text with the terms has the phrase: there is one only.
    """

    terms: frozenset[str]
    pattern: re.Pattern[str]
    exact: bool


@dataclass(frozen=True, slots=True)
class Snippet:
    """A part of a text with what was found in it.

    `source` is what the text is: `prompt`, `system`, `output`, `reason` or `failure`. `highlights`
    are offsets in `text` in characters, ends excluded.
    """

    source: str
    text: str
    highlights: tuple[tuple[int, int], ...]


def phrases(query: str) -> tuple[Phrase, ...]:
    """Return what a query asks for; nothing where it holds no letter and no digit."""
    found = (
        _phrase(quoted or bare) for quoted, bare in _PIECES.findall(query) if parts(quoted or bare)
    )
    return tuple({phrase.pattern.pattern: phrase for phrase in found}.values())


def _phrase(piece: str) -> Phrase:
    pattern, before = "", ""
    given = parts(piece)
    for word, run in given:
        kind = "word" if word else "run"
        if before:
            pattern += _BETWEEN + ("+" if kind == before == "word" else "*")
        pattern += (
            rf"(?<!{LETTER}){re.escape(word)}(?!{LETTER}|[{MARKS}])" if word else re.escape(run)
        )
        before = kind
    word, run = given[0]
    exact = len(given) == 1 and (len(word) <= LONGEST if word else len(run) <= 2)
    asked = terms([piece])
    if not exact:
        # A pair tells more than its characters, which would only be looked up besides.
        pairs = [run for _, run in given if len(run) > 1]
        asked -= {character for run in pairs for character in run if len(run) > 1}
        asked |= {run for _, run in given if len(run) == 1}
    elif len(run) == 2:
        asked = {run}
    return Phrase(frozenset(asked), re.compile(pattern), exact)


def holds(texts: Iterable[str], wanted: Sequence[Phrase]) -> bool:
    """Whether every phrase stands in one of the texts."""
    left = list(wanted)
    for text in texts:
        if left:
            there = folded(text)
            left = [phrase for phrase in left if phrase.pattern.search(there) is None]
    return not left


def snippets(texts: Iterable[tuple[str, str]], wanted: Sequence[Phrase]) -> tuple[Snippet, ...]:
    """Return parts of texts, given with what they are, that show each phrase once if possible."""
    left = list(wanted)
    found: list[Snippet] = []
    for source, text in texts:
        there = folded(text)
        while left and len(found) < MOST:
            first = [m for phrase in left if (m := phrase.pattern.search(there))]
            if not first:
                break
            snippet, shown = _snippet(source, text, there, min(m.start() for m in first), wanted)
            found.append(snippet)
            still = [phrase for phrase in left if phrase not in shown]
            if len(still) == len(left):
                break
            left = still
    return tuple(found)


def _snippet(
    source: str, text: str, there: str, at: int, wanted: Sequence[Phrase]
) -> tuple[Snippet, list[Phrase]]:
    """Cut a snippet from the original `text` around offset `at` of its folded form."""
    original = _offsets(text, there)
    start = max(0, original[at] - BEFORE)
    end = min(len(text), start + LENGTH)
    low, high = at, at
    while low > 0 and original[low - 1] >= start:
        low -= 1
    while high < len(there) and original[high] < end:
        high += 1
    spans: list[tuple[int, int]] = []
    shown: list[Phrase] = []
    for phrase in wanted:
        # What begins before the end may go on after it; the snippet then ends with it.
        for match in phrase.pattern.finditer(there, low):
            if match.start() >= high or len(spans) >= _HIGHLIGHTS:
                break
            if phrase not in shown:
                shown.append(phrase)
            spans.append((original[match.start()], original[match.end()]))
    end = max(end, min(max((stop for _, stop in spans), default=end), start + 2 * LENGTH))
    return (
        Snippet(
            source,
            ("…" if start else "") + text[start:end] + ("…" if end < len(text) else ""),
            tuple(_joined(spans, start - bool(start), end)),
        ),
        shown,
    )


def _joined(spans: Iterable[tuple[int, int]], start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the spans in order, relative to `start`, those that overlap as one."""
    low = high = -1
    for first, last in sorted(spans):
        last = min(last, end)
        if first > high and high >= 0:
            yield low - start, high - start
            low = first
        elif high < 0:
            low = first
        high = max(high, last)
    if high >= 0:
        yield low - start, high - start


def _offsets(text: str, there: str) -> Sequence[int]:
    """Return for every offset of the folded text, its end included, the one in the original."""
    if len(text) == len(there) and not _COMBINING.search(text):
        return range(len(text) + 1)
    found: list[int] = []
    for match in _CLUSTER.finditer(text):
        found += [match.start()] * len(folded(match[0]))
    found = found[: len(there)] + [len(text)] * (len(there) - len(found))
    return [*found, len(text)]
