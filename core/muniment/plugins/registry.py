"""Load plugins and look up the objects that they register.

A plugin that cannot be loaded is kept as a `LoadFailure`. The other plugins are not affected.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from muniment.config import normalised
from muniment.errors import (
    AmbiguousNameError,
    MunimentError,
    ParameterError,
    PluginError,
    UnknownNameError,
    UsageError,
)
from muniment.failures import explain
from muniment.hookspecs import Evaluator, Filter, Generator, MediaType
from muniment.names import RULE, is_object_name, normal_name
from muniment.parameters import RESERVED, Field, Parameters
from muniment.plugins import discovery
from muniment.plugins.discovery import Plugin as Plugin
from muniment.plugins.providers import absence_hint
from muniment.representation import showing
from muniment.types.inputs import InputSpec
from muniment.types.plugins import PluginRef
from muniment.types.scores import Measure
from muniment.types.verdicts import UNREAD_FILTER

Kind: TypeAlias = Literal["generator", "filter", "evaluator", "media_type"]

_BASES: Mapping[Kind, type] = {
    "generator": Generator,
    "filter": Filter,
    "evaluator": Evaluator,
    "media_type": MediaType,
}
MAX_INPUT_BYTES = 2**28  # the databases store up to 2**30 bytes in a value
_INPUT_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_OPTION = re.compile(r"--[a-z][a-z0-9-]+ (TEXT|FILE)")
_PROMPTS = ("required", "optional")
_MEDIA_TYPE = re.compile(r"[a-z]+/[A-Za-z0-9.+-]+(; ?[a-z]+=[A-Za-z0-9.-]+)*")
_OTHER_TYPE = re.compile(r"(?!text/)[a-z]+/[A-Za-z0-9.+-]+")  # the core itself handles text
_SUFFIX = re.compile(r"(\.[A-Za-z0-9_-]+)+")


@dataclass(frozen=True, slots=True)
class RegisteredObject:
    """One object that a plugin registered, with enough data to list it without importing it.

    `target` is the class or a string "module:Class". `media_type` and `prompt` are those of a
    generator, and `media_types` are those of a media type. `parameters` of a media type are its
    `Export`.
    """

    kind: Kind
    name: str
    plugin: Plugin
    target: type | str
    media_type: str = ""
    parameters: type[Parameters] = Parameters
    media_types: tuple[str, ...] = ()
    inputs: tuple[InputSpec, ...] = ()
    prompt: str = "required"

    __repr__ = showing("kind", "name", "media_type", "plugin")

    def load_class(self) -> Any:
        """Import and return the registered class.

        Raises PluginError if it cannot be imported or is not a valid class of this kind.
        """
        if isinstance(self.target, type):
            return self.target
        module, _, attribute = self.target.partition(":")
        try:
            with quiet_stdout():
                loaded = getattr(importlib.import_module(module), attribute)
            if not (isinstance(loaded, type) and issubclass(loaded, _BASES[self.kind])):
                raise TypeError(f"{self.target} is not a {self.kind}")
            check_class(self.kind, loaded)
            if issubclass(loaded, Generator) and loaded.prompt != self.prompt:
                raise TypeError(f"register it with prompt={loaded.prompt!r}, which it declares")
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise PluginError(
                self.plugin.distribution,
                f"{self.kind} {self.name!r} of {self.plugin.distribution} cannot be loaded: "
                f"{explain(error, self.plugin.module)}",
            ) from error
        return loaded


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
        file_plugins = {plugin.path: plugin for plugin in map(Plugin.from_file, files)}
        names = [plugin.name for plugin in file_plugins.values()]
        if duplicate := next((name for name in names if names.count(name) > 1), None):
            raise UsageError(f"two single-file plugins have the name {duplicate}; rename one")
        packages = discovery.installed_plugins() if plugins is None else plugins
        self.installed = (*packages, *file_plugins.values())
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

        Raises UnknownNameError or AmbiguousNameError.
        """
        name = normal_name(name)
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
            *hooks, last = [f"muniment_{kind}s" for kind in _BASES]
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


