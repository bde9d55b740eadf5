"""The evaluator `perplexity`, which measures how well the model predicts its own output.

It uses the recorded log-probabilities, so it needs no second pass through the model. They are
those of the model itself, at temperature 1 and without truncation.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping

import muniment


class Perplexity(muniment.Evaluator):
    """Perplexity, which is exp(−mean log-probability per token), from a generation's trace.

    `mean-logprob` is the mean log-probability in nats per token. It is finite even if the
    perplexity overflows.
    """

    name = "perplexity"
    measures = (
        muniment.Measure("perplexity", higher_is_better=False),
        muniment.Measure("mean-logprob", "nats", higher_is_better=True),
    )
    default = True

    def evaluate(self, generation: muniment.Generation) -> Mapping[str, float]:
        """Return both measures, or those of them that are finite. Without a trace, return none."""
        logprobs = generation.trace.logprobs if generation.trace is not None else ()
        if len(logprobs) == 0:
            return {}
        try:
            mean = math.fsum(logprobs) / len(logprobs)
        except (OverflowError, ValueError):  # the sum overflows, or adds +inf and -inf
            return {}
        if not math.isfinite(mean):
            return {}
        scores = {"mean-logprob": mean}
        with contextlib.suppress(OverflowError):  # the perplexity is above about 1e308
            scores["perplexity"] = math.exp(-mean)
        return scores
