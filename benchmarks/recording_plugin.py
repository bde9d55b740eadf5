"""A plugin for `recording.py` with a generator, two filters and two evaluators of little cost."""

from __future__ import annotations

import muniment


class Free(muniment.Generator):
    """The prompt three times."""

    name, media_type, determinism, uses_model = "free", "text/plain", "exact", False

    class Parameters(muniment.Parameters):
        """Typical parameters of a text generator."""

        temperature: float = muniment.param(0.8, ge=0, le=2, help="Randomness")
        max_tokens: int = muniment.param(64, ge=1, help="Maximum number of tokens")
        top_k: int = muniment.param(40, ge=0, help="Number of candidate tokens")

    def generate(self, requests):
        for request in requests:
            said = muniment.Text(" ".join([request.prompt] * 3), "stop")
            yield request.reply(said, usage=muniment.Usage(12, 60))


class _Fine(muniment.Filter):
    version = "1"

    def check(self, content):
        return content.allow(length=0.1)


class Short(_Fine):
    """A filter that allows everything."""

    name, categories = "bench-short", ("length",)


class Plain(_Fine):
    """A second filter that allows everything."""

    name, categories = "bench-plain", ("length",)


class Length(muniment.Evaluator):
    """The number of characters."""

    name, default, version = "bench-length", True, "1"
    measures = (muniment.Measure("length", "characters"),)

    def evaluate(self, generation):
        return {"length": len(generation.text)}


class Words(muniment.Evaluator):
    """The number of words."""

    name, default, version = "bench-words", True, "1"
    measures = (muniment.Measure("words", "words"),)

    def evaluate(self, generation):
        return {"words": generation.text.count(" ") + 0.5}


@muniment.hookimpl
def muniment_generators(register):
    register(Free)


@muniment.hookimpl
def muniment_filters(register):
    register(Short)
    register(Plain)


@muniment.hookimpl
def muniment_evaluators(register):
    register(Length)
    register(Words)
