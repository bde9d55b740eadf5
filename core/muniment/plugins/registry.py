"""Load plugins and look up the objects that they register.

A plugin that cannot be loaded is kept as a `LoadFailure`. The other plugins are not affected.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from muniment.config import normalised
from muniment.errors import (
    AmbiguousNameError,
    MunimentError,
    PluginError,
    UnknownNameError,
    similar_names,
)
from muniment.failures import explain, place_of_code
from muniment.names import normal_name
from muniment.parameters import Parameters
from muniment.plugins import discovery
from muniment.plugins.declarations import BASES, Kind
from muniment.plugins.discovery import Plugin
from muniment.plugins.objects import RegisteredObject, registered_object
from muniment.plugins.providers import absence_hint, needs_own_name
from muniment.plugins.quiet_output import quiet_stdout
from muniment.representation import showing
from muniment.types.inputs import InputSpec
from muniment.types.plugins import PluginRef


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """A plugin that could not be loaded, with the reason in one sentence and the traceback."""

    plugin: Plugin
    message: str
    traceback: str

    __repr__ = showing("plugin", "message")


class Plugins:
    """All installed plugins. They are imported when an object is first looked up."""

    __repr__ = showing("installed", "disabled", "broken")

    def __init__(
        self, plugins: Iterable[Plugin] | None = None, *, files: Iterable[str | Path] = ()
    ) -> None:
        """Select the installed plugins, or `plugins` unless None, and the single-file plugins.

        `files` are the paths of single-file plugins. Raises UsageError if two have one name.
        """
        file_plugins = discovery.file_plugins(files)
        packages = discovery.installed_plugins() if plugins is None else plugins
        self.installed = (*packages, *file_plugins)
        self.load_objects: Callable[[Plugin], list[RegisteredObject]] = load_objects
        self._objects: dict[Plugin, list[RegisteredObject]] = {}
        self.broken: list[LoadFailure] = []  # the plugins that could not be loaded so far
        self.disabled: tuple[str, ...] = ()
        self.hash_cache: Path | None = None  # file that caches the hashes of plugins' files

    def objects(
        self, kind: Kind, *, among: Collection[str] | None = None
    ) -> list[RegisteredObject]:
        """Return all registered objects of one kind, sorted by name.

        Loads all plugins, or only those of the distributions in `among`.
        """
        return [registered for registered in self.all_objects(among) if registered.kind == kind]

    def all_objects(self, among: Collection[str] | None = None) -> list[RegisteredObject]:
        """Return the objects of all kinds, sorted by name. Loads the same plugins as `objects`."""
        return sorted(self._load(among), key=lambda registered: registered.name)

    def find(
        self, kind: Kind, name: str, *, among: Collection[str] | None = None
    ) -> RegisteredObject:
        """Return the object with exactly that name. Loads the same plugins as `objects`.

        Raises UnknownNameError, or AmbiguousNameError if two distributions register the name.
        """
        name = normal_name(name)
        objects = self.objects(kind, among=among)
        matches = [registered for registered in objects if registered.name == name]
        if not matches:
            known = [registered.name for registered in objects]
            raise UnknownNameError(kind, name, known, self._hint(kind, name))
        if len(matches) > 1:
            raise AmbiguousNameError(
                kind,
                name,
                [registered.plugin.distribution for registered in matches],
                "uninstall one",
            )
        return matches[0]

    def generator(self, name: str, defaults: Mapping[str, str]) -> RegisteredObject:
        """Return the generator that `generate NAME` selects.

        The first of these that exists is returned:

        - the configured default of the media kind with that name (`defaults` maps kinds to names)
        - the generator with exactly that name
        - the only generator of that media kind

        A generator that `needs_own_name` is none of the last. Raises UnknownNameError or
        AmbiguousNameError.
        """
        name = normal_name(name)
        if name in defaults:
            return self.find("generator", defaults[name])
        objects = self.objects("generator")
        # The kind of application/* is empty, which is no name.
        of_kind = [
            registered
            for registered in objects
            if name and registered.media_kind == name and not needs_own_name(registered.name, name)
        ]
        if any(registered.name == name for registered in objects):
            return self.find("generator", name)
        if not of_kind:
            known = [known for known in self.generator_names() if known != name]
            raise UnknownNameError("generator", name, known, self._hint("generator", name))
        if len(of_kind) > 1:
            raise AmbiguousNameError(
                "generator",
                name,
                [registered.name for registered in of_kind],
                f"choose one with `muniment config set generator.{name} NAME`",
            )
        return of_kind[0]

    def generator_names(self) -> list[str]:
        """Return the names that `generator` accepts without a setting: media kinds, generators."""
        objects = self.objects("generator")
        kinds = sorted({registered.media_kind for registered in objects} - {""})
        return list(dict.fromkeys([*kinds, *(registered.name for registered in objects)]))

    def of_distribution(self, name: str) -> Plugin:
        """Return a plugin or command of an installed distribution. Raise UnknownNameError."""
        known: dict[str, Plugin] = {
            normalised(plugin.distribution): plugin
            for plugin in (*discovery.installed_commands(), *self.installed)
        }
        if (plugin := known.get(normalised(name))) is None:
            raise UnknownNameError("plugin", name, [item.distribution for item in known.values()])
        return plugin

    def ref(self, plugin: Plugin) -> PluginRef:
        """Return the distribution, version and code digest of a plugin.

        The hashes of unchanged files are read from `hash_cache`.
        """
        return plugin.ref(self.hash_cache)

    def disable(self, disabled: Collection[str]) -> None:
        """Ignore the plugins of these distributions, given by their normalised names.

        The error for an unknown name mentions them, because they may provide it.
        """
        ignored = [
            plugin for plugin in self.installed if normalised(plugin.distribution) in disabled
        ]
        self.disabled = tuple(sorted({plugin.distribution for plugin in ignored}))
        self.installed = tuple(plugin for plugin in self.installed if plugin not in ignored)

    def load(self) -> list[LoadFailure]:
        """Load all plugins and return the broken ones."""
        self.all_objects()
        return self.broken

    def add_failure(self, plugin: Plugin, error: MunimentError) -> None:
        """Add a plugin to `broken`, with the traceback of the exception that caused the error."""
        lines = traceback.format_exception(error.__cause__ or error)
        self.broken.append(LoadFailure(plugin, str(error), "".join(lines)))

    def _load(self, among: Collection[str] | None = None) -> Iterator[RegisteredObject]:
        for plugin in self.installed:
            if among is not None and plugin.distribution not in among:
                continue
            if plugin not in self._objects:
                try:
                    self._objects[plugin] = self._load_plugin(plugin)
                except PluginError as error:
                    if plugin.path:  # the user named this file, so the command cannot go on
                        raise
                    self._objects[plugin] = []
                    self.add_failure(plugin, error)
            yield from self._objects[plugin]

    def _load_plugin(self, plugin: Plugin) -> list[RegisteredObject]:
        """Return the objects of a plugin. Raise PluginError if it fails or registers nothing."""
        name = plugin.distribution
        try:
            objects = self.load_objects(plugin)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginError(
                name, f"plugin {name} cannot be loaded: {explain(error, plugin.module)}"
            ) from error
        if not objects:
            *hooks, last = [f"muniment_{kind}s" for kind in BASES]
            raise PluginError(
                name,
                f"{os.path.basename(plugin.path) or f'plugin {name}'} registers nothing; it needs "
                f"a function {', '.join(hooks)} or {last} that is marked @muniment.hookimpl and "
                "calls register",
            )
        return objects

    def _hint(self, kind: Kind, name: str) -> str:
        """Return how to get an unknown object: its plugin, or those that may provide it."""
        if kind == "generator" and (
            hint := absence_hint(
                name,
                [plugin.distribution for plugin in self.installed],
                self.disabled,
                {failure.plugin.distribution: failure.message for failure in self.broken},
            )
        ):
            return hint
        disabled = (
            f"plugin {name} is disabled (`muniment plugins enable {name}`)"
            for name in self.disabled
        )
        return "; ".join([*(broken.message for broken in self.broken), *disabled])


@quiet_stdout()
def load_objects(plugin: Plugin) -> list[RegisteredObject]:
    """Import a plugin and return the objects that its hooks register.

    Exceptions of the plugin are raised unchanged.
    """
    import pluggy

    from muniment import hookspecs

    module = plugin.load_module()
    # One manager for each plugin: in a shared one, a plugin that raises stops the following ones.
    manager = pluggy.PluginManager("muniment")
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise TypeError(_hook_problem(manager, module, str(error))) from error
    objects: list[RegisteredObject] = []
    for kind in BASES:

        def register(
            target: type | str,
            /,
            *,
            name: str | None = None,
            media_type: str | None = None,
            media_types: Sequence[str] | None = None,
            parameters: type[Parameters] | None = None,
            inputs: Sequence[InputSpec] | None = None,
            prompt: str | None = None,
            kind: Kind = kind,
        ) -> None:
            declared = name, media_type, parameters, media_types, inputs, prompt
            objects.append(registered_object(kind, plugin, target, *declared))

        getattr(manager.hook, f"muniment_{kind}s")(register=register)
    return objects


def _hook_problem(manager: Any, module: ModuleType, message: str) -> str:
    """Return a sentence about an invalid hook, with its place if its name is unknown."""
    hooks = [f"muniment_{kind}s" for kind in BASES]
    for name, function in vars(module).items():
        if name not in hooks and manager.parse_hookimpl_opts(module, name) is not None:
            meant = "".join(f"; did you mean {hook}?" for hook in similar_names(name, hooks)[:1])
            return f"unknown hook {name!r}{meant} ({place_of_code(function, module.__name__)})"
    return " ".join(message.split())  # the reason is in the later lines
