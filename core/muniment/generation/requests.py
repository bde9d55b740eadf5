"""From what a caller asks to what a generator gets: names become objects, gaps become values."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite

from muniment.config import Config
from muniment.errors import UsageError
from muniment.generation import seeds
from muniment.hookspecs import Generator
from muniment.ids import new_id
from muniment.models.registry import Models
from muniment.parameters import Value
from muniment.plugins.registry import Offer, Plugins, make, quiet_stdout
from muniment.types import Failure, Generation, Model, Request
from muniment.validation import check_id, check_text, now, storable


@dataclass(frozen=True, slots=True)
class Draft:
    """A request as a caller writes it: names, and gaps where defaults go.

    `generator` is a generator's name or a media kind (`text`); `seed` is drawn when None; `line`
    is the line of a batch file that the draft was read from, `invalid` why it could not be read.
    """

    prompt: str
    generator: str = "text"
    model: str | None = None
    system: str | None = None
    seed: int | str | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    line: int | None = None
    invalid: str | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """A draft with everything decided: the request, who answers it, and its record so far."""

    request: Request
    generation: Generation
    offer: Offer
    generator: Generator


class Resolver:
    """Resolves drafts; keeps one generator object for each generator and model."""

    def __init__(self, config: Config, plugins: Plugins, models: Models) -> None:
        self._config = config
        self._plugins = plugins
        self._models = models
        self._generators: dict[tuple[str, str], Generator] = {}
        self._loaded: set[tuple[str, str]] = set()
        self._resolved_models: dict[tuple[str, str | None], Model] = {}
        self._found_again: dict[str, Model] = {}

    def resolve(self, draft: Draft, run_id: str, actor: str, policy: str) -> Resolved:
        """Return the draft with everything decided.

        Raises UsageError, ModelError or PluginError with a sentence for whoever asked.
        """
        if draft.invalid is not None:
            raise UsageError(draft.invalid)
        check_text("prompt", draft.prompt)
        if draft.system is not None:
            check_text("system prompt", draft.system)
        if draft.model is not None:
            check_text("model's name", draft.model)
        for tag in draft.tags:
            check_text("tag", tag)
        for parent in draft.parents:
            check_id(parent)
        seed = seeds.draw() if draft.seed is None else seeds.parse(draft.seed)
        offer = self._plugins.generator(draft.generator, self._config.generators())
        parameters = offer.parameters(**draft.parameters)
        model, generator = self._with_model(offer, draft.model)
        request = Request(
            id=new_id(),
            prompt=draft.prompt,
            seed=seed,
            parameters=parameters,
            system=draft.system,
            model=model,
        )
        generation = Generation(
            id=request.id,
            run_id=run_id,
            actor=actor,
            status="started",
            generator=offer.name,
            prompt=draft.prompt,
            seed=seed,
            started_at=now(),
            system=draft.system,
            model=model,
            parameters=dict(parameters),
            policy=policy,
            tags=draft.tags,
            parents=draft.parents,
            line=draft.line,
            plugins=(self._plugins.ref(offer.plugin),),
        )
        return Resolved(request, generation, offer, generator)

    def again(self, generation: Generation) -> Resolved:
        """Return the request of a recorded generation, to be answered once more.

        The model is looked for by digest and hashed afresh, once. Raises as `resolve` does.
        """
        recorded = {plugin.distribution for plugin in generation.plugins}
        offer = self._plugins.find("generator", generation.generator, among=recorded)
        parameters = offer.parameters(**generation.parameters)
        model, generator = None, self._object(offer, None)
        if generation.model is not None:
            model = self._hashed_afresh(generation.model, generator)
            generator = self._object(offer, model)
        request = Request(
            id=generation.id,
            prompt=generation.prompt,
            seed=generation.seed,
            parameters=parameters,
            system=generation.system,
            model=model,
        )
        return Resolved(request, generation, offer, generator)

    def ready(self, resolved: Resolved) -> Generator:
        """Return the generator with its model loaded; raises what `Generator.load` raises."""
        model = resolved.request.model
        key = (resolved.offer.name, model.digest if model else "")
        if model is not None and key not in self._loaded:
            with quiet_stdout():
                resolved.generator.load(model)
            self._loaded.add(key)
        return resolved.generator

    def close(self) -> None:
        """Close the generators that were made; what one says at its end spoils nothing."""
        for generator in self._generators.values():
            with quiet_stdout(), contextlib.suppress(Exception, SystemExit):
                generator.close()
        self._generators.clear()
        self._loaded.clear()

    def _with_model(self, offer: Offer, wanted: str | None) -> tuple[Model | None, Generator]:
        generator = self._object(offer, None)
        if not generator.uses_model:
            if wanted is not None:
                raise UsageError(f"generator {offer.name} runs no model; leave -m away")
            return None, generator
        wanted = wanted or self._config.get("model")
        key = (offer.name, wanted)
        if key not in self._resolved_models:
            self._resolved_models[key] = self._models.resolve(wanted, generator)
        model = self._resolved_models[key]
        return model, self._object(offer, model)

    def _hashed_afresh(self, recorded: Model, generator: Generator) -> Model:
        if recorded.digest not in self._found_again:
            model = self._models.with_digest(recorded.digest, recorded, generator)
            if model is None:
                raise UsageError(f"no model here has the digest {recorded.digest}")
            self._found_again[recorded.digest] = model
        return self._found_again[recorded.digest]

    def _object(self, offer: Offer, model: Model | None) -> Generator:
        key = (offer.name, model.digest if model else "")
        if key not in self._generators:
            self._generators[key] = make(offer)
        return self._generators[key]


def unresolved(draft: Draft, reason: str, run_id: str, actor: str, policy: str) -> Generation:
    """Return the record of a draft that could not be resolved, before its failure is recorded."""
    try:
        seed = seeds.draw() if draft.seed is None else seeds.parse(draft.seed)
    except UsageError:  # any seed said here would be found by it
        seed = seeds.draw()
    return Generation(
        id=new_id(),
        run_id=run_id,
        actor=actor,
        status="started",
        generator=storable(draft.generator),
        prompt=storable(draft.prompt),
        seed=seed,
        started_at=now(),
        system=draft.system and storable(draft.system),
        model=None if draft.model is None else Model(storable(draft.model), "", ""),
        parameters={storable(name): asked(value) for name, value in draft.parameters.items()},
        policy=policy,
        tags=tuple(storable(tag) for tag in draft.tags),
        line=draft.line,
        failure=Failure("invalid", storable(reason)),
    )


def asked(value: object) -> Value:
    """Return the value of a parameter as it is kept when nobody knows what it should have been."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(map(storable, value))
    short = isinstance(value, int) and not abs(value) >> 999  # Python writes no longer ones
    if value is None or short or (isinstance(value, float) and isfinite(value)):
        return value  # type: ignore[return-value]
    try:
        return storable(json.dumps(value, ensure_ascii=False))
    except (TypeError, ValueError, RecursionError):
        return type(value).__name__


def samples(draft: Draft, count: int) -> list[Draft]:
    """Return `count` drafts that differ in their seeds only; the first keeps the draft's own."""
    if count == 1:
        return [draft]
    first = seeds.draw() if draft.seed is None else seeds.parse(draft.seed)
    return [replace(draft, seed=seeds.sample_seed(first, index)) for index in range(count)]
