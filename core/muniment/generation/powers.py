"""The optional powers of generators: to score texts, and to represent outputs as vectors.

Each result names the digest of the model and the plugin that made it. Nothing is recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from muniment.errors import UnknownNameError, UsageError
from muniment.generation.generators import Generators
from muniment.hookspecs import Generator, ModelProvider, powers_of
from muniment.models.registry import Models
from muniment.plugins.invocation import calling, validate_scores, validate_vectors
from muniment.plugins.objects import RegisteredObject, checked_values
from muniment.plugins.registry import Plugins
from muniment.representation import showing
from muniment.types.media_types import is_text_type
from muniment.types.models import Model
from muniment.types.outputs import Output
from muniment.types.plugins import PluginRef
from muniment.types.requests import Request
from muniment.types.scores import TokenScores
from muniment.validation import check_text, check_texts


@dataclass(frozen=True, slots=True)
class ScoredTexts:
    """The probabilities of texts under a model.

    Attributes:
        scores: Those of each text, in the order of the texts.
        model: The model.
        plugin: The plugin of the generator.

    Example:
        >>> scored = session.score(["the sea"])
        >>> isinstance(scored, muniment.ScoredTexts), scored.scores[0].logprobs
        (True, (-0.5,))
    """

    scores: tuple[TokenScores, ...]
    model: Model | None
    plugin: PluginRef

    __repr__ = showing("scores", "model")


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors of outputs.

    Attributes:
        vectors: The vector of each output, in the order of the outputs.
        model: The model, or None if the generator uses none.
        plugin: The plugin of the generator.

    Example:
        >>> made = session.embed([muniment.Text("sea")], generator="text")
        >>> isinstance(made, muniment.Embeddings), made.vectors
        (True, ((1.0, 3.0),))
    """

    vectors: tuple[tuple[float, ...], ...]
    model: Model | None
    plugin: PluginRef

    __repr__ = showing("vectors", "model")


@dataclass(frozen=True, slots=True)
class _Ready:
    """A generator with its loaded model."""

    registered: RegisteredObject
    generator: Generator
    model: Model | None


