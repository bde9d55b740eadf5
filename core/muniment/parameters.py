"""Parameters: what a plugin object can be told, declared as a small class.

    class Parameters(muniment.Parameters):
        times: int = muniment.param(1, ge=1, le=10, help="how often to say it")

One declaration gives validation, a JSON schema and command-line options. The set of types is
closed: `bool`, `int`, `float`, `str`, `list[str]`, `Literal["a", "b"]` and any of these `| None`.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from muniment.errors import ParameterError

Value: typing.TypeAlias = bool | int | float | str | tuple[str, ...] | None

RESERVED = frozenset(
    "actor batch_size generator isolate json model n output parents policy prompt run seed stream "
    "store system tag tags help version fields keys schema home overwrite".split()
)

_DIGITS = 20  # a whole number has at most, as many as a seed

_TYPES: dict[object, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list[str]: "strings",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One declared parameter.

    `type` is one of boolean, integer, number, string, strings, choice; `ge` and `le` bound
    numbers inclusively; `choices` are the values of a Literal.
    """

    name: str
    type: str
    default: Value
    help: str = ""
    ge: float | None = None
    le: float | None = None
    choices: tuple[str, ...] = ()
    optional: bool = False

    def parse(self, value: object) -> Value:
        """Return `value` as this field's type; text, as typed on a command line, is read.

        Raises ParameterError naming what was expected.
        """
        if value is None and self.optional:
            return None
        try:
            parsed = _READERS[self.type](value)
        except (TypeError, ValueError):
            raise ParameterError(
                self.name, f"{self.name} must be {self._expected()}, not {_shown(value)}"
            ) from None
        if self.choices and parsed not in self.choices:
            raise ParameterError(
                self.name, f"{self.name} must be {self._expected()}, not {_shown(value)}"
            )
        if isinstance(parsed, int | float) and not isinstance(parsed, bool):
            low, high = self.ge, self.le
            if (low is not None and parsed < low) or (high is not None and parsed > high):
                raise ParameterError(
                    self.name, f"{self.name} must be {self._expected()}, not {_shown(value)}"
                )
        return parsed

    def schema(self) -> dict[str, Any]:
        """Return this field as JSON schema (draft 2020-12)."""
        body: dict[str, Any]
        if self.type == "strings":
            body = {"type": "array", "items": {"type": "string"}}
        elif self.type == "choice":
            body = {"type": "string", "enum": list(self.choices)}
        else:
            body = {"type": self.type}
        if self.optional:
            body["type"] = [body["type"], "null"]
            if "enum" in body:
                body["enum"].append(None)
        if self.ge is not None:
            body["minimum"] = self.ge
        if self.le is not None:
            body["maximum"] = self.le
        body["default"] = list(self.default) if isinstance(self.default, tuple) else self.default
        if self.help:
            body["description"] = self.help
        return body

    def _expected(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        noun = {
            "boolean": "true or false",
            "integer": "a whole number",
            "number": "a number",
            "string": "text",
            "strings": "a list of texts",
        }[self.type]
        if self.ge is not None and self.le is not None:
            return f"{noun} from {self.ge:g} to {self.le:g}"
        if self.ge is not None:
            return f"{noun} of at least {self.ge:g}"
        if self.le is not None:
            return f"{noun} of at most {self.le:g}"
        return noun


@dataclass(frozen=True, slots=True)
class _Declared:
    default: Any
    help: str
    ge: float | None
    le: float | None


def param(default: Any, *, help: str = "", ge: float | None = None, le: float | None = None) -> Any:
    """Declare a parameter: its default, what it does, and (for numbers) its inclusive range."""
    return _Declared(default, help, ge, le)


class Parameters:
    """The parameters of one plugin object; subclass it and annotate each with `param(...)`.

    An instance is immutable and holds every parameter that acts, defaults included.
    """

    _fields: typing.ClassVar[dict[str, Field]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        hints = typing.get_type_hints(cls)
        fields = dict(cls._fields)
        for name, hint in vars(cls).get("__annotations__", {}).items():
            if not isinstance(vars(cls).get(name), _Declared) and "ClassVar" not in str(hint):
                raise TypeError(f"{cls.__qualname__}.{name}: declare it with muniment.param(...)")
        for name, declared in list(vars(cls).items()):
            if not isinstance(declared, _Declared):
                continue
            fields[name] = _field(cls, name, hints.get(name), declared)
            delattr(cls, name)
        cls._fields = fields

    def __init__(self, /, **values: object) -> None:
        """Take the values given and the defaults of the others.

        Raises ParameterError for a name that is not declared or a value that does not fit.
        """
        for name in values:
            if name not in self._fields:
                known = ", ".join(self._fields) or "none"
                raise ParameterError(name, f"no parameter named {name!r}; available: {known}")
        for name, field in self._fields.items():
            value = field.parse(values[name]) if name in values else field.default
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"parameters are immutable; {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"parameters are immutable; {name} cannot be deleted")

    def __iter__(self) -> Iterator[tuple[str, Value]]:
        return ((name, getattr(self, name)) for name in self._fields)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and dict(self) == dict(other)

    def __hash__(self) -> int:
        return hash((type(self), tuple(self)))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self)
        return f"{type(self).__qualname__}({shown})"

    @classmethod
    def fields(cls) -> Mapping[str, Field]:
        """Return the declared parameters by name, in the order they were declared."""
        return types.MappingProxyType(cls._fields)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Return the JSON schema (draft 2020-12) of the parameters as one object."""
        return {
            "type": "object",
            "properties": {name: field.schema() for name, field in cls._fields.items()},
            "additionalProperties": False,
        }


def _field(cls: type, name: str, hint: object, declared: _Declared) -> Field:
    where = f"{cls.__qualname__}.{name}"
    if name in RESERVED or name.startswith("_"):
        raise TypeError(f"{where}: the name {name!r} is reserved")
    union = typing.get_origin(hint) in (types.UnionType, typing.Union)
    arms = [arm for arm in typing.get_args(hint) if arm is not type(None)] if union else [hint]
    optional = union and type(None) in typing.get_args(hint)
    hint = arms[0] if len(arms) == 1 else None
    choices: tuple[str, ...] = ()
    if typing.get_origin(hint) is Literal:
        choices, kind = typing.get_args(hint), "choice"
        if not all(isinstance(choice, str) for choice in choices):
            raise TypeError(f"{where}: the choices of a Literal must be texts")
    elif hint in _TYPES:
        kind = _TYPES[hint]
    else:
        raise TypeError(f"{where}: parameters are bool, int, float, str, list[str] or Literal")
    field = Field(name, kind, None, declared.help, declared.ge, declared.le, choices, optional)
    try:
        default = field.parse(declared.default)
    except ParameterError as error:
        raise TypeError(f"{where}: the default does not fit: {error}") from None
    return Field(name, kind, default, declared.help, declared.ge, declared.le, choices, optional)


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise ValueError


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise TypeError
    if isinstance(value, str):
        if not (value.isascii() and value.removeprefix("-").isdigit()):
            raise ValueError
        if len(value) > _DIGITS + 1:
            raise ValueError
    number = int(value)
    if abs(number) >= 10**_DIGITS:
        raise ValueError
    return number


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    try:
        number = float(value)
    except OverflowError:
        raise ValueError from None
    if not math.isfinite(number):
        raise ValueError
    return number


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # a lone surrogate cannot be stored
    return value


def _strings(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (_string(value),)
    if not isinstance(value, list | tuple):
        raise TypeError
    return tuple(_string(item) for item in value)


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # a whole number of more digits than Python writes
        return "a number of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "…"


_READERS: dict[str, typing.Callable[[object], Value]] = {
    "boolean": _boolean,
    "integer": _integer,
    "number": _number,
    "string": _string,
    "strings": _strings,
    "choice": _string,
}
