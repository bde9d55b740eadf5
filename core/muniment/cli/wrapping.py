"""Text broken into lines for a terminal: between words, and between Chinese characters."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from rich.cells import cell_len, chop_cells, set_cell_size

from muniment.line_breaking import parts

LONG = 30  # cells of the longest word that is never folded, such as an id (26) or a date


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