def instantiate(registered: RegisteredObject, *arguments: Any) -> Any:
    """Return a new object of a registered class.

    Raises ParameterError if the class rejects its arguments, and PluginError for any other
    failure.
    """
    loaded = registered.load_class()
    try:
        with quiet_stdout():
            return loaded(*arguments)
    except (ParameterError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise PluginError(
            registered.plugin.distribution,
            f"{registered.kind} {registered.name!r} of {registered.plugin.distribution} "
            "cannot be created: "
            f"{explain(error, registered.plugin.module)}",
        ) from error


def checked_values(
    registered: RegisteredObject, declared: type[Parameters], values: Mapping[str, object]
) -> Any:
    """Return values as parameters of a class that a registered object declares.

    Raises ParameterError for an invalid value, and PluginError if the class raises anything else.
    """
    try:
        with quiet_stdout():
            return declared(**values)
    except (ParameterError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise PluginError(
            registered.plugin.distribution,
            f"the parameters of {registered.kind} {registered.name!r} of "
            f"{registered.plugin.distribution} cannot be created: "
            f"{explain(error, registered.plugin.module)}",
        ) from error


class InterruptibleFilter(Filter):
    """A filter in a worker process, which is killed if a check exceeds `time_limit`."""

    time_limit: float  # seconds

    def ready(self) -> None:
        """Start the worker process if it is not running. This time counts against no limit."""


_quiet_lock = threading.Lock()
_quiet_depth = 0  # number of active quiet_stdout contexts in all threads
_quiet_exit = contextlib.ExitStack()  # restores standard output after the last of them


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """Redirect standard output to standard error, also for C code.

    Standard output contains only data, which the output of a plugin would corrupt. The redirection
    applies to the whole process, so it affects all threads while one of them is in this context.
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
        pass  # standard output or standard error is closed, so nothing can be redirected
    else:
        _quiet_exit.callback(os.close, saved)
        _quiet_exit.callback(os.dup2, saved, 1)
    _quiet_exit.callback(_flush_stdout)
    _quiet_exit.enter_context(contextlib.redirect_stdout(sys.stderr))


def _flush_stdout() -> None:
    with contextlib.suppress(AttributeError, OSError, ValueError):  # it is None or closed
        sys.stdout.flush()


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
    except pluggy.PluginValidationError as error:  # the reason is in the later lines
        raise TypeError(" ".join(str(error).split())) from error
    objects: list[RegisteredObject] = []
    for kind in _BASES:

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


def registered_object(
    kind: Kind,
    plugin: Plugin,
    target: object,
    name: object = None,
    media_type: object = None,
    parameters: object = None,
    media_types: object = None,
    inputs: object = None,
    prompt: object = None,
) -> RegisteredObject:
    """Return the object that a hook registered. Raise TypeError if its declaration is invalid."""
    if isinstance(target, type):
        if not issubclass(target, _BASES[kind]):
            raise TypeError(f"{target.__qualname__} is not a muniment.{_BASES[kind].__name__}")
        check_class(kind, target)
        name = name or getattr(target, "name", None)
        media_type = media_type or getattr(target, "media_type", None)
        parameters = parameters or getattr(target, options_attribute(kind), None)
        media_types = media_types or getattr(target, "media_types", None)
        inputs = inputs or getattr(target, "inputs", None)
        prompt = prompt or getattr(target, "prompt", None)
    elif not (isinstance(target, str) and re.fullmatch(r"[\w.]+:\w+", target)):
        raise TypeError(f"register a class or 'module:Class', not {target!r}")
    name = normal_name(name) if isinstance(name, str) else name
    if not is_object_name(name):
        raise TypeError(f"{target!r} needs a name of {RULE}, and no capitals, not {name!r}")
    if kind == "filter" and name == UNREAD_FILTER:
        raise TypeError(f"the filter name {name!r} is reserved for the core's own verdict")
    if kind == "generator" and not (
        isinstance(media_type, str) and _MEDIA_TYPE.fullmatch(media_type)
    ):
        raise TypeError(f"generator {name!r} needs a media type such as 'text/plain'")
    types = tuple(media_types) if isinstance(media_types, tuple | list) else ()
    if kind == "media_type" and not (
        types and all(isinstance(item, str) and _OTHER_TYPE.fullmatch(item) for item in types)
    ):
        raise TypeError(
            f"media type {name!r} needs media_types such as ('image/png',), without parameters "
            "and other than text/*"
        )
    parameters = Parameters if parameters is None else parameters
    if not (isinstance(parameters, type) and issubclass(parameters, Parameters)):
        raise TypeError(f"the Parameters of {name!r} must subclass muniment.Parameters")
    _check_parameters(parameters, kind)
    if kind != "media_type":
        types = ()
    specs = _checked_inputs(f"generator {name!r}", inputs, parameters) if inputs else ()
    media_type = str(media_type or "")
    prompt = (prompt or "required") if kind == "generator" else "required"
    if prompt not in _PROMPTS:
        raise TypeError(f"the prompt of {name!r} must be 'required' or 'optional', not {prompt!r}")
    fields = media_type, parameters, types, specs, str(prompt)
    return RegisteredObject(kind, name, plugin, target, *fields)


def options_attribute(kind: Kind) -> str:
    """Return the attribute of a class that declares its parameters, or the options of its files."""
    return "Export" if kind == "media_type" else "Parameters"


_LISTS_OF_TEXTS = (
    "media_types",
    "categories",
    "suffixes",
    "lossy_suffixes",
    "plain_suffixes",
    "altering_options",
)


def check_class(kind: Kind, cls: type) -> None:
    """Raise TypeError if an attribute that a class declares cannot be recorded or displayed."""
    where = cls.__qualname__
    options = options_attribute(kind)
    declared = getattr(cls, options, Parameters)
    if not (isinstance(declared, type) and issubclass(declared, Parameters)):
        raise TypeError(f"{where}.{options} must subclass muniment.Parameters")
    _check_parameters(declared, kind)
    for name in _LISTS_OF_TEXTS:
        if not _is_texts(getattr(cls, name, ())):
            raise TypeError(f"{where}.{name} must be a tuple of texts")
    if kind == "generator":
        if cls.determinism not in ("exact", "best-effort"):  # type: ignore[attr-defined]
            raise TypeError(f"{where}.determinism must be 'exact' or 'best-effort'")
        _checked_inputs(where, getattr(cls, "inputs", ()), declared)
        if cls.prompt not in _PROMPTS:  # type: ignore[attr-defined]
            raise TypeError(f"{where}.prompt must be 'required' or 'optional'")
        if not isinstance(cls.model_command, str):  # type: ignore[attr-defined]
            raise TypeError(f"{where}.model_command must be a text")
    elif not _is_label(cls.version):  # type: ignore[attr-defined]
        raise TypeError(f"{where}.version must be a short text")
    if not all(map(_SUFFIX.fullmatch, getattr(cls, "suffixes", ()))):
        raise TypeError(f"{where}.suffixes must be endings of files, such as ('.png',)")
    for name in ("lossy_suffixes", "plain_suffixes"):
        if not set(getattr(cls, name, ())) <= set(getattr(cls, "suffixes", ())):
            raise TypeError(f"{where}.{name} must be among its suffixes")
    if not set(getattr(cls, "altering_options", ())) <= set(declared.fields()):
        raise TypeError(f"{where}.altering_options must be among the fields of its Export")
    for field in declared.fields().values():
        if not set(field.suffixes) <= set(getattr(cls, "suffixes", ())):
            raise TypeError(f"the suffixes of {where}.Export.{field.name} must be among its own")
    if kind == "evaluator":
        measures = getattr(cls, "measures", None)
        if not isinstance(measures, tuple) or not all(map(_is_measure, measures)):
            raise TypeError(f"{where}.measures must be a tuple of muniment.Measure, each named")


def _check_parameters(declared: type[Parameters], kind: Kind) -> None:
    """Raise TypeError unless `fields()` and `schema()` return valid options and a JSON schema.

    Only objects of some kinds can have judged parameters, and parameters that refer to models.

    A subclass may have overridden them with methods that return something else.
    """
    fields: object = declared.fields()
    if not isinstance(fields, Mapping) or not all(isinstance(f, Field) for f in fields.values()):
        raise TypeError(
            f"{declared.__qualname__}.fields() must return fields declared with muniment.param"
        )
    if "model" in fields and kind in ("generator", "media_type"):  # it would be the option -m
        raise TypeError(f"{declared.__qualname__}.model: the name 'model' is reserved")
    for field in fields.values():
        where = f"{declared.__qualname__}.{field.name}"
        if field.judged and kind != "generator":
            raise TypeError(f"{where}: only a parameter of a generator can be judged")
        if field.model and kind not in ("generator", "evaluator"):
            raise TypeError(f"{where}: only generators and evaluators have models as parameters")
    try:
        schema: object = json.loads(json.dumps(declared.schema(), allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        schema = None
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise TypeError(f"the schema of {declared.__qualname__} is not a JSON schema of an object")


def _checked_inputs(
    where: str, inputs: object, parameters: type[Parameters]
) -> tuple[InputSpec, ...]:
    """Return the inputs that a generator declares. Raise TypeError if one is invalid."""
    if not isinstance(inputs, tuple | list) or not all(isinstance(i, InputSpec) for i in inputs):
        raise TypeError(f"the inputs of {where} must be a tuple of muniment.InputSpec")
    taken = {*parameters.fields(), *RESERVED, "model"}
    for spec in inputs:
        if not (isinstance(spec.name, str) and _INPUT_NAME.fullmatch(spec.name)):
            raise TypeError(f"the input {spec.name!r} of {where} needs a name of a-z, 0-9 and '_'")
        if not spec.media_types or not all(map(_MEDIA_TYPE.fullmatch, spec.media_types)):
            raise TypeError(f"the input {spec.name} of {where} needs media types such as text/csv")
        if type(spec.max_bytes) is not int or not 0 < spec.max_bytes <= MAX_INPUT_BYTES:
            raise TypeError(
                f"the input {spec.name} of {where} must have max_bytes of 1 to {MAX_INPUT_BYTES:,}"
            )
        if spec.option and not _OPTION.fullmatch(spec.option):
            raise TypeError(
                f"the option of the input {spec.name} of {where} must be of the form '--name TEXT' "
                "or '--name FILE'"
            )
        names = {spec.name, spec.option.partition(" ")[0].lstrip("-").replace("-", "_")}
        if taken & names:
            raise TypeError(f"the input {spec.name} of {where} has a name or option that is taken")
        taken |= names - {""}
    return tuple(inputs)


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
