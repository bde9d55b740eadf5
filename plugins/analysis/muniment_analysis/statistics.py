"""The evaluator `text-statistics`: how long a text is, how varied, and how much it repeats itself.

distinct-n: distinct n-grams ÷ n-grams (Li et al. 2016, "A Diversity-Promoting Objective Function
for Neural Conversation Models", who divide by the number of words instead; the difference is n − 1
in the denominator, and 1 can be reached).

repetition: 1 − distinct 4-grams ÷ 4-grams (Welleck et al. 2020, "Neural Text Generation with
Unlikelihood Training", seq-rep-4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import muniment
from muniment_analysis.words import words


class TextStatistics(muniment.Evaluator):
    """Measures a generation's text outputs; an n-gram never reaches from one into the next."""

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
        """Return what can be measured: ratios need at least one n-gram of their length."""
        texts = [output.text for output in generation.outputs if output.text is not None]
        if not texts:
            return {}
        spoken = [words(text) for text in texts]
        scores: dict[str, float] = {
            "characters": sum(map(len, texts)),
            "words": sum(map(len, spoken)),
        }
        for name, size in (("distinct-1", 1), ("distinct-2", 2), ("repetition", 4)):
            distinct = _distinct(spoken, size)
            if distinct is not None:
                scores[name] = 1 - distinct if name == "repetition" else distinct
        return scores


def _distinct(spoken: Sequence[Sequence[str]], size: int) -> float | None:
    grams = [tuple(text[at : at + size]) for text in spoken for at in range(len(text) - size + 1)]
    return len(set(grams)) / len(grams) if grams else None
