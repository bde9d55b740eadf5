"""The filter `blocklist`: terms and patterns of a policy, sought in what people meant to write."""

from __future__ import annotations

import muniment
from muniment_moderation.hits import outermost, without_holders
from muniment_moderation.normalise import fold
from muniment_moderation.parameters import BlocklistParameters
from muniment_moderation.patterns import Patterns
from muniment_moderation.terms import Terms

MOST_REASONS = 20


class Blocklist(muniment.Filter):
    """Blocks or flags a text in which a term stands or a pattern matches.

    Both are sought in the folded text (see `normalise`), and reasons give places in the original.
    """

    name = "blocklist"
    # The categories of the policy that ships with this filter; an author's own are free text.
    categories = ("abuse", "blocklist", "dangerous-instructions", "sensitive-data")
    Parameters = BlocklistParameters

    def __init__(self, parameters: BlocklistParameters) -> None:
        """Make terms and patterns ready; raises ParameterError naming one that cannot be used."""
        super().__init__(parameters)
        if not parameters.category.strip():
            raise muniment.ParameterError("category", "category must name something")
        if not parameters.terms and not parameters.patterns:
            raise muniment.ParameterError(
                "terms", "a blocklist needs terms or patterns: with neither it would pass any text"
            )
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
        """Return the verdict on a text, with at most 20 reasons in the order of the text."""
        folded = fold(content.text)
        terms = outermost(self._terms.find(folded))
        patterns = outermost(without_holders(self._patterns.find(folded), terms))
        hits = sorted([*terms, *patterns])
        if not hits:
            return content.allow()
        category = self.parameters.category
        reasons = [
            muniment.Reason(category, f"matches {hit.what}", hit.start, hit.end)
            for hit in hits[:MOST_REASONS]
        ]
        if len(hits) > MOST_REASONS:
            more = f"the first {MOST_REASONS} of at least {len(hits)} matches are listed"
            reasons.append(muniment.Reason(category, more))
        if self.parameters.decision == "flag":
            return content.flag(*reasons)
        return content.block(*reasons)
