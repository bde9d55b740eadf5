"""The media type of ranked lists: description, preview, comparison, files, items and selection."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import muniment

from .document import MEDIA_TYPE, Ranking, read_ranking, write_ranking
from .overlap import PERSISTENCE, rank_biased_overlap


class RankingType(muniment.MediaType):
    """Ranked lists as JSON, of which filters read each item as its title and text."""

    name, media_types = "ranking", (MEDIA_TYPE,)
    suffixes, plain_suffixes = (".json", ".csv"), (".json",)

    def matches(self, data: bytes) -> bool:
        """Return whether the bytes are a ranked list."""
        try:
            read_ranking(data)
        except ValueError:
            return False
        return True

    def describe(self, data: bytes) -> str:
        """Return the number of items, and of those of the history."""
        ranking = read_ranking(data)
        items = _count(len(ranking.items), "item")
        return f"ranking of {items} for a history of {_count(len(ranking.history), 'item')}"

    def preview(self, data: bytes, columns: int) -> str:
        """Return a table of ranks, scores, titles and reasons."""
        from .preview import table

        return table(read_ranking(data), columns)

    def to_text(self, data: bytes) -> str:
        """Return a line for each item: rank, id, title, score and reasons, separated by tabs."""
        from .rows import lines

        return lines(read_ranking(data))

    def export(
        self, data: bytes, provenance: muniment.Provenance, suffix: str, options: Any
    ) -> bytes:
        """Return a CSV file with a row for each item, and the provenance in the first row."""
        from .rows import csv_file

        return csv_file(read_ranking(data), provenance)

    def matches_file(self, data: bytes) -> bool:
        """Return whether the bytes are a ranked list as JSON or CSV."""
        from .rows import is_csv_file

        return is_csv_file(data) or self.matches(data)

    def read_provenance(self, data: bytes) -> str | None:
        """Return the provenance in a CSV file, or None for any others."""
        from .rows import read_provenance

        return read_provenance(data)

    def compare(self, recorded: bytes, again: bytes) -> muniment.Comparison:
        """Return 1 minus the rank-biased overlap, and the first rank with another item.

        For lists of the same order, return the largest difference of a score.
        """
        first, second = read_ranking(recorded), read_ranking(again)
        ids, others = _ids(first), _ids(second)
        if ids == others:
            return _compare_scores(first, second, recorded == again)
        overlap = rank_biased_overlap(ids, others)
        # Beyond some hundred ranks, the weight of a difference is smaller than a float can tell.
        distance = max(1 - overlap, sys.float_info.epsilon)
        unit = f"1 - rank-biased overlap (p = {PERSISTENCE:g})"
        return muniment.Comparison(distance, unit, f"rank {_first_difference(ids, others)}")

    def items(self, data: bytes) -> tuple[muniment.Item, ...]:
        """Return the items by their ids, with title and text."""
        return tuple(
            muniment.Item(item.item, f"{item.title}\n{item.text}" if item.text else item.title)
            for item in read_ranking(data).items
        )

    def select(self, data: bytes, positions: Sequence[int]) -> bytes:
        """Return the list with only the items at these positions."""
        return write_ranking(read_ranking(data).select(positions))


def _ids(ranking: Ranking) -> list[str]:
    return [item.item for item in ranking.items]


def _first_difference(first: Sequence[str], second: Sequence[str]) -> int:
    """Return the first rank, from 1, at which two different lists differ."""
    pairs = enumerate(zip(first, second, strict=False), 1)
    shared = min(len(first), len(second))
    return next((rank for rank, (one, other) in pairs if one != other), shared + 1)


def _compare_scores(first: Ranking, second: Ranking, same: bool) -> muniment.Comparison:
    """Return the largest difference of a score of two lists with the same items."""
    unit = "largest difference of a score"
    if same:
        return muniment.Comparison(0.0, unit)
    differences = [
        abs(one.score - other.score) for one, other in zip(first.items, second.items, strict=True)
    ]
    largest = max(differences, default=0.0)
    if not largest:
        return muniment.Comparison(None, "the same items and scores, with other reasons or texts")
    rank = next(rank for rank, difference in enumerate(differences, 1) if difference)
    return muniment.Comparison(largest, unit, f"rank {rank}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
