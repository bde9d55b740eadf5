"""The values of an item's outputs under a measure: numbers, or distances between outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import muniment
from muniment_analysis.diversity import cosine_similarities
from muniment_analysis.intervals import Floats
from muniment_analysis.recorded_scores import full_name
from muniment_analysis.similarities import ranking_similarities, wording_similarities
from muniment_analysis.variance.distances import squared_distances_of_similarities

from .measures import MeasureSpec


@dataclass(frozen=True)
class ItemValues:
    """The values of the outputs of an item, in the order of the layout.

    Attributes:
        numbers: The numbers [n] of a recorded score, or None for a distance.
        squared: The squared distances [n, n] of the outputs.
    """

    numbers: Floats | None
    squared: Floats

    @property
    def distances(self) -> Floats:
        """The distances [n, n] of the outputs."""
        return np.sqrt(self.squared)


def of_numbers(numbers: Sequence[float]) -> ItemValues:
    """Return the values of numbers, whose distance is the absolute difference."""
    values = np.asarray(numbers, dtype=np.float64)
    return ItemValues(values, np.square(values[:, None] - values[None, :]))


def of_similarities(similarities: Floats) -> ItemValues:
    """Return the values of outputs with these similarities [n, n]."""
    return ItemValues(None, squared_distances_of_similarities(similarities))


def of_texts(generations: Sequence[muniment.Generation]) -> ItemValues:
    """Return the values of texts, by their words and word pairs."""
    return of_similarities(wording_similarities([item.text for item in generations]))


def of_lists(session: muniment.Session, generations: Sequence[muniment.Generation]) -> ItemValues:
    """Return the values of ranked lists, by the order of the items that their callers got."""
    lists = [item_ids(session, generation) for generation in generations]
    return of_similarities(ranking_similarities(lists))


def of_embeddings(
    session: muniment.Session,
    generations: Sequence[muniment.Generation],
    parameters: Mapping[str, object],
) -> ItemValues:
    """Return the values of outputs by the cosines of their embeddings.

    `parameters` has the `generator` and the `model` that embed them, by default those that made
    them.
    """
    outputs = [output for generation in generations for output in generation.outputs[:1]]
    first = generations[0]
    model = first.model.name if first.model is not None else None
    embedded = session.embed(
        outputs,
        generator=str(parameters.get("generator", first.generator)),
        model=str(parameters["model"]) if "model" in parameters else model,
    )
    return of_similarities(cosine_similarities(np.asarray(embedded.vectors, dtype=np.float64)))


def item_ids(session: muniment.Session, generation: muniment.Generation) -> list[str]:
    """Return the ids of the items of a list that its caller got, in its order."""
    return [candidate.id for candidate in session.candidates(generation) if candidate.kept]


def recorded_scores(
    measure: MeasureSpec, generation: muniment.Generation
) -> dict[str, muniment.Score]:
    """Return the newest scores of a measure by their names, without those that failed.

    The name is `EVALUATOR.MEASURE`, with the parameters of the evaluator.
    """
    return {
        full_name(score): score
        for score in generation.newest_scores
        if score.value is not None and measure.accepts(score)
    }
