"""Finding, isolating and describing plugins.

Every plugin gets a PluginManager of its own: in a shared one, a plugin that raises keeps the next
from registering. A plugin that breaks is kept as `LoadFailure`, and everything else works on.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from muniment.config import normalised
from muniment.errors import (
    AmbiguousNameError,
    ParameterError,
    PluginError,
    UnknownNameError,
    UsageError,
)
from muniment.hookspecs import Evaluator, Filter, Generator
from muniment.parameters import Field, Parameters
from muniment.plugins import discovery
from muniment.plugins.discovery import NAME
from muniment.plugins.discovery import Plugin as Plugin
from muniment.types import Measure, PluginRef

Kind: TypeAlias = Literal["generator", "filter", "evaluator"]

_BASES: Mapping[Kind, type] = {"generator": Generator, "filter": Filter, "evaluator": Evaluator}
# What no plugin is blamed for. Everything else is caught: a panic of Rust code is no Exception.
INTERRUPTIONS = (KeyboardInterrupt, GeneratorExit)
_MEDIA_TYPE = re.compile(r"[a-z]+/[A-Za-z0-9.+-]+(; ?[a-z]+=[A-Za-z0-9.-]+)*")


@dataclass(frozen=True, slots=True)
class RegisteredObject:
    """One object a plugin registered: enough to list it, and the way to its class."""

    kind: Kind
    name: str
    plugin: Plugin
    target: type | str
    media_type: str = ""
    parameters: type[Parameters] = Parameters

    def load_class(self) -> Any:
        """Import and return the registered class.

        Raises PluginError when it cannot be imported or is not what was registered.
        """
        if isinstance(self.target, type):
            return self.target
        module, _, attribute = self.target.partition(":")
        try:
            with quiet_stdout():
                found = getattr(importlib.import_module(module), attribute)
        except INTERRUPTIONS:
            raise
        except BaseException as error:
            raise PluginError(
                self.plugin.distribution,
                f"{self.kind} {self.name!r} of {self.plugin.distribution} cannot be loaded: "
                f"{describe(error)}",
            ) from error
        if not (isinstance(found, type) and issubclass(found, _BASES[self.kind])):
            raise PluginError(
                self.plugin.distribution,
                f"{self.target} of {self.plugin.distribution} is not a {self.kind}",
            )
        try:
            check_class(self.kind, found)
        except TypeError as error:
            raise PluginError(
                self.plugin.distribution,
                f"{self.kind} {self.name!r} of {self.plugin.distribution} cannot be used: {error}",
            ) from None
        return found


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """A plugin that could not be loaded: why in one sentence, and the traceback."""

    plugin: Plugin
    message: str
    traceback: str


class Plugins:
    """All installed plugins; they are imported when the first object is asked for."""

    def __init__(
        self, plugins: Iterable[Plugin] | None = None, *, files: Iterable[str | Path] = ()
    ) -> None:
        """Take the plugins given, else those installed; and those of one file, by their paths."""
        one_file = {plugin.path: plugin for plugin in map(Plugin.from_file, files)}
        names = [plugin.name for plugin in one_file.values()]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise UsageError(f"two plugins of one file are called {twice}; rename one")
        found = discovery.installed_plugins() if plugins is None else plugins
        self.installed = (*found, *one_file.values())
        self._loader: Callable[[Plugin], list[RegisteredObject]] = load_objects
        self._objects: dict[Plugin, list[RegisteredObject]] = {}
        self._broken: list[LoadFailure] = []
        self.disabled: tuple[str, ...] = ()
        self.hash_cache: Path | None = None  # where hashes of plugins' files are remembered

    @property
    def broken(self) -> tuple[LoadFailure, ...]:
        """The plugins that were asked for so far and could not be loaded."""
        return tuple(self._broken)

    def objects(
        self, kind: Kind, *, among: Collection[str] | None = None
    ) -> list[RegisteredObject]:
        """Return everything registered of one kind, by name.

        Loads the plugins, or only those of the distributions named by `among`.
        """
        return sorted(
            (registered for registered in self._load(among) if registered.kind == kind),
            key=lambda registered: registered.name,
        )

    def find(
        self, kind: Kind, name: str, *, among: Collection[str] | None = None
    ) -> RegisteredObject:
        """Return the object of exactly that name; loads what `offers` loads.

        Raises UnknownNameError, or AmbiguousNameError when two distributions offer the name.
        """
        objects = self.objects(kind, among=among)
        found = [registered for registered in objects if registered.name == name]
        if not found:
            known = [registered.name for registered in objects]
            raise UnknownNameError(kind, name, known, self._broken_hint())
        if len(found) > 1:
            raise AmbiguousNameError(
                kind,
                name,
                [registered.plugin.distribution for registered in found],
                "uninstall one",
            )
        return found[0]

    def generator(self, name: str, defaults: Mapping[str, str]) -> RegisteredObject:
        """Return the generator that `generate NAME` means.

        The configured default for the media kind of that name (`defaults`: kind → name), else
        the generator of exactly that name, else the only one of the kind.
        """
        if name in defaults:
            return self.find("generator", defaults[name])
        objects = self.objects("generator")
        of_kind = [
            registered for registered in objects if registered.media_type.partition("/")[0] == name
        ]
        if any(registered.name == name for registered in objects) or not of_kind:
            return self.find("generator", name)
        if len(of_kind) > 1:
            raise AmbiguousNameError(
                "generator",
                name,
                [registered.name for registered in of_kind],
                f"choose one with `muniment config set generator.{name} NAME`",
            )
        return of_kind[0]

    def ref(self, plugin: Plugin) -> PluginRef:
        """Return what evidence keeps of a plugin; unchanged files are not hashed again."""
        return plugin.ref(self.hash_cache)

    def load_by(self, loader: Callable[[Plugin], list[RegisteredObject]]) -> None:
        """Have plugins that were not asked for yet loaded by another function than `registered`."""
        self._loader = loader

    def leave_out(self, disabled: Collection[str]) -> None:
        """Do as if the plugins of these distributions (normalised names) were not installed.

        Where something of theirs may be missed, the error says that they are disabled.
        """
        left = [plugin for plugin in self.installed if normalised(plugin.distribution) in disabled]
        self.disabled = tuple(sorted({plugin.distribution for plugin in left}))
        self.installed = tuple(plugin for plugin in self.installed if plugin not in left)

    def load(self) -> tuple[LoadFailure, ...]:
        """Load all plugins and return the broken ones."""
        list(self._load())
        return self.broken

    def add_failure(self, plugin: Plugin, message: str) -> None:
        """Note that a plugin broke after it was loaded; call it while the exception is handled."""
        self._broken.append(LoadFailure(plugin, message, traceback.format_exc()))

    def _load(self, among: Collection[str] | None = None) -> Iterator[RegisteredObject]:
        for plugin in self.installed:
            if among is not None and plugin.distribution not in among:
                continue
            if plugin not in self._objects:
                try:
                    self._objects[plugin] = self._loader(plugin)
                except INTERRUPTIONS:
                    raise
                except BaseException as error:
                    why = f"plugin {plugin.distribution} cannot be loaded: {describe(error)}"
                    if plugin.path:  # it was asked for by name: without it nothing is as asked
                        raise PluginError(plugin.distribution, why) from error
                    self._objects[plugin] = []
                    self.add_failure(plugin, why)
            yield from self._objects[plugin]

    def _broken_hint(self) -> str:
        disabled = (
            f"plugin {name} is disabled (`muniment plugins enable {name}`)"
            for name in self.disabled
        )
        return "; ".join([*(broken.message for broken in self._broken), *disabled])


def make(registered: RegisteredObject, *arguments: Any) -> Any:
    """Return a new object of a registered class.

    Raises PluginError when it cannot be made, and the ParameterError by which it refuses what it
    was told.
    """
    made = registered.load_class()
    try:
        with quiet_stdout():
            return made(*arguments)
    except (ParameterError, *INTERRUPTIONS):
        raise
    except BaseException as error:
        raise PluginError(
            registered.plugin.distribution,
            f"{registered.kind} {registered.name!r} of {registered.plugin.distribution} "
            f"cannot be made: {describe(error)}",
        ) from error


class InterruptibleFilter(Filter):
    """A filter in a worker process, which is stopped when it takes longer than `time_limit`."""

    time_limit: float  # seconds

    def ready(self) -> None:
        """Start the process anew if it was stopped; what that takes is not the filter's."""


