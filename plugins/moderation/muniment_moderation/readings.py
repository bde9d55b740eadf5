"""Readings of a text: as it is, with decoded escapes and symbols, and without markup.

A filter searches each reading, because programs and people read escaped or disguised text as well
as plain text. Each character of a reading is mapped to its position in the original text.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

from muniment_moderation.escapes import (
    CSS_ESCAPES,
    ESCAPE_BEGINNINGS,
    ESCAPES,
    MAIL_ESCAPES,
    css_meaning,
    escape_meaning,
    mail_meaning,
)
from muniment_moderation.normalise import IGNORABLE, Lookup, ascii_form

Edit = tuple[int, int, str]  # start and end of what is replaced, and the characters in its place

_MAX_DECODINGS = 3  # escapes inside escapes

# Symbols that show a letter and that Unicode's normalisation keeps: tags, which are invisible,
# white letters on a dark circle or square, and the halves of flags.
_LETTERS = {0xE0000 + code: chr(code) for code in range(0x20, 0x7F)} | {
    first + index: chr(ord("A") + index)
    for first in (0x1F150, 0x1F170, 0x1F1E6)
    for index in range(26)
}

# Control sequences of terminals (ECMA-48): with parameters, with a string, and all others. No part
# matches the first character of a sequence, so that the search takes linear time.
_TERMINAL = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9b-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)

# Invisible characters, except for tags (which `_LETTERS` replaces), white space, and the control
# characters that begin a terminal sequence, end one, or erase a character.
_INVISIBLE = re.compile(
    "[\0-\x06\x0e-\x1a\x7f\x80-\x84\x86-\x8f\x91-\x97\x99\x9a"
    + "".join(f"{chr(first)}-{chr(last)}" for first, last in IGNORABLE if first < 0xE0000)
    + "]+"
)
_ASCII_FORMS = Lookup(ascii_form)

# Elements of HTML whose content a browser does not show, or shows above the text. The end tag of
# an annotation (`rt`, `rp`) is optional.
_ASIDES = re.compile(
    r"<(?:script|style)\b[^<>]*+>.*?(?=</(?:script|style)\b|\Z)"
    r"|<r[tp]\b[^<>]*+>.*?(?=</?r(?:t|p|uby)\b|\Z)",
    re.DOTALL | re.IGNORECASE,
)

# Links and images of Markdown, and afterwards emphasis and code of Markdown, and tags of BBCode.
# The text in the group `kept` is shown. No part matches its own first character.
_LINKS = re.compile(r"!?\[(?P<kept>[^\[\]\n]*+)\]\([^()\[\n]*+\)")
_MARKS = re.compile(r"(?<!\*)(?P<mark>\*{1,3}+)(?P<kept>[^\s*](?:[^*\n]*[^\s*])?)(?P=mark)(?!\*)")
_CODE = re.compile(r"(?P<mark>`{1,2}+|~~)(?P<kept>[^`~\n]++)(?P=mark)")
_BBCODE = re.compile(
    r"\[/?(?:[bius]|url|color|size|font|sup|sub|spoiler|email)(?:[= ][^\[\]\n]*+)?(?P<kept>)\]",
    re.IGNORECASE,
)

# Tags and comments of HTML and XML. A comment without an end reaches to the end of the text, as in
# a browser. The name and the groups are possessive, and no part of a tag matches `<`: the time is
# linear.
_TAGS = re.compile(
    r"""<!---?>|<!--.*?(?:--!?>|\Z)|<!\[CDATA\[|\]\]>"""
    r"""|<[/!?]?(?P<name>[A-Za-z][A-Za-z0-9]*+)(?>"[^"<]*"|'[^'<]*'|[^<>])*+>""",
    re.DOTALL,
)
# Elements that a browser shows on a line, or in a cell, of their own.
_BREAKS = frozenset(
    "address article aside blockquote br center dd div dl dt fieldset figcaption figure footer "
    "form h1 h2 h3 h4 h5 h6 header hr li main nav ol option p pre section table td th tr ul".split()
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading of a text. Its character `i` comes from `starts[i]:ends[i]` of the original."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the start and end of `text[start:end]` in the original text, in characters."""
        if start < end:
            return self.starts[start], self.ends[end - 1]
        offset = (
            self.starts[start] if start < len(self.text) else (self.ends[-1] if self.ends else 0)
        )
        return offset, offset


def readings(text: str) -> Iterator[Reading]:
    """Yield the text itself, and its other readings where they differ.

    Each of them begins with a previous one, so that one text can be disguised in several ways.
    There are at most twelve.
    """
    reading = Reading(text, range(len(text)), range(1, len(text) + 1))
    yield reading
    reading = _cleaned(reading)  # not yielded, because the filter folds each reading
    as_css = _replace(reading, CSS_ESCAPES, ("\\",), css_meaning)
    if as_css.text != reading.text:
        yield as_css  # not decoded further: most of its escapes mean others in other languages
    decoded = yield from _steps(reading, _decoded, _with_letters, _unquoted, _without_sequences)
    shown = _replace(decoded, _ASIDES, ("<",), lambda match: "")
    for branch in (decoded, shown) if shown.text != decoded.text else (decoded,):
        yield from _steps(branch, _without_tags, _without_markup, _without_erased)


def _steps(
    reading: Reading, *steps: Callable[[Reading], Reading]
) -> Generator[Reading, None, Reading]:
    """Yield the result of each step that changes the reading. Return the last one."""
    for step in steps:
        following = step(reading)
        if following.text != reading.text:
            yield following
            reading = following
    return reading


def _cleaned(reading: Reading) -> Reading:
    """Return the reading with ASCII in place of its other forms, and without the invisible."""
    if not reading.text.isascii():
        text = reading.text.translate(_ASCII_FORMS)
        reading = Reading(text, reading.starts, reading.ends)
    return _replace(reading, _INVISIBLE, ("",), lambda match: "")


def _decoded(reading: Reading) -> Reading:
    for _ in range(_MAX_DECODINGS):
        decoded = _replace(reading, ESCAPES, ESCAPE_BEGINNINGS, escape_meaning)
        if decoded.text == reading.text:
            break
        reading = _cleaned(decoded)
    return reading


def _with_letters(reading: Reading) -> Reading:
    if reading.text.isascii():
        return reading
    return Reading(reading.text.translate(_LETTERS), reading.starts, reading.ends)


def _unquoted(reading: Reading) -> Reading:
    """Return the reading of a mail. Its lines can end inside other escapes."""
    unquoted = _replace(reading, MAIL_ESCAPES, ("=",), mail_meaning)
    return reading if unquoted is reading else _with_letters(_decoded(unquoted))


def _without_sequences(reading: Reading) -> Reading:
    return _replace(reading, _TERMINAL, "\x1b\x90\x98\x9b\x9d\x9e\x9f", lambda match: "")


def _without_tags(reading: Reading) -> Reading:
    return _replace(reading, _TAGS, "<", _tag_meaning)


def _without_markup(reading: Reading) -> Reading:
    for pattern, beginning in ((_LINKS, "["), (_BBCODE, "["), (_CODE, "`~"), (_MARKS, "*")):
        if any(char in reading.text for char in beginning):
            reading = _edited(reading, _around(pattern, reading.text))
    return reading


def _around(pattern: re.Pattern[str], text: str) -> Iterator[Edit]:
    """Yield the removal of each match except for its group `kept`."""
    for match in pattern.finditer(text):
        first, last = match.span("kept")
        yield match.start(), first, ""
        yield last, match.end(), ""


def _without_erased(reading: Reading) -> Reading:
    """Return the reading without the characters that a backspace erases."""
    if "\b" not in reading.text:
        return reading
    removed, shown = [], list[int]()
    for index, char in enumerate(reading.text):
        if char == "\b":
            removed += [index, *shown[-1:]]
            del shown[-1:]
        else:
            shown.append(index)
    return _edited(reading, ((index, index + 1, "") for index in sorted(removed)))


def _replace(
    reading: Reading,
    pattern: re.Pattern[str],
    beginnings: Sequence[str],
    meaning_of: Callable[[re.Match[str]], str | None],
) -> Reading:
    """Return a reading in which each match is replaced by its meaning, unless that is None.

    A text with matches contains one of the strings `beginnings`.
    """
    if not any(beginning in reading.text for beginning in beginnings):  # faster than the pattern
        return reading
    meanings = ((match, meaning_of(match)) for match in pattern.finditer(reading.text))
    return _edited(
        reading,
        ((*match.span(), meaning) for match, meaning in meanings if meaning is not None),
    )


def _edited(reading: Reading, edits: Iterable[Edit]) -> Reading:
    """Return a reading with other characters in some places, which are in the order of the text."""
    parts: list[str] = []
    starts, ends = array("I"), array("I")
    place = 0
    for first, last, meaning in edits:
        if first == last:
            continue
        parts += [reading.text[place:first], meaning]
        starts.extend(reading.starts[place:first])
        ends.extend(reading.ends[place:first])
        starts.extend([reading.starts[first]] * len(meaning))
        ends.extend([reading.ends[last - 1]] * len(meaning))
        place = last
    if not parts:
        return reading
    parts.append(reading.text[place:])
    starts.extend(reading.starts[place:])
    ends.extend(reading.ends[place:])
    return Reading("".join(parts), starts, ends)


def _tag_meaning(match: re.Match[str]) -> str:
    """Return a line end for the tag of an element that breaks the line, and else nothing."""
    return "\n" if (match["name"] or "").lower() in _BREAKS else ""
