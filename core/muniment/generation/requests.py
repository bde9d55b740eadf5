"""Resolution of generation specs: names become objects, and defaults become values."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from muniment.config import Config, normalised
from muniment.errors import ModelError, UnknownNameError, UsageError
from muniment.generation import seeds
from muniment.generation.generators import Generators
from muniment.generation.specs import GenerationSpec
from muniment.hookspecs import Generator
from muniment.ids import new_id
from muniment.parameters import Parameters
from muniment.plugins.model_files import naming_owner
from muniment.plugins.objects import RegisteredObject, checked_values
from muniment.plugins.quiet_output import quiet_stdout
from muniment.plugins.registry import Plugins
from muniment.types.generations import Generation
from muniment.types.inputs import Input
from muniment.types.models import Model
from muniment.types.plugins import PluginRef
from muniment.types.requests import Request
from muniment.validation import check_id, check_name, check_text, now

if TYPE_CHECKING:
    from muniment.generation.inputs import ReadInputs
    from muniment.generation.policy import Policy


@dataclass(frozen=True, slots=True)
class CheckedSpec:
    """A valid spec with its generator and parameters, before its model is resolved."""

    spec: GenerationSpec
    seed: int
    registered: RegisteredObject
    parameters: Parameters
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True, slots=True)
class BoundRequest:
    """A resolved spec: the request, its generator and the record to be started."""

    request: Request
    generation: Generation
    registered: RegisteredObject
    generator: Generator

    @property
    def group(self) -> tuple[str, str]:
        """The generator and the model's digest. Requests of one group are generated together."""
        model = self.request.model
        return self.registered.name, model.digest if model else ""


class _Blocked:
    """Whether the policy blocks a request, which is judged once, and only if it matters."""

    def __init__(self, request: Callable[[], Request], blocks: Callable[[Request], bool]) -> None:
        self._request, self._blocks = request, blocks
        self._answer: bool | None = None

    def __call__(self) -> bool:
        if self._answer is None:
            self._answer = self._blocks(self._request())
        return self._answer


