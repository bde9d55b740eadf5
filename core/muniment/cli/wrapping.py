"""Text broken into lines for a terminal: between words, and between Chinese characters."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

from rich.cells import cell_len, chop_cells, set_cell_size

LONG = 30  # cells of the longest word that is never folded, such as an id (26) or a date

# Line breaking of Chinese text (GB/T 15834, W3C clreq): marks that no line begins or ends with.
_WIDE_CLOSING, _CLOSING = "。，、；：？！）》〉」』】〕．", "”’％…—·,.;:?!)]}"
_WIDE_OPENING, _OPENING = "（《〈「『【〔", "“‘([{"
NOT_FIRST = _WIDE_CLOSING + _CLOSING

_OPEN = f"[{re.escape(_WIDE_OPENING + _OPENING)}]{{0,9}}"  # without a limit, quadratic time
_CLOSE = f"[{re.escape(NOT_FIRST)}]*"
# A line may end on both sides of a Chinese, Japanese or Korean character.
_ANYWHERE = (
    f"(?![{re.escape(NOT_FIRST + _WIDE_OPENING)}])"
    "[\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff01-\uff60\U00020000-\U0003fffd]"
)
_START = f"{_OPEN}(?:{_ANYWHERE}|[{_WIDE_OPENING}])"
_WORD_END = f"[{_WIDE_CLOSING}]{_CLOSE}"
_WORD = f"(?:(?:(?!{_START})[^ {_WIDE_CLOSING}])+(?:{_WORD_END})?|{_WORD_END})"
_PART = re.compile(
    f" +|{_OPEN}{_ANYWHERE}[{_WIDE_CLOSING}”’％…—·]*(?:[,.;:?!)\\]}}]{_WORD}?)?"
    f"|{_OPEN}[{_WIDE_OPENING}]{_OPEN}{_WORD}?|{_WORD}"
)


def parts(line: str) -> list[str]:
    """Return the spaces of a line, and the parts between them that no line break divides."""
    return _PART.findall(line)


def terminal_width() -> int:
    """Return the number of cells in a line of the terminal."""
    return shutil.get_terminal_size().columns


def least_width(text: str) -> int:
    """Return the number of cells of the longest part that `wrapped` does not break.

    Long words count as whole, though `wrapped` folds those that are longer than a line.
    """
    found = (part for line in text.split("\n") for part in parts(line))
    return max((cell_len(part) for part in found if part.strip(" ")), default=0)


def wrapped(text: str, width: int) -> list[str]:
    """Return the lines of a text, of at most `width` cells.

    A word that is too long for a line is folded if it is long, such as a digest. Other words stay
    whole, so that their line is longer.
    """
    lines = []
    for line in text.split("\n"):
        current, used = "", 0
        for part in _parts(line, width):
            size = cell_len(part)
            if used + size > width and current.strip(" "):
                lines.append(current.rstrip(" "))
                current, used = "", 0
                if part.startswith(" "):
                    continue
            current, used = current + part, used + size
        lines.append(current.rstrip(" "))
    return lines


def _parts(line: str, width: int) -> Iterator[str]:
    """Yield the words and the spaces of a line, with long words folded to `width` cells."""
    for part in parts(line):
        if cell_len(part) > max(width, LONG) and part.strip(" "):
            yield from chop_cells(part, max(width, 1))
        else:
            yield part


def shortened(text: str, width: int) -> str:
    """Return the beginning of a line that fits into `width` cells, with an ellipsis if cut."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(width - 1, 0)).rstrip(" ") + "…"
