"""The evaluator `embedding-similarity`, which compares texts by the vectors of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import muniment

if TYPE_CHECKING:
    from muniment_analysis.intervals import Floats


class EmbeddingSimilarity(muniment.GroupEvaluator):
    """Cosines of the embedding of a text with those of its references and of its siblings.

    `reference-cosine` is that with the most similar reference, and `sibling-cosine` the mean over
    the other generations of the group.
    """

    name = "embedding-similarity"
    measures = (
        muniment.Measure("reference-cosine", higher_is_better=True),
        muniment.Measure("sibling-cosine"),
    )

    class Parameters(muniment.Parameters):
        """Parameters of the evaluator."""

        model: str = muniment.param("", model=True, help="model that embeds the texts")

    def __init__(
        self, parameters: Any = None, models: Mapping[str, muniment.Model] | None = None
    ) -> None:
        """Raise ParameterError without a model."""
        super().__init__(parameters, models)
        if "model" not in self.models:
            raise muniment.ParameterError(
                "model", "there is no model; use embedding-similarity(model=NAME)"
            )

    def evaluate_group(
        self,
        generations: Sequence[muniment.Generation],
        references: Mapping[str, Sequence[str]],
    ) -> Mapping[str, Mapping[str, float]]:
        """Return the cosines that apply to each generation."""
        from muniment_analysis.diversity import cosine_similarities

        given = [references.get(generation.id, ()) for generation in generations]
        texts = [generation.text for generation in generations]
        # Each different text is embedded once, in an order that does not depend on the group's.
        different = sorted({*texts, *(text for row in given for text in row)})
        cosines = cosine_similarities(self._vectors(different))
        places = {text: place for place, text in enumerate(different)}
        own = [places[text] for text in texts]
        return {
            generation.id: _values(
                cosines[place], own[:number] + own[number + 1 :], [places[text] for text in row]
            )
            for number, (generation, place, row) in enumerate(
                zip(generations, own, given, strict=True)
            )
        }

    def _vectors(self, texts: Sequence[str]) -> Floats:
        import numpy as np

        outputs = [muniment.Text(text) for text in texts]
        return np.asarray(self.powers.embed("model", outputs), dtype=np.float64)


def _values(
    cosines: Floats, siblings: Sequence[int], references: Sequence[int]
) -> dict[str, float]:
    values = {}
    if references:
        values["reference-cosine"] = float(cosines[list(references)].max())
    if siblings:
        values["sibling-cosine"] = float(cosines[sorted(siblings)].mean())
    return values
