"""The evaluator `perplexity`: how expected the output was to the model that wrote it.

It reads the log-probabilities that the generator recorded, so it costs no second pass through
the model. They are the model's own, at temperature 1 with nothing truncated.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping

import muniment


class Perplexity(muniment.Evaluator):
    """Measures perplexity, exp(−mean log-probability of a token), from a generation's trace.

    `mean-logprob` is the same in nats a token: it adds up over tokens, and it stays finite where
    the perplexity would not.
    """

    name = "perplexity"
    measures = (
        muniment.Measure("perplexity", higher_is_better=False),
        muniment.Measure("mean-logprob", "nats", higher_is_better=True),
    )
    default = True

    def evaluate(self, generation: muniment.Generation) -> Mapping[str, float]:
        """Return both measures; neither without a trace, or where it would not be a number."""
        logprobs = generation.trace.logprobs if generation.trace is not None else ()
        if len(logprobs) == 0:
            return {}
        try:
            mean = math.fsum(logprobs) / len(logprobs)
        except (OverflowError, ValueError):  # a sum past every number, or of both infinities
            return {}
        if not math.isfinite(mean):
            return {}
        scores = {"mean-logprob": mean}
        with contextlib.suppress(OverflowError):  # above about 1e308
            scores["perplexity"] = math.exp(-mean)
        return scores
