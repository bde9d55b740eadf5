"""The evaluators `self-bleu` and `diversity`, which compare the texts of a group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import muniment
from muniment_analysis.ngrams import distinct_ngrams
from muniment_analysis.words import words


class SelfBleu(muniment.GroupEvaluator):
    """The BLEU of each text with the other ones of its group as references."""

    name = "self-bleu"
    measures = (muniment.Measure("self-bleu", "of 100", higher_is_better=False),)

    def evaluate_group(
        self,
        generations: Sequence[muniment.Generation],
        references: Mapping[str, Sequence[str]],
    ) -> Mapping[str, Mapping[str, float]]:
        """Return the measure of each generation, or none for a generation alone."""
        if len(generations) < 2:
            return {}
        from muniment_analysis.text_overlap import self_bleu

        values = self_bleu([generation.text for generation in generations])
        return {
            generation.id: {"self-bleu": value}
            for generation, value in zip(generations, values, strict=True)
        }


class Diversity(muniment.GroupEvaluator):
    """The diversity of a group of texts. Each generation has the values of its group."""

    name = "diversity"
    measures = (
        muniment.Measure("vendi-score", "outputs", higher_is_better=True),
        muniment.Measure("group-distinct-1", higher_is_better=True),
        muniment.Measure("group-distinct-2", higher_is_better=True),
    )

    def evaluate_group(
        self,
        generations: Sequence[muniment.Generation],
        references: Mapping[str, Sequence[str]],
    ) -> Mapping[str, Mapping[str, float]]:
        """Return the measures of the group, or none for a generation alone."""
        if len(generations) < 2:
            return {}
        from muniment_analysis.diversity import vendi_score
        from muniment_analysis.similarities import wording_similarities

        texts = sorted(generation.text for generation in generations)  # sums depend on the order
        values = {"vendi-score": vendi_score(wording_similarities(texts))}
        word_lists = [words(text) for text in texts]
        for size in (1, 2):
            distinct = distinct_ngrams(word_lists, size)
            if distinct is not None:
                values[f"group-distinct-{size}"] = distinct
        return {generation.id: values for generation in generations}
