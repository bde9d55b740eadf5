"""The filter `blocklist`, which finds terms and patterns in normalised text."""

from __future__ import annotations

from collections.abc import Iterator

import muniment
from muniment_moderation.hits import Hit, outermost, without_containing
from muniment_moderation.normalise import fold
from muniment_moderation.parameters import BlocklistParameters
from muniment_moderation.patterns import Patterns
from muniment_moderation.readings import Reading, readings
from muniment_moderation.terms import Terms

MAX_REASONS = 20


class Blocklist(muniment.Filter):
    """Blocks or flags a text that contains a term or matches a pattern.

    The filter searches each reading of the text (see `readings`), folded (see `normalise`). The
    spans of its reasons are offsets in the original text.
    """

    name = "blocklist"
    # The categories of the default policy. Categories of other policies are free text.
    categories: tuple[str, ...] = ("abuse", "blocklist", "dangerous-instructions", "sensitive-data")
    Parameters = BlocklistParameters

    def __init__(self, parameters: BlocklistParameters) -> None:
        """Compile terms and patterns. Raise ParameterError if one of them is invalid."""
        super().__init__(parameters)
        if not parameters.category.strip():
            raise muniment.ParameterError("category", "category must not be empty")
        self.categories = (parameters.category,)
        if not parameters.terms and not parameters.patterns:
            raise muniment.ParameterError("terms", "a blocklist needs terms or patterns")
        try:
            self._terms = Terms(
                parameters.terms,
                whole_words=parameters.whole_words,
                skip_separators=parameters.skip_separators,
            )
        except ValueError as error:
            raise muniment.ParameterError("terms", str(error)) from None
        try:
            self._patterns = Patterns(parameters.patterns)
        except ValueError as error:
            raise muniment.ParameterError("patterns", str(error)) from None

    def check(self, content: muniment.Content) -> muniment.Verdict:
        """Return the verdict on a text.

        It has one reason for each of the first 20 matches, in the order of the text. If there
        are more, a further reason has the number of matches.
        """
        hits = outermost(hit for reading in readings(content.text) for hit in self._find(reading))
        if not hits:
            return content.allow()
        category = self.parameters.category
        reasons = [
            muniment.Reason(category, f"matches {hit.label}", hit.start, hit.end)
            for hit in hits[:MAX_REASONS]
        ]
        if len(hits) > MAX_REASONS:
            note = f"the first {MAX_REASONS} of at least {len(hits)} matches are listed"
            reasons.append(muniment.Reason(category, note))
        if self.parameters.decision == "flag":
            return content.flag(*reasons)
        return content.block(*reasons)

    def _find(self, reading: Reading) -> Iterator[Hit]:
        """Yield the hits of a reading, with their positions in the original text."""
        folded = fold(reading.text)
        terms = outermost(self._terms.find(folded))
        patterns = outermost(without_containing(self._patterns.find(folded), terms))
        for hit in (*terms, *patterns):
            yield Hit(*reading.span(hit.start, hit.end), hit.label)
