"""Text broken into lines for a terminal: between words, and between Chinese characters."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator

from rich.cells import cell_len, chop_cells, set_cell_size

from muniment.line_breaking import parts

_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")  # a ULID, which a user copies
_JOINT = re.compile(r"(?<=\w)[-_./:,@](?=\w{1,8}$)")  # a better end of a piece within a word

LONG = 30  # cells of the longest word that is never folded, such as an id (26) or a date


def terminal_width() -> int:
    """Return the number of cells in a line of the terminal."""
    return shutil.get_terminal_size().columns


def least_width(text: str, longest: int | None = None) -> int:
    """Return the number of cells of the longest part that `wrapped` does not break.

    Words that can be folded count as `longest` cells, or as whole if it is None.
    """
    found = (part for line in text.split("\n") for part in parts(line) if part.strip(" "))
    return max((_least_part(part, longest) for part in found), default=0)


def _least_part(part: str, longest: int | None) -> int:
    width = cell_len(part)
    return width if longest is None or _ID.fullmatch(part) else min(width, longest)


def wrapped(text: str, width: int, longest: int = LONG) -> list[str]:
    """Return the lines of a text, of at most `width` cells.

    A word that is too long for a line, such as a digest, is folded. Ids and words of at most
    `longest` cells stay whole, so that their line is longer.
    """
    lines = []
    for line in text.split("\n"):
        current, used = "", 0
        for part in _parts(line, width, longest):
            size = cell_len(part)
            if used + size > width and current.strip(" "):
                lines.append(current.rstrip(" "))
                current, used = "", 0
                if part.startswith(" "):
                    continue
            current, used = current + part, used + size
        lines.append(current.rstrip(" "))
    return lines


def _parts(line: str, width: int, longest: int) -> Iterator[str]:
    """Yield the words and the spaces of a line, with long words folded to `width` cells."""
    for part in parts(line):
        long = cell_len(part) > max(width, longest) and part.strip(" ")
        if long and not _ID.fullmatch(part):
            yield from _folded(part, max(width, 1))
        else:
            yield part


def _folded(word: str, width: int) -> Iterator[str]:
    """Yield the pieces of a word, which end after a hyphen or the like if it is near the end."""
    while cell_len(word) > width:
        piece = chop_cells(word, width)[0] or word[0]  # a character of 2 cells in a line of 1
        if mark := _JOINT.search(piece):
            piece = piece[: mark.end()]
        yield piece
        word = word[len(piece) :]
    if word:
        yield word


def shortened(text: str, width: int) -> str:
    """Return the beginning of a line that fits into `width` cells, with an ellipsis if cut."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(width - 1, 0)).rstrip(" ") + "…"
