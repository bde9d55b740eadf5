"""Parameters of the filters, apart so that listing them imports neither RE2 nor automata."""

from __future__ import annotations

from typing import Literal

import muniment


class BlocklistParameters(muniment.Parameters):
    """What one entry of a policy looks for, and what finding it means."""

    category: str = muniment.param("blocklist", help="the category that a match belongs to")
    terms: list[str] = muniment.param([], help="words and phrases to find, as they are written")
    patterns: list[str] = muniment.param(
        [], help="RE2 patterns to find in normalised, case-folded text"
    )
    decision: Literal["block", "flag"] = muniment.param("block", help="what a match leads to")
    whole_words: bool = muniment.param(
        True, help="find terms of alphabetic scripts as whole words only"
    )
    skip_separators: bool = muniment.param(
        True, help="find terms with spaces or punctuation put between their characters too"
    )
