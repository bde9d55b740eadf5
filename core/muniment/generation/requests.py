"""From what a caller asks to what a generator gets: names become objects, gaps become values."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import cast

from muniment.config import Config
from muniment.errors import ModelError, UsageError
from muniment.generation import seeds
from muniment.hookspecs import Generator, ModelProvider
from muniment.ids import new_id
from muniment.models.registry import Models
from muniment.parameters import Parameters, Value
from muniment.plugins.registry import Plugins, RegisteredObject, instantiate, quiet_stdout
from muniment.types import Failure, Generation, Model, PackagedModel, Request
from muniment.validation import check_id, check_text, escape_unencodable, now


@dataclass(frozen=True, slots=True)
class GenerationSpec:
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
class CheckedSpec:
    """A draft whose names and values were found valid, before its model is looked for."""

    spec: GenerationSpec
    seed: int
    registered: RegisteredObject
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class BoundRequest:
    """A draft with everything decided: the request, who answers it, and its record so far."""

    request: Request
    generation: Generation
    registered: RegisteredObject
    generator: Generator


class Resolver:
    """Resolves drafts; keeps one generator object for each generator and model."""

    def __init__(
        self,
        config: Config,
        plugins: Plugins,
        models: Models,
        add: Callable[[PackagedModel, str, ModelProvider], None],
    ) -> None:
        """Take the parts; `add` adds a packaged model, for the generator of that name."""
        self._config = config
        self._plugins = plugins
        self._models = models
        self._add = add
        self._generators: dict[tuple[str, str], Generator] = {}
        self._loaded: set[tuple[str, str]] = set()
        self._resolved_models: dict[tuple[str, str | None], Model] = {}
        self._found_again: dict[str, Model] = {}
        self._failed_additions: dict[str, ModelError] = {}

    def check(self, spec: GenerationSpec) -> CheckedSpec:
        """Return the draft with its seed, generator and parameters; the model is not looked at.

        Raises UsageError or PluginError with a sentence for the caller.
        """
        if spec.invalid is not None:
            raise UsageError(spec.invalid)
        check_text("prompt", spec.prompt)
        if spec.system is not None:
            check_text("system prompt", spec.system)
        if spec.model is not None:
            check_text("model's name", spec.model)
        for tag in spec.tags:
            check_text("tag", tag)
        for parent in spec.parents:
            check_id(parent)
        seed = seeds.random_seed() if spec.seed is None else seeds.parse_seed(spec.seed)
        registered = self._plugins.generator(spec.generator, self._config.generators())
        return CheckedSpec(spec, seed, registered, registered.parameters(**spec.parameters))

    def bind(
        self,
        checked: CheckedSpec,
        run_id: str,
        actor: str,
        policy: str,
        blocks: Callable[[GenerationSpec], bool],
    ) -> BoundRequest:
        """Return the draft with everything decided; a packaged model that it needs is added.

        `blocks` returns whether the policy blocks the prompts: then no model is added, and the
        request has a model without a digest. Raises UsageError, ModelError, PluginError or
        StoreError with a sentence for the caller.
        """
        spec, seed = checked.spec, checked.seed
        registered, parameters = checked.registered, checked.parameters
        model, generator = self._with_model(registered, spec, blocks)
        request = Request(
            id=new_id(),
            prompt=spec.prompt,
            seed=seed,
            parameters=parameters,
            system=spec.system,
            model=model,
        )
        generation = Generation(
            id=request.id,
            run_id=run_id,
            actor=actor,
            status="started",
            generator=registered.name,
            prompt=spec.prompt,
            seed=seed,
            started_at=now(),
            system=spec.system,
            model=model,
            parameters=dict(parameters),
            policy=policy,
            tags=spec.tags,
            parents=spec.parents,
            line=spec.line,
            plugins=(self._plugins.ref(registered.plugin),),
        )
        return BoundRequest(request, generation, registered, generator)

    def again(self, generation: Generation) -> BoundRequest:
        """Return the request of a recorded generation, to be answered once more.

        The model is looked for by digest and hashed afresh, once. Raises as `resolve` does.
        """
        recorded = {plugin.distribution for plugin in generation.plugins}
        registered = self._plugins.find("generator", generation.generator, among=recorded)
        parameters = registered.parameters(**generation.parameters)
        model, generator = None, self._object(registered, None)
        if generation.model is not None:
            model = self._hashed_afresh(generation.model, generator)
            generator = self._object(registered, model)
        request = Request(
            id=generation.id,
            prompt=generation.prompt,
            seed=generation.seed,
            parameters=parameters,
            system=generation.system,
            model=model,
        )
        return BoundRequest(request, generation, registered, generator)

    def ready(self, resolved: BoundRequest) -> Generator:
        """Return the generator with its model loaded; raises what `Generator.load` raises."""
        model = resolved.request.model
        key = (resolved.registered.name, model.digest if model else "")
        if model is not None and key not in self._loaded:
            if not model.digest:  # the policy blocked the prompts, then allowed them
                raise ModelError(model.name, f"model {model.name} was not added; try again")
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

    def _with_model(
        self,
        registered: RegisteredObject,
        spec: GenerationSpec,
        blocks: Callable[[GenerationSpec], bool],
    ) -> tuple[Model | None, Generator]:
        generator = self._object(registered, None)
        name = registered.name
        if not generator.uses_model:
            if spec.model is not None:
                raise UsageError(f"generator {name} runs no model; leave -m away")
            return None, generator
        wanted = spec.model or self._config.get(f"model.{name}")
        key = (name, wanted)
        if key not in self._resolved_models:
            chosen = self._models.choose(wanted, name, generator)
            if isinstance(chosen, PackagedModel):
                if blocks(spec):
                    return Model(chosen.name, "", ""), generator
                self._add_once(chosen, name, generator)
                chosen = chosen.name
            self._resolved_models[key] = self._models.resolve(chosen, generator)
        model = self._resolved_models[key]
        return model, self._object(registered, model)

    def _add_once(self, packaged: PackagedModel, name: str, generator: Generator) -> None:
        """Add a packaged model; after a failure, raise its error again without a second attempt."""
        if packaged.name not in self._failed_additions:
            try:
                return self._add(packaged, name, cast(ModelProvider, generator))
            except ModelError as error:
                self._failed_additions[packaged.name] = error
        raise self._failed_additions[packaged.name]

    def _hashed_afresh(self, recorded: Model, generator: Generator) -> Model:
        if recorded.digest not in self._found_again:
            model = self._models.with_digest(recorded.digest, recorded, generator)
            if model is None:
                raise UsageError(f"no model here has the digest {recorded.digest}")
            self._found_again[recorded.digest] = model
        return self._found_again[recorded.digest]

    def _object(self, registered: RegisteredObject, model: Model | None) -> Generator:
        key = (registered.name, model.digest if model else "")
        if key not in self._generators:
            self._generators[key] = instantiate(registered)
        return self._generators[key]


def unresolved(
    spec: GenerationSpec, reason: str, run_id: str, actor: str, policy: str
) -> Generation:
    """Return the record of a draft that could not be resolved, before its failure is recorded."""
    try:
        seed = seeds.random_seed() if spec.seed is None else seeds.parse_seed(spec.seed)
    except UsageError:  # any seed said here would be found by it
        seed = seeds.random_seed()
    return Generation(
        id=new_id(),
        run_id=run_id,
        actor=actor,
        status="started",
        generator=escape_unencodable(spec.generator),
        prompt=escape_unencodable(spec.prompt),
        seed=seed,
        started_at=now(),
        system=spec.system and escape_unencodable(spec.system),
        model=None if spec.model is None else Model(escape_unencodable(spec.model), "", ""),
        parameters={
            escape_unencodable(name): requested_value(value)
            for name, value in spec.parameters.items()
        },
        policy=policy,
        tags=tuple(escape_unencodable(tag) for tag in spec.tags),
        line=spec.line,
        failure=Failure("invalid", escape_unencodable(reason)),
    )


def requested_value(value: object) -> Value:
    """Return the value of a parameter as it is kept when nobody knows what it should have been."""
    if isinstance(value, str):
        return escape_unencodable(value)
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(map(escape_unencodable, value))
    short = isinstance(value, int) and not abs(value) >> 999  # Python writes no longer ones
    if value is None or short or (isinstance(value, float) and isfinite(value)):
        return value  # type: ignore[return-value]
    try:
        return escape_unencodable(json.dumps(value, ensure_ascii=False))
    except (TypeError, ValueError, RecursionError):
        return type(value).__name__


def samples(spec: GenerationSpec, count: int) -> list[GenerationSpec]:
    """Return `count` drafts that differ in their seeds only; the first keeps the draft's own."""
    if count == 1:
        return [spec]
    first = seeds.random_seed() if spec.seed is None else seeds.parse_seed(spec.seed)
    return [replace(spec, seed=seeds.sample_seed(first, index)) for index in range(count)]
