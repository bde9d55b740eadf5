"""The generator `recommendation-article`, which checks a text against the list that it is about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import muniment

from .parameters import INPUTS, ArticleParameters


class ArticleGenerator(muniment.Generator):
    """A generator that passes on the input `attempt`, or composes a plain text in its place.

    The plain text repeats the titles and texts of the input `list`. It replaces an attempt that
    names a title, a number or a person that they do not have, and an attempt that is missing.
    """

    name = "recommendation-article"
    media_type = "text/plain"
    prompt = "optional"
    determinism = "exact"
    inputs = INPUTS
    Parameters = ArticleParameters

    def generate(self, requests: Sequence[muniment.Request]) -> Iterable[muniment.Reply]:
        """Return the text of each request alone. A request without a list fails."""
        from muniment_recommendation.ranking.document import read_ranking

        from .article import final_text

        for request in requests:
            if "list" not in request.inputs:
                yield request.fail("the input list is missing; add a list with --list")
                continue
            try:
                ranking = read_ranking(request.inputs["list"].data)
            except ValueError as error:
                yield request.fail(f"the input list is not a ranked list ({error})")
                continue
            attempt = request.inputs["attempt"].text if "attempt" in request.inputs else ""
            text = final_text(ranking, attempt or "", request.parameters.language)
            yield request.reply(muniment.Text(text))