class Powers:
    """Calls the optional methods of generators, with the models of a session."""

    def __init__(self, generators: Generators, plugins: Plugins, models: Models) -> None:
        self._generators = generators
        self._plugins = plugins
        self._models = models
        self._registered: dict[tuple[str, str, str], RegisteredObject] = {}

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
        prompts = _prompts(texts, prompts)
        ready = _Ready(*self._generators.loaded(generator, model))
        return self._score(ready, texts, prompts, parameters)

    def embed(self, outputs: Sequence[Output], generator: str, model: str | None) -> Embeddings:
        """Return a vector of each output. Raises UsageError, ModelError or PluginError."""
        return self._embed(_Ready(*self._generators.loaded(generator, model)), outputs)

    def score_with(
        self, model: Model, texts: Sequence[str], prompts: Sequence[str] | None
    ) -> ScoredTexts:
        """Return what `score` does, by the generator that a model was added for."""
        prompts = _prompts(texts, prompts)
        return self._score(self._ready(model, "score", "text/plain"), texts, prompts, {})

    def embed_with(self, model: Model, outputs: Sequence[Output]) -> Embeddings:
        """Return a vector of each output, by the generator that a model was added for.

        There is at least one output. Raises UsageError, ModelError or PluginError.
        """
        return self._embed(self._ready(model, "embed", outputs[0].media_type), outputs)

    def find_model(self, reference: str) -> Model:
        """Return a model, after adding it if it is the packaged model of a generator with powers.

        Raises UnknownNameError or ModelError.
        """
        try:
            return self._models.resolve(reference, None)
        except UnknownNameError:
            for registered in self._plugins.objects("generator"):
                provider = registered.load_class()
                if powers_of(provider) and issubclass(provider, ModelProvider):
                    with suppress(UnknownNameError):
                        self._generators.add_packaged(reference, registered)
                        return self._models.resolve(reference, None)
            raise

    def _ready(self, model: Model, power: str, media_type: str) -> _Ready:
        """Return the generator of a model, with the model loaded."""
        key = model.digest, power, media_type
        if key not in self._registered:
            self._registered[key] = self._generator_of(model, power, media_type)
        registered = self._registered[key]
        return _Ready(registered, self._generators.loaded_with(registered, model), model)

    def _generator_of(self, model: Model, power: str, media_type: str) -> RegisteredObject:
        """Return the generator that a model was added for.

        A model that was not added belongs to the only generator with the power and this media type.
        """
        added = self._models.added(on_error=lambda error: None)
        names = [record.generator for record in added if record.digest == model.digest]
        if not names:
            names = [
                item.name
                for item in self._plugins.objects("generator")
                if _is_alike(item.media_type, media_type) and power in powers_of(item.load_class())
            ]
        if len(set(names)) != 1:
            raise UsageError(
                f"{' or '.join(names) or 'no generator'} could {power} with the model "
                f"{model.name}; add the model with `muniment models add`"
            )
        return self._plugins.find("generator", names[0])

    def _score(
        self,
        ready: _Ready,
        texts: Sequence[str],
        prompts: Sequence[str],
        parameters: Mapping[str, object],
    ) -> ScoredTexts:
        checked = checked_values(ready.registered, ready.registered.parameters, parameters)
        requests = [
            Request(id="", prompt=prompt, seed=0, parameters=checked, model=ready.model)
            for prompt in prompts
        ]
        with self._calling(ready, "score") as method:
            scores = validate_scores(method(requests, list(texts)), texts)
        plugin = self._plugins.ref(ready.registered.plugin)
        return ScoredTexts(tuple(scores), ready.model, plugin)

    def _embed(self, ready: _Ready, outputs: Sequence[Output]) -> Embeddings:
        with self._calling(ready, "embed") as method:
            vectors = validate_vectors(method(list(outputs)), outputs) if outputs else []
        plugin = self._plugins.ref(ready.registered.plugin)
        return Embeddings(tuple(map(tuple, vectors)), ready.model, plugin)

    @contextmanager
    def _calling(self, ready: _Ready, power: str) -> Iterator[Callable[..., Any]]:
        """Yield an optional method of a generator. An exception in it becomes a PluginError."""
        registered = ready.registered
        if power not in powers_of(ready.generator):
            able = [
                item.name
                for item in self._plugins.objects("generator")
                if power in powers_of(item.load_class())
            ]
            known = f"use {' or '.join(able)}" if able else "no installed generator can"
            raise UsageError(f"generator {registered.name} cannot {power}; {known}")
        with calling(registered):
            yield getattr(ready.generator, power)


class EvaluatorPowers:
    """The powers of one evaluator, with the models that its parameters name.

    `plugins` are those of the generators that were used.
    """

    def __init__(self, powers: Powers, models: Mapping[str, Model]) -> None:
        self._powers = powers
        self._models = models
        self.plugins: dict[PluginRef, None] = {}  # in the order of their first use

    def score(
        self, parameter: str, texts: Sequence[str], prompts: Sequence[str] | None = None
    ) -> Sequence[TokenScores]:
        """Return the probabilities of texts under the model that a parameter names."""
        scored = self._powers.score_with(self._model(parameter), texts, prompts)
        self.plugins[scored.plugin] = None
        return scored.scores

    def embed(self, parameter: str, outputs: Sequence[Output]) -> Sequence[Sequence[float]]:
        """Return a vector of each output, by the model that a parameter names."""
        model = self._model(parameter)
        if not outputs:
            return ()
        embedded = self._powers.embed_with(model, outputs)
        self.plugins[embedded.plugin] = None
        return embedded.vectors

    def _model(self, parameter: str) -> Model:
        if parameter not in self._models:
            raise UsageError(f"the parameter {parameter} names no model; set it to one")
        return self._models[parameter]


def _prompts(texts: Sequence[str], prompts: Sequence[str] | None) -> Sequence[str]:
    """Return a valid prompt for each text, or raise UsageError."""
    prompts = [""] * len(texts) if prompts is None else list(prompts)
    if len(prompts) != len(texts):
        raise UsageError(f"{len(texts)} texts have {len(prompts)} prompts; use one for each")
    check_texts("texts", texts)
    check_texts("prompts", prompts)
    for prompt in prompts:
        check_text("prompt", prompt)
    return prompts


def _is_alike(one: str, other: str) -> bool:
    """Return whether two media types are equal without parameters, or both are text."""
    return one.partition(";")[0].strip() == other.partition(";")[0].strip() or (
        is_text_type(one) and is_text_type(other)
    )
