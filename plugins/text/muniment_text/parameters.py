"""Parameters and inputs of the text generator.

They have their own module so that listing them imports no model code.
"""

from __future__ import annotations

import muniment


class TextParameters(muniment.Parameters):
    """Parameters of decoding. Module `sampling` defines them and the order of the filters."""

    max_tokens: int = muniment.param(
        128, ge=1, le=1_000_000, help="maximum number of tokens of the answer"
    )
    temperature: float = muniment.param(
        0.8, ge=0, le=100, help="randomness; 0 = always the most likely token"
    )
    top_k: int = muniment.param(
        64, ge=0, le=1_000_000, help="number of most likely tokens to choose from; 0 = all"
    )
    top_p: float = muniment.param(
        0.95,
        ge=0.000001,
        le=1,
        help="choose from the smallest set of tokens with this total probability",
    )
    min_p: float = muniment.param(
        0.0, ge=0, le=1, help="minimum probability, relative to the most likely token"
    )
    repetition_penalty: float = muniment.param(
        1.0, ge=0.01, le=100, help="values above 1 make repeated tokens less likely"
    )
    stop: list[str] = muniment.param((), help="texts that end the answer; they are not part of it")
    special_tokens: bool = muniment.param(
        False, help="read special tokens of the model in the prompt as such, not as text"
    )


INPUTS = (
    muniment.InputSpec(
        "context", ("text/plain",), 4_000_000, help="text that is put before the prompt"
    ),
)