class WorkerError(Exception):
    """What was raised in a worker process, or befell it; `str()` is its whole description."""


def describe(error: BaseException) -> str:
    """Return an exception as part of a sentence: its type and its first line."""
    if isinstance(error, WorkerError):
        return str(error)
    try:
        first = str(error).strip().partition("\n")[0][:500]
    except Exception:  # what a plugin raises may not even say what it is
        first = ""
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


_quiet_lock = threading.Lock()
_quiet_depth = 0  # of plugin calls under way, in every thread
_quiet_exit = contextlib.ExitStack()  # restores standard output when the last one ends


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """Send what is written to standard output, by C code too, to standard error.

    Standard output is for data: a plugin that prints at import would spoil it. Standard output
    is the process's: while one thread is inside, every thread's output goes to standard error.
    """
    global _quiet_depth
    with _quiet_lock:
        if _quiet_depth == 0:
            _redirect_stdout()
        _quiet_depth += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_depth -= 1
            if _quiet_depth == 0:
                _quiet_exit.close()


def _redirect_stdout() -> None:
    _flush_stdout()
    try:
        saved = os.dup(1)
        os.dup2(2, 1)
    except OSError:
        pass  # one of the two is closed: there is nothing to spoil, or nowhere else to go
    else:
        _quiet_exit.callback(os.close, saved)
        _quiet_exit.callback(os.dup2, saved, 1)
    _quiet_exit.callback(_flush_stdout)
    _quiet_exit.enter_context(contextlib.redirect_stdout(sys.stderr))


