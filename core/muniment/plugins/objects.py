"""Objects that plugins register, and the creation of what they name."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from muniment.errors import ParameterError, PluginError
from muniment.failures import explain
from muniment.hookspecs import Filter, Generator
from muniment.names import RULE, is_object_name, normal_name
from muniment.parameters import Parameters
from muniment.plugins.declarations import (
    BASES,
    MEDIA_TYPE,
    OTHER_TYPE,
    PROMPTS,
    Kind,
    check_class,
    check_parameters,
    checked_inputs,
    options_attribute,
)
from muniment.plugins.discovery import Plugin
from muniment.plugins.quiet_output import quiet_stdout
from muniment.representation import showing
from muniment.types.inputs import InputSpec
from muniment.types.verdicts import UNREAD_FILTER


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

    @property
    def media_kind(self) -> str:
        """The media kind of a generator. It is empty for application/*, which names no kind."""
        kind = self.media_type.partition("/")[0]
        return "" if kind == "application" else kind

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
            if not (isinstance(loaded, type) and issubclass(loaded, BASES[self.kind])):
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
        if not issubclass(target, BASES[kind]):
            raise TypeError(f"{target.__qualname__} is not a muniment.{BASES[kind].__name__}")
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
        isinstance(media_type, str) and MEDIA_TYPE.fullmatch(media_type)
    ):
        raise TypeError(f"generator {name!r} needs a media type such as 'text/plain'")
    types = tuple(media_types) if isinstance(media_types, tuple | list) else ()
    if kind == "media_type" and not (
        types and all(isinstance(item, str) and OTHER_TYPE.fullmatch(item) for item in types)
    ):
        raise TypeError(
            f"media type {name!r} needs media_types such as ('image/png',), without parameters "
            "and other than text/*"
        )
    parameters = Parameters if parameters is None else parameters
    if not (isinstance(parameters, type) and issubclass(parameters, Parameters)):
        raise TypeError(f"the Parameters of {name!r} must subclass muniment.Parameters")
    check_parameters(parameters, kind)
    if kind != "media_type":
        types = ()
    specs = checked_inputs(f"generator {name!r}", inputs, parameters) if inputs else ()
    media_type = str(media_type or "")
    prompt = (prompt or "required") if kind == "generator" else "required"
    if prompt not in PROMPTS:
        raise TypeError(f"the prompt of {name!r} must be 'required' or 'optional', not {prompt!r}")
    fields = media_type, parameters, types, specs, str(prompt)
    return RegisteredObject(kind, name, plugin, target, *fields)
