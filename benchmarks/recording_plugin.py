"""A plugin for the benchmark of recording: a generator, two filters, two evaluators, all free."""

from __future__ import annotations

import muniment


class Free(muniment.Generator):
    """Says the prompt three times, with a trace of eight tokens."""

    name, media_type, determinism, uses_model = "free", "text/plain", "exact", False

    class Parameters(muniment.Parameters):
        """What a text generator typically has."""

        temperature: float = muniment.param(0.8, ge=0, le=2, help="how bold")
        max_tokens: int = muniment.param(64, ge=1, help="how long")
        top_k: int = muniment.param(40, ge=0, help="how many")

    def generate(self, requests):
        for request in requests:
            said = muniment.Text(" ".join([request.prompt] * 3), "stop")
            yield request.reply(said, usage=muniment.Usage(12, 60))


class _Fine(muniment.Filter):
    version = "1"

    def check(self, content):
        return content.allow(length=0.1)


class Short(_Fine):
    """Finds everything short enough."""

    name, categories = "bench-short", ("length",)


class Plain(_Fine):
    """Finds everything plain enough."""

    name, categories = "bench-plain", ("length",)


class Length(muniment.Evaluator):
    """Counts characters."""

    name, default, version = "bench-length", True, "1"
    measures = (muniment.Measure("length", "characters"),)

    def evaluate(self, generation):
        return {"length": len(generation.text)}


class Words(muniment.Evaluator):
    """Counts words."""

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
