"""The evaluators `bleu`, `chrf` and `rouge-l`, which compare outputs with references."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import muniment

_OF_100 = "of 100"


class ReferenceOverlap(muniment.GroupEvaluator):
    """The base class of evaluators that compare the text of a generation with references.

    Its outputs that are text are compared together, as `Generation.text` joins them.
    """

    def evaluate_group(
        self,
        generations: Sequence[muniment.Generation],
        references: Mapping[str, Sequence[str]],
    ) -> Mapping[str, Mapping[str, float]]:
        """Return the overlap of each generation that has references."""
        [measure] = self.measures
        return {
            generation.id: {measure.name: self.overlap(generation.text, references[generation.id])}
            for generation in generations
            if references.get(generation.id)
        }

    @abstractmethod
    def overlap(self, text: str, references: Sequence[str]) -> float:
        """Return the overlap of a text with its references, of which there is at least one."""


class Bleu(ReferenceOverlap):
    """The sentence BLEU of the text."""

    name = "bleu"
    measures = (muniment.Measure("bleu", _OF_100, higher_is_better=True),)

    def overlap(self, text: str, references: Sequence[str]) -> float:
        """Return the BLEU, from 0 to 100."""
        from muniment_analysis.text_overlap import bleu

        return bleu(text, references)


class Chrf(ReferenceOverlap):
    """The chrF of the text."""

    name = "chrf"
    measures = (muniment.Measure("chrf", _OF_100, higher_is_better=True),)

    def overlap(self, text: str, references: Sequence[str]) -> float:
        """Return the chrF, from 0 to 100."""
        from muniment_analysis.chrf import chrf

        return chrf(text, references)


class RougeL(ReferenceOverlap):
    """The ROUGE-L of the text."""

    name = "rouge-l"
    measures = (muniment.Measure("rouge-l", higher_is_better=True),)

    def overlap(self, text: str, references: Sequence[str]) -> float:
        """Return the F1 of the longest common subsequence, from 0 to 1."""
        from muniment_analysis.text_overlap import rouge_l

        return rouge_l(text, references)