def _flush_stdout() -> None:
    with contextlib.suppress(AttributeError, OSError, ValueError):  # none, or closed
        sys.stdout.flush()


def load_objects(plugin: Plugin) -> list[RegisteredObject]:
    """Import a plugin and return what its hooks register; raises whatever it raises."""
    with quiet_stdout():
        return _load_objects(plugin)


def _load_objects(plugin: Plugin) -> list[RegisteredObject]:
    import pluggy

    from muniment import hookspecs

    module = plugin.load_module()
    manager = pluggy.PluginManager("muniment")
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module)
        manager.check_pending()
    except pluggy.PluginValidationError as error:  # says what is wrong in its later lines
        raise TypeError(" ".join(str(error).split())) from error
    objects: list[RegisteredObject] = []
    for kind in _BASES:

        def register(
            target: type | str,
            /,
            *,
            name: str | None = None,
            media_type: str | None = None,
            parameters: type[Parameters] | None = None,
            kind: Kind = kind,
        ) -> None:
            objects.append(registered_object(kind, plugin, target, name, media_type, parameters))

        getattr(manager.hook, f"muniment_{kind}s")(register=register)
    return objects


def registered_object(
    kind: Kind,
    plugin: Plugin,
    target: object,
    name: object = None,
    media_type: object = None,
    parameters: object = None,
) -> RegisteredObject:
    """Return what a hook registered; raises TypeError where it cannot be listed or recorded."""
    if isinstance(target, type):
        if not issubclass(target, _BASES[kind]):
            raise TypeError(f"{target.__qualname__} is not a muniment.{_BASES[kind].__name__}")
        check_class(kind, target)
        name = name or getattr(target, "name", None)
        media_type = media_type or getattr(target, "media_type", None)
        parameters = parameters or getattr(target, "Parameters", None)
    elif not (isinstance(target, str) and re.fullmatch(r"[\w.]+:\w+", target)):
        raise TypeError(f"register a class or 'module:Class', not {target!r}")
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise TypeError(f"{target!r} needs a name of a-z, 0-9, '.', '_' and '-', not {name!r}")
    if kind == "generator" and not (
        isinstance(media_type, str) and _MEDIA_TYPE.fullmatch(media_type)
    ):
        raise TypeError(f"generator {name!r} needs a media type such as 'text/plain'")
    parameters = Parameters if parameters is None else parameters
    if not (isinstance(parameters, type) and issubclass(parameters, Parameters)):
        raise TypeError(f"the Parameters of {name!r} must subclass muniment.Parameters")
    _check_parameters(parameters)
    return RegisteredObject(kind, name, plugin, target, str(media_type or ""), parameters)


def check_class(kind: Kind, found: type) -> None:
    """Raise TypeError where what a class declares about itself would spoil the evidence."""
    where = found.__qualname__
    declared = getattr(found, "Parameters", Parameters)
    if not (isinstance(declared, type) and issubclass(declared, Parameters)):
        raise TypeError(f"{where}.Parameters must subclass muniment.Parameters")
    _check_parameters(declared)
    for name in ("media_types", "categories"):
        if not _is_texts(getattr(found, name, ())):
            raise TypeError(f"{where}.{name} must be a tuple of texts")
    if kind == "generator":
        if found.determinism not in ("exact", "best-effort"):  # type: ignore[attr-defined]
            raise TypeError(f"{where}.determinism must be 'exact' or 'best-effort'")
    elif not _is_label(found.version):  # type: ignore[attr-defined]
        raise TypeError(f"{where}.version must be a short text")
    if kind == "evaluator":
        measures = getattr(found, "measures", None)
        if not isinstance(measures, tuple) or not all(map(_is_measure, measures)):
            raise TypeError(f"{where}.measures must be a tuple of muniment.Measure, each named")


def _check_parameters(declared: type[Parameters]) -> None:
    """Raise TypeError where a class has overridden what commands make options and help from."""
    fields: object = declared.fields()
    if not isinstance(fields, Mapping) or not all(isinstance(f, Field) for f in fields.values()):
        raise TypeError(
            f"the fields of {declared.__qualname__} are not what muniment.param declares"
        )
    try:
        schema: object = json.loads(json.dumps(declared.schema(), allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        schema = None
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise TypeError(f"the schema of {declared.__qualname__} is no JSON schema of an object")


def _is_label(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 255 and value.isprintable()


def _is_texts(value: object) -> bool:
    return isinstance(value, tuple | list) and all(item and _is_label(item) for item in value)


def _is_measure(value: object) -> bool:
    return (
        isinstance(value, Measure)
        and _is_texts([value.name])
        and _is_label(value.unit)
        and (value.higher_is_better is None or isinstance(value.higher_is_better, bool))
    )
