"""Ask a generator for the parts of a request that depend on its model."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from muniment.errors import InputError, ModelError, ParameterError, PluginError, UsageError
from muniment.failures import explain
from muniment.generation.inputs import Matches, read_inputs, unknown
from muniment.hookspecs import Generator
from muniment.plugins.objects import RegisteredObject
from muniment.plugins.quiet_output import quiet_stdout
from muniment.types.generations import Generation
from muniment.types.inputs import Input
from muniment.types.requests import Request, Resolution


def resolve_request(
    generator: Generator,
    registered: RegisteredObject,
    request: Request,
    given: Collection[str] = (),
    matches: Matches = unknown,
) -> Request:
    """Return the request with the values and inputs that the generator's `resolve` adds.

    `given` has the names of the parameters that keep their values, even where the value is the
    declared default. `matches` is as in `read_inputs`. Raises UsageError or ModelError as `resolve`
    does. Any other exception and an invalid result become a PluginError.
    """
    try:
        with quiet_stdout():
            resolution = generator.resolve(request, request.model)
        return _with_resolution(request, resolution, registered, given, matches)
    except (UsageError, ModelError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise PluginError(
            registered.plugin.distribution,
            f"generator {registered.name} cannot resolve a request: "
            f"{explain(error, registered.plugin.module)}",
        ) from error


def _with_resolution(
    request: Request,
    resolution: object,
    registered: RegisteredObject,
    given: Collection[str],
    matches: Matches,
) -> Request:
    """Return the request with a resolution. Raise TypeError or ValueError if it is invalid."""
    if not isinstance(resolution, Resolution):
        raise TypeError(f"resolve() returned {type(resolution).__name__}, not a Resolution")
    fields, values = registered.parameters.fields(), dict(request.parameters)
    for name, value in resolution.parameters.items():
        if name in values and values[name] not in (fields[name].default, value):
            raise ValueError(f"resolve() changed the parameter {name}, which the request sets")
        # The plugin cannot tell a given value that is the default, so this is no error.
        if name not in given:
            values[name] = value
    added = _added_inputs(request, resolution, registered, matches)
    try:
        return replace(
            request,
            parameters=registered.parameters(**values),
            inputs=dict(sorted({**request.inputs, **added}.items())),
        )
    except ParameterError as error:
        raise ValueError(f"resolve() set an invalid value: {error}") from None


def _added_inputs(
    request: Request, resolution: Resolution, registered: RegisteredObject, matches: Matches
) -> dict[str, Input]:
    """Return the inputs that a resolution adds, checked as given ones are."""
    for name, data in resolution.inputs.items():
        if name in request.inputs:
            raise ValueError(f"resolve() replaced the input {name}, which the request has")
        if not isinstance(data, bytes):  # a path or an id would be read in the core
            raise TypeError(f"resolve() added {type(data).__name__} as the input {name}, not bytes")
    try:
        read = read_inputs(resolution.inputs, registered, _no_generation, matches)
    except InputError as error:
        raise ValueError(f"resolve() added an invalid input: {error}") from None
    return {item.name: item for item in read.inputs}


def _no_generation(reference: str) -> Generation:
    raise ValueError(f"resolve() cannot use the generation {reference}")
