"""The base of the suites for generators, filters, evaluators and media types."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, NoReturn, ParamSpec

import jsonschema
import pytest

from muniment.errors import MunimentError, ParameterError, PluginError
from muniment.failures import describe
from muniment.parameters import Field, Parameters
from muniment.plugins.declarations import Kind
from muniment.plugins.discovery import ENTRY_POINT_GROUP, Plugin
from muniment.plugins.objects import RegisteredObject, instantiate, registered_object
from muniment.testing import isolated
from muniment.types.models import Model

_Arguments = ParamSpec("_Arguments")


def broken(sentence: str) -> NoReturn:
    """Fail the test with a sentence and no traceback: it is the plugin's author who reads it."""
    pytest.fail(sentence, pytrace=False)


def without_traceback(check: Callable[_Arguments, None]) -> Callable[_Arguments, None]:
    """Return a check of a suite that fails with the sentence of an assertion and no traceback."""

    @functools.wraps(check)
    def run(*arguments: _Arguments.args, **fixtures: _Arguments.kwargs) -> None:
        try:
            check(*arguments, **fixtures)
        except AssertionError as error:
            broken(str(error))

    return run


def check_import(subject: Any, module: str, seconds: float) -> None:
    """Fail the test if importing a module prints, takes too long or imports a large library.

    `subject` is a class or function of the plugin. `seconds` is the allowed processor time.
    """
    result = isolated.import_module(subject, module)
    assert not result.error, f"{module} cannot be imported in a fresh process: {result.error}"
    assert not result.output, (
        f"importing {module} printed {result.output[:80]!r}; "
        "print nothing while a module is imported"
    )
    assert not result.heavy, (
        f"importing {module} imports {', '.join(result.heavy)}; import it inside the function "
        "that needs it, or register a class as 'module:Class' with its name"
    )
    assert result.seconds <= seconds, (
        f"importing {module} takes {result.seconds:.2f} s of processor time, and may take "
        f"{seconds:g} s; delay the work until the object or command is used"
    )


class Contract:
    """The base of the suites for generators, filters, evaluators and media types.

    `plugin` is the module that the entry point names. By default it is the one that is installed
    for the class's package, else the class's own. `import_seconds` is the processor
    time that importing it may take. Override the fixture `models` if `parameters` name models.
    """

    kind: ClassVar[Kind]
    plugin: ClassVar[str] = ""
    parameters: ClassVar[Mapping[str, object]] = {}
    import_seconds: ClassVar[float] = 0.5
    parameter_models = MappingProxyType[str, Model]({})  # those of the fixture `models`

    @pytest.fixture
    def models(self) -> Mapping[str, Model]:
        """Return the models that `parameters` name, by the name of the parameter."""
        return {}

    @pytest.fixture(autouse=True)
    def _set_parameter_models(self, models: Mapping[str, Model]) -> None:
        self.parameter_models = MappingProxyType(dict(models))

    @property
    def subject(self) -> type[Any]:
        """The class under test, from the attribute that is called as its kind is."""
        declared = getattr(type(self), self.kind, None)
        assert isinstance(declared, type), (
            f"{type(self).__name__} does not say what it tests; "
            f"write `{self.kind} = YourClass` in it"
        )
        return declared

    @property
    def registered(self) -> RegisteredObject:
        """The class as a hook would register it."""
        subject = self.subject
        plugin = Plugin("contract", "", "contract", subject.__module__)
        try:
            return registered_object(self.kind, plugin, subject)
        except TypeError as error:
            broken(f"{subject.__name__} cannot be registered: {error}")

    def made(self, *arguments: object) -> Any:
        """Return a new object of the class."""
        try:
            return instantiate(self.registered, *arguments)
        except (PluginError, ParameterError) as error:
            broken(f"{error}; let it be made with what the suite's `parameters` give")

    def given(self) -> Any:
        """Return the parameters that the suite asks with."""
        try:
            return self.registered.parameters(**self.parameters)
        except ParameterError as error:
            broken(f"the suite's `parameters` are refused: {error}; give those it takes")

    @without_traceback
    def test_its_import_is_light_and_quiet(self) -> None:
        """Check the import of the module, which every command that generates repeats."""
        module = self.plugin or _entry_point(self.subject)
        check_import(self.subject, module, self.import_seconds)

    @without_traceback
    def test_its_parameters_are_json_and_fit_their_schema(self) -> None:
        """Check that parameters fit their schema, and are equal after a round trip through JSON."""
        declared = self.registered.parameters
        schema = declared.schema()
        try:
            json.dumps(schema, allow_nan=False)
            jsonschema.Draft202012Validator.check_schema(schema)
        except (TypeError, ValueError, jsonschema.SchemaError) as error:
            broken(f"the schema of {declared.__qualname__} is no JSON schema: {describe(error)}")
        fits = jsonschema.Draft202012Validator(schema).is_valid
        _check_recorded(declared, self.given(), fits)
        for field, value in _candidates(declared):
            where = f"{declared.__qualname__}({field.name}={value!r})"
            try:
                taken = declared(**{field.name: value})
            except ParameterError:
                continue
            except Exception as error:
                broken(
                    f"{where} raised {describe(error)}; refuse values by muniment.ParameterError"
                )
            assert fits({field.name: value}), (
                f"{where} is taken although the schema refuses it; declare what it takes by "
                "muniment.param(default, ge=..., le=...)"
            )
            _check_recorded(declared, taken, fits)


def _check_recorded(declared: type[Parameters], taken: Any, fits: Any) -> None:
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in dict(taken).items()}
    try:
        recorded = json.loads(json.dumps(values, allow_nan=False))
    except (TypeError, ValueError) as error:
        broken(f"{taken!r} cannot be recorded as JSON: {error}; keep to the types of the contract")
    assert fits(recorded), (
        f"{taken!r} does not fit the schema of {declared.__qualname__}, although it was "
        "accepted; let values be what muniment.param declares"
    )
    try:
        again = declared(**recorded)
    except (MunimentError, TypeError, ValueError) as error:
        broken(f"{taken!r} cannot be made again from what is recorded of it: {describe(error)}")
    assert dict(again) == dict(taken), (
        f"{taken!r} comes back from its record as {again!r}; replay could not be exact: "
        "change no value in __init__"
    )


def _candidates(declared: type[Parameters]) -> Iterator[tuple[Field, object]]:
    """Yield values for each parameter: sound ones, ones at its bounds and ones past them."""
    for field in declared.fields().values():
        default = field.default
        values: list[object] = [list(default) if isinstance(default, tuple) else default]
        values += [*field.choices, None, {}]
        if field.type != "strings":  # one text, as it is typed, is a list of one
            values.append("no such choice")
        match field.type:
            case "integer" | "number":
                bounds = [bound for bound in (field.ge, field.le) if bound is not None]
                values += [int(bound) + step for bound in bounds for step in (-1, 0, 1)]
                values += [-1, 0, 1, 2**53, True]
            case "string":
                values += ["", "text", "卫星", 5]
            case "strings":
                values += [[], ["a", "卫星"], [5]]
            case "boolean":
                values += [True, False, 1]
        yield from ((field, value) for value in values)


def _entry_point(subject: type) -> str:
    package = subject.__module__.partition(".")[0]
    modules = (entry.value for entry in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP))
    own = (module for module in modules if re.split("[:.]", module)[0] == package)
    return next(own, subject.__module__)
