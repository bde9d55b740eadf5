"""The evaluator `text-statistics`, which measures the length, diversity and repetition of a text.

distinct-n is the number of distinct n-grams divided by the number of n-grams (see `ngrams`).

repetition is 1 − the number of distinct 4-grams divided by the number of 4-grams. It is seq-rep-4
of Welleck et al. 2020, "Neural Text Generation with Unlikelihood Training".
"""

from __future__ import annotations

from collections.abc import Mapping

import muniment
from muniment_analysis.ngrams import distinct_ngrams
from muniment_analysis.words import words


class TextStatistics(muniment.Evaluator):
    """Statistics of a generation's text outputs. An n-gram never spans two outputs."""

    name = "text-statistics"
    measures = (
        muniment.Measure("characters", "characters"),
        muniment.Measure("words", "words"),
        muniment.Measure("distinct-1", higher_is_better=True),
        muniment.Measure("distinct-2", higher_is_better=True),
        muniment.Measure("repetition", higher_is_better=False),
    )
    default = True

    def evaluate(self, generation: muniment.Generation) -> Mapping[str, float]:
        """Return the measures. A ratio is omitted if there is no n-gram of its length."""
        texts = [
            output.text or ""
            for output in generation.outputs
            if output.media_type.startswith("text/")  # not the JSON of a list
        ]
        if not texts:
            return {}
        word_lists = [words(text) for text in texts]
        scores: dict[str, float] = {
            "characters": sum(map(len, texts)),
            "words": sum(map(len, word_lists)),
        }
        for name, size in (("distinct-1", 1), ("distinct-2", 2), ("repetition", 4)):
            distinct = distinct_ngrams(word_lists, size)
            if distinct is not None:
                scores[name] = 1 - distinct if name == "repetition" else distinct
        return scores
