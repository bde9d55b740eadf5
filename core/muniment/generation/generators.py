"""Generators with their models: one object for each generator and model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import cast

from muniment.config import Config
from muniment.errors import ModelError, MunimentError, UsageError
from muniment.hookspecs import Generator, ModelProvider
from muniment.models.registry import Models
from muniment.parameters import Parameters
from muniment.plugins.invocation import calling, environment_of, error_message
from muniment.plugins.model_files import naming_owner
from muniment.plugins.objects import RegisteredObject, instantiate
from muniment.plugins.quiet_output import quiet_stdout
from muniment.plugins.registry import Plugins
from muniment.types.models import Model, PackagedModel


class Generators:
    """The generators that a session uses, with the models that they resolve and load.

    There is one object for each generator and model, and each model is loaded once.
    """

    def __init__(
        self,
        config: Config,
        plugins: Plugins,
        models: Models,
        add: Callable[[PackagedModel, str, ModelProvider], None],
        loading: Callable[[str], AbstractContextManager[object]],
    ) -> None:
        """Take the parts.

        `add` adds a packaged model for the generator of that name. `loading` shows that the model
        of a name is loaded.
        """
        self._config, self._plugins, self._models = config, plugins, models
        self._add, self._loading = add, loading
        self._objects: dict[tuple[str, str], Generator] = {}
        self._loaded: set[tuple[str, str]] = set()
        self._resolved_models: dict[tuple[str, str | None], Model] = {}
        self._rehashed: dict[str, Model] = {}
        self._failed_additions: dict[str, ModelError] = {}

    def get(self, registered: RegisteredObject, model: Model | None) -> Generator:
        """Return the object of a generator and a model, whether it is loaded or not."""
        key = (registered.name, model.digest if model else "")
        if key not in self._objects:
            self._objects[key] = instantiate(registered)
        return self._objects[key]

    def with_model(
        self, registered: RegisteredObject, reference: str | None, blocked: Callable[[], bool]
    ) -> tuple[Model | None, Generator]:
        """Return a generator with its model, by a reference or (if None) by default.

        A packaged model is added, unless the prompts are blocked. It then has no digest. Raises
        UsageError, ModelError or PluginError.
        """
        generator = self.get(registered, None)
        name = registered.name
        if not generator.uses_model:
            if reference is not None:
                raise UsageError(f"generator {name} does not use a model; remove the model")
            return None, generator
        reference = reference or self._config.get(f"model.{name}")
        model = self._model(reference, name, generator, blocked)
        return model, self.get(registered, model)

    def models_of(
        self,
        parameters: Parameters,
        registered: RegisteredObject,
        generator: Generator,
        blocked: Callable[[], bool],
    ) -> dict[str, Model]:
        """Return the models that parameters name, by the name of the parameter."""
        return {
            name: self._model(reference, registered.name, generator, blocked)
            for name, reference in parameters.models().items()
        }

    def model_name(self, reference: str) -> str:
        """Return the name by which the model of a reference is recorded, if it is a path."""
        return self._models.path_name(reference)

    def recorded_model(self, recorded: Model, generator: Generator) -> Model:
        """Return the model with the digest of a recorded one, which is hashed again once.

        Raises UsageError if there is none.
        """
        if recorded.digest not in self._rehashed:
            model = self._models.with_digest(recorded.digest, recorded, generator)
            if model is None:
                raise UsageError(
                    f"no model here has the digest {recorded.digest}, that of {recorded.name:.80}; "
                    "add its folder with `muniment models add FOLDER`"
                )
            self._rehashed[recorded.digest] = model
        return self._rehashed[recorded.digest]

    def add_packaged(self, name: str, registered: RegisteredObject) -> None:
        """Add the packaged model of a generator by its name, if there is one that is not added.

        Raises ModelError.
        """
        generator = self.get(registered, None)
        chosen = self._models.choose(name, registered.name, generator)
        if isinstance(chosen, PackagedModel):
            self._add_once(chosen, registered.name, generator)

    def load(self, registered: RegisteredObject, generator: Generator, model: Model) -> None:
        """Load a model into a generator unless it is loaded. Raise as `Generator.load` does."""
        key = (registered.name, model.digest)
        if key not in self._loaded:
            self._load_model(registered, generator, model)
            self._loaded.add(key)

    def loaded(
        self, generator: str, model: str | None
    ) -> tuple[RegisteredObject, Generator, Model | None]:
        """Return a generator with a loaded model, by default its own.

        A packaged model is added first. Raises UsageError, ModelError or PluginError.
        """
        registered = self._plugins.generator(generator, self._config.generators())
        used, found = self.with_model(registered, model, lambda: False)
        if used is not None:
            self.load(registered, found, used)
        return registered, found, used

    def loaded_with(self, registered: RegisteredObject, model: Model) -> Generator:
        """Return a generator with a model that is resolved already. Raises ModelError."""
        generator = self.get(registered, model)
        self.load(registered, generator, model)
        return generator

    def verify_model(self, name: str) -> dict[str, str | int]:
        """Return the generator's facts after hashing, loading and testing an added model.

        No cache is used. Raises UnknownNameError, PluginError or ModelError.
        """
        registered = self._plugins.find("generator", self._models.get(name).generator)
        generator = instantiate(registered)
        model = self._models.resolve(name, generator, remembered=False)
        try:
            self._load_model(registered, generator, model)
            with quiet_stdout():
                generator.retest()
            return environment_of(generator)
        except MunimentError:
            raise
        except (Exception, SystemExit) as error:
            raise ModelError(name, error_message(error, registered)) from error
        finally:
            _close(generator)

    def close(self) -> None:
        """Close the generators, ignoring exceptions and output, and forget all models.

        A later request resolves its model again.
        """
        for generator in self._objects.values():
            _close(generator)
        for cached in (self._objects, self._resolved_models, self._rehashed):
            cached.clear()
        self._loaded.clear()

    def _load_model(self, registered: RegisteredObject, generator: Generator, model: Model) -> None:
        """Load the model, after offering a folder for results that depend on the plugin's code."""
        code = self._plugins.ref(registered.plugin)
        with self._loading(model.name), calling(registered):
            if code.digest != "unknown":
                folder = f"{code.distribution}-{code.digest.rpartition(':')[2]}"
                generator.use_cache(self._models.plugin_caches / folder)
            with naming_owner(model.path, registered, self._plugins):
                generator.load(model)

    def _model(
        self, reference: str | None, name: str, generator: Generator, blocked: Callable[[], bool]
    ) -> Model:
        """Return a model of the generator `name`, by its reference or (if None) by default.

        A packaged model is added, unless the prompts are blocked. It then has no digest.
        """
        key = (name, reference)
        if key not in self._resolved_models:
            chosen = self._models.choose(reference, name, generator)
            if isinstance(chosen, PackagedModel):
                if blocked():
                    return Model(chosen.name, "", "")
                self._add_once(chosen, name, generator)
                chosen = chosen.name
            self._resolved_models[key] = self._models.resolve(chosen, generator)
        return self._resolved_models[key]

    def _add_once(self, packaged: PackagedModel, name: str, generator: Generator) -> None:
        """Add a packaged model. Raise the error of a failed addition again without a retry."""
        if packaged.name not in self._failed_additions:
            try:
                return self._add(packaged, name, cast(ModelProvider, generator))
            except ModelError as error:
                self._failed_additions[packaged.name] = error
        raise self._failed_additions[packaged.name]


def _close(generator: Generator) -> None:
    with quiet_stdout(), contextlib.suppress(Exception, SystemExit, GeneratorExit):
        generator.close()
