"""Line breaking of Chinese and English text by the cells of a terminal."""

from __future__ import annotations

import re

from rich.cells import cell_len

# Line breaking of Chinese text (GB/T 15834, W3C clreq): marks that no line begins or ends with.
_WIDE_CLOSING, _CLOSING = "。，、；：？！）》〉」』】〕．", "”’％…—·,.;:?!)]}"
_WIDE_OPENING, _OPENING = "（《〈「『【〔", "“‘([{"
_NOT_FIRST = _WIDE_CLOSING + _CLOSING

# A straight quote after a space or a mark, and before a character, opens a quotation.
_CLOSING_QUOTE = "(?:(?<=\\w)[\"']|[\"'](?!\\w))"
_OPEN = (  # without a limit, quadratic time
    f"(?:[{re.escape(_WIDE_OPENING + _OPENING)}]|(?<!\\w)[\"']){{0,9}}"
)
_CLOSE = f"[{re.escape(_NOT_FIRST)}]*"
# A line may end on both sides of a Chinese, Japanese or Korean character.
_ANYWHERE = (
    f"(?![{re.escape(_NOT_FIRST + _WIDE_OPENING)}])"
    "[\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff01-\uff60\U00020000-\U0003fffd]"
)
_START = f"{_OPEN}(?:{_ANYWHERE}|[{_WIDE_OPENING}])"
_WORD_END = f"[{_WIDE_CLOSING}]{_CLOSE}"
_WORD = f"(?:(?:(?!{_START})[^ {_WIDE_CLOSING}])+(?:{_WORD_END})?|{_WORD_END})"
_PART = re.compile(
    f" +|{_OPEN}{_ANYWHERE}(?:[{_WIDE_CLOSING}”’％…—·]|{_CLOSING_QUOTE})*"
    f"(?:[,.;:?!)\\]}}]{_WORD}?)?"
    f"|{_OPEN}[{_WIDE_OPENING}]{_OPEN}{_WORD}?|{_WORD}"
)


def parts(line: str) -> list[str]:
    """Return the spaces of a line, and the parts between them that no line break divides."""
    return _PART.findall(line)


def wrap(text: str, width: int, indent: str = "", first: str | None = None) -> list[str]:
    """Return the lines of a paragraph, each at most `width` cells, with their indent.

    Lines are broken at spaces and between Chinese characters. A longer word is divided.
    `first` is the indent of the first line.
    """
    lines: list[str] = []
    line = indent if first is None else first
    gap = ""
    for part in parts(re.sub(r"\s", " ", text.strip())):
        if part.isspace():
            gap = part
            continue
        piece = part
        if cell_len(line + gap + piece) > width and line != indent:
            lines.append(line.rstrip())
            line = indent
        else:
            line += gap
        while cell_len(line + piece) > width:
            number = _fitting(piece, max(width - cell_len(line), 2))
            lines.append(line + piece[:number])
            piece, line = piece[number:], indent
        line += piece
        gap = ""
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


def _fitting(text: str, width: int) -> int:
    """Return how many characters of a longer text fit into `width` cells, at least one."""
    number = used = 0
    while used + cell_len(text[number]) <= width:
        used += cell_len(text[number])
        number += 1
    while number > 1 and text[number] in _NOT_FIRST:
        number -= 1
    return max(number, 1)
