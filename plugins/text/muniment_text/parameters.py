"""What can be asked of the text generator; apart from it so that listing imports no model code."""

from __future__ import annotations

import muniment


class TextParameters(muniment.Parameters):
    """How an answer is decoded; the order of the filters is that of `sampling`."""

    max_tokens: int = muniment.param(
        128, ge=1, le=1_000_000, help="the most tokens the answer may have"
    )
    temperature: float = muniment.param(
        0.8, ge=0, le=100, help="how freely tokens are chosen; 0 always takes the likeliest"
    )
    top_k: int = muniment.param(
        64, ge=0, le=1_000_000, help="choose among this many likeliest tokens; 0 for all"
    )
    top_p: float = muniment.param(
        0.95, ge=0.000001, le=1, help="choose among the likeliest tokens that hold this much mass"
    )
    min_p: float = muniment.param(
        0.0, ge=0, le=1, help="drop tokens less likely than this share of the likeliest"
    )
    repetition_penalty: float = muniment.param(
        1.0, ge=0.01, le=100, help="above 1, makes tokens already seen less likely"
    )
    stop: list[str] = muniment.param((), help="end the answer before any of these texts")
