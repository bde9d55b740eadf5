"""Write tables as Markdown in which no text has a meaning of its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# Characters of links, emphasis, code, headings, mathematics and columns, and those that turn
# addresses into links without any markup. HTML is escaped by entities, which all renderers read.
_MARKUP = re.compile(r"[\\`*_\[\]#|~@$]|:(?=//)|(?<=www)\.")
_HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def escape(value: object) -> str:
    """Return a value as one line of Markdown that displays exactly its text."""
    text = " ".join(str(value).split())
    escaped = _MARKUP.sub(r"\\\g<0>", text)
    return "".join(_HTML.get(character, character) for character in escaped)


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table. A column whose first cell is a number is aligned to the right."""
    cells = [[*row] for row in rows]
    numeric = [isinstance(value, int | float) for value in cells[0]] if cells else []
    rules = ["---:" if right else "---" for right in numeric] or ["---"] * len(headers)
    lines = [map(escape, headers), rules, *(map(escape, row) for row in cells)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
