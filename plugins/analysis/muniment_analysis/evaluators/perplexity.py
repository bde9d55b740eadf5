"""The evaluator `perplexity`, which measures how well a model predicts the output.

Without a parameter, it is the model that generated the output. The recorded log-probabilities are
used, so it needs no second pass through the model. With `perplexity(model=NAME)`, another model
reads the output as an answer to the prompt. All are those of the model itself, at temperature 1
and without truncation.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence

import muniment


class Perplexity(muniment.Evaluator):
    """Perplexity, which is exp(−mean log-probability per token).

    `mean-logprob` is the mean log-probability in nats per token. It is finite even if the
    perplexity overflows.
    """

    name = "perplexity"
    measures = (
        muniment.Measure("perplexity", higher_is_better=False),
        muniment.Measure("mean-logprob", "nats", higher_is_better=True),
    )
    default = True

    class Parameters(muniment.Parameters):
        """Parameters of the evaluator."""

        model: str = muniment.param(
            "", model=True, help="model that reads the text; by default, the recorded trace is used"
        )

    def evaluate(self, generation: muniment.Generation) -> Mapping[str, float]:
        """Return both measures, or those of them that are finite. Without a token, return none."""
        logprobs = self._logprobs(generation)
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

    def _logprobs(self, generation: muniment.Generation) -> Sequence[float]:
        """Return the log-probabilities of the tokens of all text outputs."""
        if "model" not in self.models:
            return generation.trace.logprobs if generation.trace is not None else ()
        texts = [output.text for output in generation.outputs if output.text is not None]
        scored = self.powers.score("model", texts, [generation.prompt] * len(texts))
        return [value for scores in scored for value in scores.logprobs]
