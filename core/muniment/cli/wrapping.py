"""Text broken into lines for a terminal, between words only."""

from __future__ import annotations

import re
import shutil

from rich.cells import cell_len, set_cell_size

# A Chinese, Japanese or Korean character, after which a line may end, with punctuation after it.
_TOKEN = re.compile(
    "[\u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff01-\uff60\U00020000-\U0003fffd]"
    "[\u3001\u3002\uff01\uff09\uff0c\uff0e\uff1a\uff1b\uff1f\u300b\u300d\u300f\u3011\u201d\u2019]*"
    "| +"
    "|[^ \u1100-\u11ff\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff01-\uff60\U00020000-\U0003fffd]+"
)


def terminal_width() -> int:
    """Return the number of cells in a line of the terminal."""
    return shutil.get_terminal_size().columns


def least_width(text: str) -> int:
    """Return the number of cells of the longest part that `wrapped` does not break."""
    parts = (part for line in text.split("\n") for part in _TOKEN.findall(line))
    return max((cell_len(part) for part in parts if part.strip(" ")), default=0)


def wrapped(text: str, width: int) -> list[str]:
    """Return the lines of a text, of at most `width` cells unless a word is longer."""
    lines = []
    for line in text.split("\n"):
        current, used = "", 0
        for part in _TOKEN.findall(line):
            size = cell_len(part)
            if used + size > width and current.strip(" "):
                lines.append(current.rstrip(" "))
                current, used = "", 0
                if part.startswith(" "):
                    continue
            current, used = current + part, used + size
        lines.append(current.rstrip(" "))
    return lines


def shortened(text: str, width: int) -> str:
    """Return the beginning of a line that fits into `width` cells, with an ellipsis if cut."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(width - 1, 0)).rstrip(" ") + "…"
