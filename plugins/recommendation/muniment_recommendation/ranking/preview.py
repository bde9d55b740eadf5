"""A ranked list as a table for a terminal, with its reasons."""

from __future__ import annotations

import re

from rich.cells import cell_len, set_cell_size

from .document import RankedItem, Ranking, reasons

_GAP = "  "
_LEAST_TITLE = 12  # cells
_MOST_REASONS = 3

# Controls that a terminal acts on: codes, line ends, and the direction of writing.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def table(ranking: Ranking, columns: int) -> str:
    """Return the list as lines of at most this many cells: rank, score, title and reasons.

    Long titles are shortened. A narrow terminal gets no reasons, then no scores.
    """
    lines = [escaped(note) for note in ranking.notes]
    if not ranking.items:
        return "\n".join(_cut(line, columns) for line in [*lines, "no items"])
    ranks = [str(rank) for rank in range(1, len(ranking.items) + 1)]
    scores = [f"{item.score:.3f}" for item in ranking.items]
    titles = [escaped(item.title) for item in ranking.items]
    because = [_because(ranking, item) for item in ranking.items]
    fixed = [_column("#", ranks), _column("score", scores)]
    remaining = columns - sum(cell_len(column[0]) + len(_GAP) for column in fixed)
    if remaining < _LEAST_TITLE:
        del fixed[1]
        remaining = columns - cell_len(fixed[0][0]) - len(_GAP)
    widest = max(cell_len(title) for title in ["title", *titles])
    if any(because) and remaining >= 3 * _LEAST_TITLE:
        width = min(widest, max(_LEAST_TITLE, remaining // 2))
        texts = [
            _filled(title, width) + _GAP + why for title, why in zip(titles, because, strict=True)
        ]
        header = _filled("title", width) + _GAP + "because of"
    else:
        texts, header = titles, "title"
    rows = zip(*fixed, [header, *texts], strict=True)
    return "\n".join(
        _cut(line, columns) for line in [*lines, *(_GAP.join(row).rstrip() for row in rows)]
    )


def escaped(text: str) -> str:
    """Return a text as one line, with control characters and marks of direction as codes."""
    return _CONTROL.sub(lambda match: _code(ord(match[0])), text)


def _code(number: int) -> str:
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def _because(ranking: Ranking, item: RankedItem) -> str:
    """Return the main reasons, as in `Walden 62 %, Emma 21 %; rank 14 without Walden`."""
    mark = "" if ranking.explained == "exact" else "about "
    shares = [reason for reason in reasons(ranking, item) if reason.title][:_MOST_REASONS]
    text = ", ".join(
        f"{escaped(reason.title)} {mark}{100 * reason.share:.0f} %" for reason in shares
    )
    if item.without is None:
        return text
    titles = {known.item: known.title for known in ranking.history}
    missing = escaped(titles.get(item.without.item, item.without.item))
    return f"{text}; rank {item.without.rank} without {missing}"


def _column(header: str, values: list[str]) -> list[str]:
    """Return a header and values, aligned at the right."""
    width = max(map(len, [header, *values]))
    return [value.rjust(width) for value in [header, *values]]


def _filled(text: str, width: int) -> str:
    """Return a text of exactly this many cells."""
    return set_cell_size(_cut(text, width), width)


def _cut(text: str, width: int) -> str:
    """Return a text of at most this many cells, with a mark if its end is missing."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 1 else "…"[:width]
