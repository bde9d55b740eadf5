"""Statistics of the outputs themselves, whatever is measured on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

import muniment
from muniment_analysis.diversity import vendi_score
from muniment_analysis.entropy import entropy
from muniment_analysis.intervals import Estimate, mean_estimate, proportion_estimate
from muniment_analysis.ngrams import distinct_ngrams
from muniment_analysis.overlap import jaccard, rank_biased_overlap
from muniment_analysis.words import words

from . import item_statistics
from .distances import ItemDistances, is_list
from .layout import Layout
from .reading import ItemOutputs
from .values import item_ids


@dataclass(frozen=True)
class Outputs:
    """Statistics of the outputs themselves, averaged over items.

    Attributes:
        agreement: The share of equal outputs among pairs that differ in the seed alone.
        entropy: The entropy of the outputs of a cell in nats, after Miller and Madow.
        underestimated: Whether most outputs of most cells occur once, so that the entropy is too
            small.
        diversity: Measures of diversity of the outputs of a cell, such as `vendi`.
        overlap: For lists, `rbo` and `jaccard` between outputs that differ in the seed alone.
    """

    agreement: Estimate
    entropy: Estimate
    underestimated: bool
    diversity: Mapping[str, Estimate]
    overlap: Mapping[str, Estimate]


class OutputStatistics:
    """Collects the statistics of the outputs of all items."""

    def __init__(self, session: muniment.Session, layout: Layout, distances: ItemDistances) -> None:
        self._session, self._layout, self._distances = session, layout, distances
        self._items: list[dict[str, float]] = []

    def add(self, item: ItemOutputs) -> None:
        """Add the outputs of an item."""
        self._items.append(self._of_item(item))

    def result(self) -> Outputs:
        """Return the statistics of all added items."""
        names = dict.fromkeys(name for found in self._items for name in found)
        estimates = {}
        for name in names:
            column = np.array([found[name] for found in self._items if name in found])
            if len(column) > 1:
                is_share = name in ("agreement", "underestimated")
                estimates[name] = (proportion_estimate if is_share else mean_estimate)(column)
        return Outputs(
            agreement=estimates["agreement"],
            entropy=estimates["entropy"],
            underestimated=estimates["underestimated"].value >= 0.5,
            diversity={
                name: estimates[name]
                for name in ("vendi", "distinct-1", "distinct-2")
                if name in estimates
            },
            overlap={name: estimates[name] for name in ("rbo", "jaccard") if name in estimates},
        )

    def _of_item(self, item: ItemOutputs) -> dict[str, float]:
        """Return statistics of the outputs themselves, each the mean over the cells of an item."""
        contents = [
            b"\0".join(output.data for output in generation.outputs)
            for generation in item.generations
        ]
        cells = item_statistics.cells(self._layout, contents)
        entropies = [entropy(cell) for cell in cells]
        found = {
            "agreement": item_statistics.agreement(self._layout, contents),
            "entropy": float(np.mean([value.corrected for value in entropies])),
            "underestimated": float(np.mean([value.underestimated for value in entropies])),
        }
        if is_list(item.generations[0]):
            lists = [item_ids(self._session, generation) for generation in item.generations]
            pairs = np.argwhere(self._layout.seed_pairs)
            for name, overlap in (("rbo", rank_biased_overlap), ("jaccard", jaccard)):
                found[name] = float(np.mean([overlap(lists[a], lists[b]) for a, b in pairs]))
        elif item.generations[0].outputs[0].text is not None:
            similarities = 1 - self._distances.wording(item).squared / 2
            size = self._layout.replicates
            starts = range(0, self._layout.size, size)
            found["vendi"] = float(
                np.mean([vendi_score(similarities[s : s + size, s : s + size]) for s in starts])
            )
            word_lists = [words(generation.text) for generation in item.generations]
            for length in (1, 2):
                shares = [distinct_ngrams(word_lists[s : s + size], length) for s in starts]
                present = [share for share in shares if share is not None]
                if present:
                    found[f"distinct-{length}"] = float(np.mean(present))
        return found
