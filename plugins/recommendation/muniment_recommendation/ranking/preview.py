"""A ranked list as a table for a terminal, with its reasons."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

import muniment

from .document import Ranking
from .reason_texts import prompt_matches, reason_texts

_GAP = "  "
_LEAST_TITLE = 12  # cells
_MOST_OF_REASON = 40  # cells of the title of an item of the history


def table(ranking: Ranking, columns: int) -> str:
    """Return the list as lines of at most this many cells: rank, score, title and reasons.

    Titles, reasons and notes are wrapped. On a narrow terminal the reasons stand below the title,
    and a very narrow one gets neither reasons nor scores.
    """
    notes = [line for note in ranking.notes for line in _wrapped(muniment.escaped(note), columns)]
    if not ranking.items:
        return "\n".join(_cut(line, columns) for line in [*notes, "no items"])
    rows = list(_rows(ranking, columns))
    ranks = [rank for rank, matches in enumerate(prompt_matches(ranking), 1) if matches]
    if ranks and ranks[-1] < len(ranking.items):
        rows.insert(ranks[-1] + 1, _wrapped("no item below matches the prompt", columns))
    lines = [*notes, *itertools.chain.from_iterable(rows)]
    return "\n".join(_cut(line.rstrip(), columns) for line in lines)


def _rows(ranking: Ranking, columns: int) -> Iterator[list[str]]:
    """Yield the lines of the header, then those of each item."""
    ranks = _column("#", [str(rank) for rank in range(1, len(ranking.items) + 1)])
    scores = _column("score", [f"{item.score:.3f}" for item in ranking.items])
    fixed = [f"{rank}{_GAP}{score}{_GAP}" for rank, score in zip(ranks, scores, strict=True)]
    remaining = columns - cell_len(fixed[0])
    has_reasons = remaining >= _LEAST_TITLE
    if not has_reasons:
        fixed = [f"{rank}{_GAP}" for rank in ranks]
        remaining = columns - cell_len(fixed[0])
    titles = ["title", *(muniment.escaped(item.title) for item in ranking.items)]
    shorten = functools.partial(_cut, width=_MOST_OF_REASON)
    reasons = reason_texts(ranking, shorten)
    if not (has_reasons and any(reasons)):
        for before, title in zip(fixed, titles, strict=True):
            yield _beside(before, _wrapped(title, remaining))
    elif remaining >= 3 * _LEAST_TITLE:
        width = min(max(map(cell_len, titles)), max(_LEAST_TITLE, remaining // 2))
        rest = remaining - width - len(_GAP)
        for before, title, why in zip(fixed, titles, ["because of", *reasons], strict=True):
            pairs = itertools.zip_longest(_wrapped(title, width), _wrapped(why, rest), fillvalue="")
            yield _beside(
                before, [f"{set_cell_size(part, width)}{_GAP}{why}" for part, why in pairs]
            )
    else:
        for before, title, why in zip(fixed, titles, ["", *reasons], strict=True):
            below = [_GAP + line for line in _wrapped(why, remaining - len(_GAP))]
            yield _beside(before, [*_wrapped(title, remaining), *below])


def _beside(before: str, lines: list[str]) -> list[str]:
    """Return lines after a text, below which the second and the following are indented."""
    first, *others = lines or [""]
    return [before + first, *(" " * cell_len(before) + line for line in others)]


def _column(header: str, values: list[str]) -> list[str]:
    """Return a header and values, aligned at the right."""
    width = max(map(len, [header, *values]))
    return [value.rjust(width) for value in [header, *values]]


def _wrapped(text: str, width: int) -> list[str]:
    """Return a text as lines of at most this many cells, and no line for an empty text."""
    if not text:
        return []
    wrapped = Text(text).wrap(Console(width=width), max(width, 1))
    return [line.plain.rstrip() for line in wrapped]


def _cut(text: str, width: int) -> str:
    """Return a text of at most this many cells, with a mark if its end is missing."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 1 else "…"[:width]
