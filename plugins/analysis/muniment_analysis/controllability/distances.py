"""The distances between the outputs of an item, by a measure that compares them."""

from __future__ import annotations

import muniment
from muniment_analysis.errors import AnalysisError
from muniment_analysis.intervals import Floats

from .measures import MeasureSpec
from .reading import ItemOutputs
from .values import ItemValues, of_embeddings, of_lists, of_texts

_OTHERS = "use another measure, such as embedding or EVALUATOR.MEASURE"


def is_list(generation: muniment.Generation) -> bool:
    """Return whether an output is a list that a plugin reads."""
    return any(output.kept is not None for output in generation.outputs)


def is_text(generation: muniment.Generation) -> bool:
    """Return whether all outputs are texts."""
    return all(output.text is not None for output in generation.outputs)


class ItemDistances:
    """Compares the outputs of one item after the other, and keeps the last distances of texts."""

    def __init__(self, session: muniment.Session) -> None:
        self._session = session
        self._last: tuple[ItemOutputs, ItemValues] | None = None

    def of(self, spec: MeasureSpec, item: ItemOutputs) -> ItemValues:
        """Return the distances by a measure. Raise AnalysisError for outputs of another kind."""
        if spec.kind == "wording":
            if not all(map(is_text, item.all_generations)):
                raise AnalysisError("the outputs are no texts, so they have no wording; " + _OTHERS)
            return self.wording(item)
        if spec.kind == "ranking":
            if not all(map(is_list, item.all_generations)):
                raise AnalysisError("the outputs are no lists, so they have no ranking; " + _OTHERS)
            return of_lists(self._session, item.all_generations)
        return of_embeddings(self._session, item.all_generations, spec.evaluator.parameters)

    def wording(self, item: ItemOutputs) -> ItemValues:
        """Return the distances of texts, which a measure and the diversity share."""
        if self._last is None or self._last[0] is not item:
            self._last = item, of_texts(item.all_generations)
        return self._last[1]


def typo_distance(replicates: int, item: ItemOutputs, distances: Floats) -> float:
    """Return the mean distance of misspelt prompts from the first paraphrase, at equal settings.

    The outputs of the misspelt prompts follow those of the layout, by setting.
    """
    total, count, start = 0.0, 0, len(item.generations)
    for setting, group in sorted(item.typos.items()):
        place = setting * replicates
        block = distances[start : start + len(group), place : place + replicates]
        total += float(block.sum())
        count += block.size
        start += len(group)
    return total / count
