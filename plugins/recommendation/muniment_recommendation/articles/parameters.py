"""Parameters and inputs of the generator `recommendation-article`, without the code of lists."""

from __future__ import annotations

from typing import Literal

import muniment
from muniment_recommendation.ranking.document import MEDIA_TYPE


class ArticleParameters(muniment.Parameters):
    """Parameters of a text about a ranked list."""

    language: Literal["en", "zh"] = muniment.param("en", help="language of a plain text")


INPUTS = (
    muniment.InputSpec(
        "list", (MEDIA_TYPE,), help="ranked list that the text is about", option="--list FILE"
    ),
    muniment.InputSpec(
        "attempt",
        ("text/plain",),
        max_bytes=1_000_000,
        help="text of a text generator, which is passed on if the list supports it",
        option="--attempt FILE",
    ),
)