class Resolver:
    """Resolves specs, and recorded generations again, to requests."""

    def __init__(
        self,
        config: Config,
        plugins: Plugins,
        generators: Generators,
        recorded: Callable[[str], Generation],
        matches: Callable[[str, bytes], bool | None],
    ) -> None:
        """Take the parts.

        `recorded` returns a recorded generation by its id, which can be abbreviated, as its caller
        got it. `matches` returns whether a plugin recognises bytes as a media type, or None if no
        plugin can tell.
        """
        self._config, self._plugins, self._generators = config, plugins, generators
        self._recorded, self._matches = recorded, matches
        self._last_read: tuple[GenerationSpec, RegisteredObject, ReadInputs] | None = None

    def check(self, spec: GenerationSpec) -> CheckedSpec:
        """Return the spec with its seed, generator, parameters and inputs, without its model.

        Raises UsageError or PluginError.
        """
        if spec.invalid is not None:
            raise UsageError(spec.invalid)
        check_text("prompt", spec.prompt or "")
        if spec.system is not None:
            check_text("system prompt", spec.system)
        if spec.model is not None:
            check_name("model's name", spec.model)
        for tag in spec.tags:
            check_name("tag", tag)
        for parent in spec.parents:
            check_id(parent)
        seed = seeds.random_seed() if spec.seed is None else seeds.parse_seed(spec.seed)
        registered = self._plugins.generator(spec.generator, self._config.generators())
        if registered.prompt == "required" and not (spec.prompt or "").strip():
            blank = "" if spec.prompt is None else ", and this one has no text"
            raise UsageError(f"generator {registered.name} needs a prompt{blank}; add one")
        parameters = checked_values(registered, registered.parameters, spec.parameters)
        if not spec.inputs:
            return CheckedSpec(spec, seed, registered, parameters)
        read = self.read_inputs(spec, registered)
        parents = tuple(dict.fromkeys([*spec.parents, *read.parents]))
        spec = replace(spec, parents=parents)
        return CheckedSpec(spec, seed, registered, parameters, read.inputs)

    def read_inputs(self, spec: GenerationSpec, registered: RegisteredObject) -> ReadInputs:
        """Return the inputs of a spec, which are read once for all of its samples.

        Raises InputError.
        """
        from muniment.generation.inputs import read_inputs

        last = self._last_read
        if last is None or last[0].inputs is not spec.inputs or last[1] is not registered:
            read = read_inputs(
                spec.inputs,
                registered,
                self._recorded,
                self._matches,
                hide_folders=spec.line is not None,  # errors of lines are recorded
            )
            self._last_read = last = spec, registered, read
        return last[2]

    def with_model_name(self, spec: GenerationSpec) -> GenerationSpec:
        """Return a spec with the name of its model, by which generations of it are recorded."""
        if spec.model is None:
            return spec
        return replace(spec, model=self._generators.model_name(spec.model))

    def bind(
        self,
        checked: CheckedSpec,
        run_id: str,
        actor: str,
        policy: Policy,
        blocks: Callable[[Request], bool],
    ) -> BoundRequest:
        """Return the resolved spec, after adding the packaged models that it needs, if any.

        `blocks` returns whether the policy blocks the prompts or inputs. Then no model is added,
        the request has a model without a digest, and the generator's `resolve` is not called.
        Raises UsageError, ModelError, PluginError or StoreError.
        """
        spec, registered = checked.spec, checked.registered
        without_models = partial(
            Request,
            id=new_id(),
            prompt=spec.prompt or "",
            seed=checked.seed,
            parameters=checked.parameters,
            system=spec.system,
            inputs={item.name: item for item in checked.inputs},
        )

        blocked = _Blocked(without_models, blocks)
        model, generator = self._generators.with_model(registered, spec.model, blocked)
        models = self._generators.models_of(checked.parameters, registered, generator, blocked)
        # The clock starts here: adding and loading a model is no part of a generation.
        request = without_models(model=model, models=models, started_at=now())
        left_to_resolve: set[str] = set()
        if type(generator).resolve is not Generator.resolve:
            left_to_resolve = _not_given(spec, checked.parameters)
            if not blocked():
                request = self._resolved(request, registered, generator, left_to_resolve, blocks)
        generation = Generation(
            id=request.id,
            run_id=run_id,
            actor=actor,
            status="started",
            generator=registered.name,
            prompt=request.prompt,
            seed=request.seed,
            started_at=request.started_at,
            system=spec.system,
            model=model,
            parameters=dict(request.parameters),
            models=request.models,
            policy=policy.label,
            policy_digest=policy.digest,
            tags=spec.tags,
            parents=spec.parents,
            line=spec.line,
            cell=spec.cell,
            inputs=tuple(request.inputs.values()),
            resolved_parameters=tuple(sorted(left_to_resolve)),
            resolved_inputs=tuple(name for name in request.inputs if name not in spec.inputs),
            plugins=(self._plugins.ref(registered.plugin),),
        )
        return BoundRequest(request, generation, registered, generator)

    def _resolved(
        self,
        request: Request,
        registered: RegisteredObject,
        generator: Generator,
        left: set[str],
        blocks: Callable[[Request], bool],
    ) -> Request:
        """Return the request with the values, inputs and models that `resolve` adds.

        `left` has the names of the parameters that the caller left to it.
        """
        from muniment.generation.resolution import resolve_request

        given = dict(request.parameters).keys() - left
        with naming_owner(request.model.path if request.model else "", registered, self._plugins):
            request = resolve_request(generator, registered, request, given, self._matches)
        blocked = partial(blocks, request)
        models = self._generators.models_of(request.parameters, registered, generator, blocked)
        return replace(request, models=models)

    def again(self, generation: Generation) -> BoundRequest:
        """Return the request of a recorded generation, for a replay.

        Models are found by their digests and hashed again, once. No model is added. Raises
        UsageError, ModelError or PluginError.
        """
        registered = self._recorded_generator(generation)
        parameters = checked_values(registered, registered.parameters, generation.parameters)
        model, generator = None, self._generators.get(registered, None)
        if generation.model is not None:
            model = self._generators.recorded_model(generation.model, generator)
            generator = self._generators.get(registered, model)
        request = Request(
            id=generation.id,
            prompt=generation.prompt,
            seed=generation.seed,
            parameters=parameters,
            system=generation.system,
            model=model,
            models={
                name: self._generators.recorded_model(recorded, generator)
                for name, recorded in generation.models.items()
            },
            started_at=generation.started_at,
            inputs={item.name: item for item in generation.inputs},
        )
        return BoundRequest(request, generation, registered, generator)

    def _recorded_generator(self, generation: Generation) -> RegisteredObject:
        """Return the generator in the recorded plugins, or in plugins with the same code.

        Raises PluginError, UsageError or UnknownNameError.
        """
        name, plugins = generation.generator, self._plugins
        recorded = {plugin.distribution for plugin in generation.plugins}
        try:
            return plugins.find("generator", name, among=recorded)
        except UnknownNameError as error:
            digests = {plugin.digest for plugin in generation.plugins} - {"unknown"}
            same = {
                plugin.distribution
                for plugin in plugins.installed
                if plugins.ref(plugin).digest in digests
            }
            with contextlib.suppress(UnknownNameError):
                return plugins.find("generator", name, among=same)
            # Only a plugin of one file has no version.
            files = [f"{item.distribution}.py" for item in generation.plugins if not item.version]
            if not files:
                if missing := _missing(generation.plugins, plugins):
                    verb = "is" if len(missing) == 1 else "are"
                    hint = f"{' and '.join(missing)} {verb} not installed"
                    raise UnknownNameError("generator", name, hint=hint) from error
                raise
            known = ", ".join(item.name for item in plugins.objects("generator")) or "none"
            raise UsageError(
                f"generator {name!r} was in the plugin of one file {' or '.join(files)}; give it "
                f"with --plugin FILE; available: {known}"
            ) from error

    def ready(self, bound: BoundRequest, *, retest: bool = False) -> Generator:
        """Return the generator with its model loaded. Raise as `Generator.load` does.

        `retest` repeats the tests whose results came from the generator's cache.
        """
        model = bound.request.model
        for needed in _models_in(bound.request):
            if not needed.digest:  # a filter blocked the prompts in `bind`, but not later
                raise ModelError(needed.name, f"model {needed.name} was not added; try again")
        if model is None:
            return bound.generator
        self._generators.load(bound.registered, bound.generator, model)
        if retest:
            with quiet_stdout():
                bound.generator.retest()
        return bound.generator


def _missing(recorded: Iterable[PluginRef], plugins: Plugins) -> list[str]:
    """Return the names and versions of recorded plugins of which no version is installed."""
    present = {"muniment", *(item.distribution for item in plugins.installed), *plugins.disabled}
    names = set(map(normalised, present))
    return [
        f"{plugin.distribution} {plugin.version}"
        for plugin in recorded
        if normalised(plugin.distribution) not in names
    ]


def _not_given(spec: GenerationSpec, parameters: Parameters) -> set[str]:
    """Return the names of the parameters that a caller did not set, or set to a default of None."""
    fields = parameters.fields()
    return {
        name
        for name, value in parameters
        if name not in spec.parameters or (value is None and fields[name].default is None)
    }


def _models_in(request: Request) -> list[Model]:
    model = () if request.model is None else (request.model,)
    return [*model, *request.models.values()]
