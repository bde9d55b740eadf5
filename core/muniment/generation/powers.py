"""The optional powers of generators: to score texts, and to represent outputs as vectors.

Each result names the digest of the model and the plugin that made it. Nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from muniment.errors import MunimentError, PluginError, UsageError
from muniment.generation.requests import GenerationSpec, Resolver
from muniment.hookspecs import Generator, powers_of
from muniment.plugins.invocation import error_message, validate_scores, validate_vectors
from muniment.plugins.registry import Plugins, RegisteredObject, quiet_stdout
from muniment.types import Model, Output, PluginRef, Request, TokenScores

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class ScoredTexts:
    """The probabilities of texts under a model.

    Attributes:
        scores: Those of each text, in the order of the texts.
        model: The model.
        plugin: The plugin of the generator.
    """

    scores: tuple[TokenScores, ...]
    model: Model | None
    plugin: PluginRef


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors of outputs.

    Attributes:
        vectors: The vector of each output, in the order of the outputs.
        model: The model, or None if the generator uses none.
        plugin: The plugin of the generator.
    """

    vectors: tuple[tuple[float, ...], ...]
    model: Model | None
    plugin: PluginRef


class Powers:
    """Calls the optional methods of generators, with the models of a session."""

    def __init__(self, resolver: Resolver, plugins: Plugins) -> None:
        self._resolver = resolver
        self._plugins = plugins

    def score(
        self,
        texts: Sequence[str],
        prompts: Sequence[str] | None,
        generator: str,
        model: str | None,
        parameters: Mapping[str, object],
    ) -> ScoredTexts:
        """Return the probabilities of texts as answers to prompts, which are empty by default.

        Raises UsageError, ModelError or PluginError.
        """
        if prompts is not None and len(prompts) != len(texts):
            raise UsageError(f"{len(texts)} texts have {len(prompts)} prompts; use one for each")
        specs = [
            GenerationSpec(prompt, generator=generator, model=model, seed=0, parameters=parameters)
            for prompt in (prompts or [""] * len(texts))
        ]
        registered, ready, used = self._resolver.loaded(generator, model)
        requests = [self._request(spec, used) for spec in specs]
        with self._calling(registered, ready, "score") as method:
            scores = validate_scores(method(requests, list(texts)), texts)
        return ScoredTexts(tuple(scores), used, self._plugins.ref(registered.plugin))

    def embed(self, outputs: Sequence[Output], generator: str, model: str | None) -> Embeddings:
        """Return a vector of each output. Raises UsageError, ModelError or PluginError."""
        registered, ready, used = self._resolver.loaded(generator, model)
        with self._calling(registered, ready, "embed") as method:
            vectors = validate_vectors(method(list(outputs)), outputs) if outputs else []
        plugin = self._plugins.ref(registered.plugin)
        return Embeddings(tuple(map(tuple, vectors)), used, plugin)

    def _request(self, spec: GenerationSpec, model: Model | None) -> Request:
        checked = self._resolver.check(spec)
        return Request(
            id="",
            prompt=spec.prompt or "",
            seed=0,
            parameters=checked.parameters,
            model=model,
        )

    @contextmanager
    def _calling(
        self, registered: RegisteredObject, generator: Generator, power: str
    ) -> Iterator[Callable[..., Any]]:
        """Yield an optional method of a generator. An exception in it becomes a PluginError."""
        if power not in powers_of(generator):
            able = [
                item.name
                for item in self._plugins.objects("generator")
                if power in powers_of(item.load_class())
            ]
            known = f"use {' or '.join(able)}" if able else "no installed generator can"
            raise UsageError(f"generator {registered.name} cannot {power}; {known}")
        try:
            with quiet_stdout():
                yield getattr(generator, power)
        except (MunimentError, KeyboardInterrupt):
            raise
        except BaseException as error:
            distribution = registered.plugin.distribution
            raise PluginError(distribution, error_message(error, registered)) from error
