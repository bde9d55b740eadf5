"""Parameters of the filters.

They have their own module so that listing them imports neither RE2 nor pyahocorasick.
"""

from __future__ import annotations

from typing import Literal

import muniment


class BlocklistParameters(muniment.Parameters):
    """Parameters of one `blocklist` rule of a policy."""

    category: str = muniment.param("blocklist", help="category of the matches")
    terms: list[str] = muniment.param([], help="words and phrases to find")
    patterns: list[str] = muniment.param(
        [], help="RE2 patterns to find in normalised, case-folded text"
    )
    decision: Literal["block", "flag"] = muniment.param("block", help="decision on a match")
    whole_words: bool = muniment.param(
        True, help="find terms of alphabetic scripts as whole words only"
    )
    skip_separators: bool = muniment.param(
        True, help="also find terms with spaces or punctuation between their characters"
    )
