"""The parameters of a plugin object, declared as a small class.

    class Parameters(muniment.Parameters):
        times: int = muniment.param(1, ge=1, le=10, help="how often to say it")

One declaration gives validation, a JSON schema and command-line options. The set of types is
closed: `bool`, `int`, `float`, `str`, `list[str]`, `Literal["a", "b"]` and any of these `| None`.

A text may be marked as one that the prompt rules of a policy check, or as a reference to a model:

        negative: str = muniment.param("", judged=True, help="text to stay away from")
        adapter: str | None = muniment.param(None, model=True, help="adapter of the model")
"""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import msgspec

from muniment.errors import ParameterError, choice_of

Value: typing.TypeAlias = bool | int | float | str | tuple[str, ...] | None

RESERVED = frozenset(
    (
        "actor bare batch_size combine evaluate generator input inputs isolate json judged like "
        "models n output parents policy private prompt run seed sheet stream store system "
        "tag tags help version fields keys schema home overwrite"
    ).split()
)

_DIGITS = 20  # the most digits of a whole number, as many as a seed has

_TYPES: dict[object, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list[str]: "strings",
}
_HINTS: dict[str, Any] = {
    **{name: hint for hint, name in _TYPES.items()},
    "strings": tuple[str, ...],
}
_NOUNS = {
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "strings": "a list of texts",
}


@dataclass(frozen=True, slots=True)
class Field:
    """One declared parameter.

    `type` is one of boolean, integer, number, string, strings, choice. `ge` and `le` bound
    numbers inclusively. `choices` are the values of a Literal. The prompt rules of a policy check
    the text of a `judged` parameter. The text of a `model` parameter is the name or path of a
    model. A `combined` option of a file has an effect only on a file of several outputs. One with
    `suffixes` has an effect only on files that end in one of them.
    """

    name: str
    type: str
    default: Value
    help: str = ""
    ge: float | None = None
    le: float | None = None
    choices: tuple[str, ...] = ()
    optional: bool = False
    judged: bool = False
    model: bool = False
    combined: bool = False
    suffixes: tuple[str, ...] = ()

    def parse(self, value: object) -> Value:
        """Return a value with the field's type. Text is parsed as on a command line.

        A single text is not read as a list of one text, because it may be a list in another
        notation. Raises ParameterError, which names the expected values.
        """
        try:
            plain: object = value
            if isinstance(value, str) and self.type in _FROM_TEXT:
                plain = _FROM_TEXT[self.type](value)
            # JSON has no NaN, infinity, lone surrogate, set or subclass of a type.
            text = json.dumps(plain, ensure_ascii=False, allow_nan=False)
            parsed: Value = msgspec.json.decode(text, type=self._hint())
            if isinstance(parsed, int | float) and not self._is_in_range(parsed):
                raise ValueError
        except (TypeError, ValueError, LookupError, RecursionError):
            raise ParameterError(
                self.name, f"{self.name} must be {self._expected()}, not {_short(value)}"
            ) from None
        # -0.0 becomes 0.0: equal values must act and be recorded alike.
        return parsed + 0.0 if isinstance(parsed, float) else parsed

    def schema(self) -> dict[str, Any]:
        """Return this field as JSON schema (draft 2020-12)."""
        facts = {"minimum": self.ge, "maximum": self.le, "description": self.help or None}
        extra: dict[str, Any] = {key: fact for key, fact in facts.items() if fact is not None}
        extra["default"] = list(self.default) if isinstance(self.default, tuple) else self.default
        return msgspec.json.schema(Annotated[self._hint(), msgspec.Meta(extra_json_schema=extra)])

    @property
    def range(self) -> str:
        """The inclusive range, such as "1 to 10" or "at least 0". Empty without bounds."""
        if self.ge is not None and self.le is not None:
            return f"{_plain(self.ge)} to {_plain(self.le)}"
        if self.ge is not None:
            return f"at least {_plain(self.ge)}"
        return f"at most {_plain(self.le)}" if self.le is not None else ""

    def _hint(self) -> Any:
        hint = Literal[self.choices] if self.choices else _HINTS[self.type]
        return hint | None if self.optional else hint

    def _is_in_range(self, number: float) -> bool:
        if isinstance(number, int) and abs(number) >= 10**_DIGITS:
            return False
        return (self.ge is None or number >= self.ge) and (self.le is None or number <= self.le)

    def _expected(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        preposition = " from " if self.ge is not None and self.le is not None else " of "
        return _NOUNS[self.type] + (preposition + self.range if self.range else "")


def param(
    default: Any,
    *,
    help: str = "",
    ge: float | None = None,
    le: float | None = None,
    judged: bool = False,
    model: bool = False,
    combined: bool = False,
    suffixes: tuple[str, ...] = (),
) -> Any:
    """Declare a parameter with its default, its help and (for numbers) its inclusive range.

    The text of a `judged` parameter of a generator is checked as the prompt is. The text of a
    `model` parameter of a generator or an evaluator refers to a model, as the option `-m` does.
    A `combined` parameter of `MediaType.Export` is an option of combined files alone, and one with
    `suffixes` of files that end in one of them.

    Example:
        >>> class Parameters(muniment.Parameters):
        ...     steps: int = muniment.param(10, ge=1, le=100, help="Number of steps")
        >>> Parameters(steps=20)
        Parameters(steps=20)
    """
    return Field(
        "",
        "",
        default,
        help,
        ge,
        le,
        judged=judged,
        model=model,
        combined=combined,
        suffixes=suffixes,
    )


class Parameters:
    """The parameters of one plugin object. A subclass declares each with `param(...)`.

    An instance is immutable and has the value of every parameter, including defaults.

    Example:
        >>> class Parameters(muniment.Parameters):
        ...     steps: int = muniment.param(10, ge=1, le=100, help="Number of steps")
        >>> Parameters.fields()["steps"].default, Parameters.schema()["type"]
        (10, 'object')
        >>> Parameters().models(), Parameters().judged()
        ({}, {})
    """

    _fields: typing.ClassVar[dict[str, Field]] = {}
    _model_names: typing.ClassVar[tuple[str, ...]] = ()
    _judged_names: typing.ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        hints = typing.get_type_hints(cls)
        declared = {name: value for name, value in vars(cls).items() if isinstance(value, Field)}
        for name, hint in vars(cls).get("__annotations__", {}).items():
            if name not in declared and "ClassVar" not in str(hint):
                raise TypeError(f"{cls.__qualname__}.{name}: declare it with muniment.param(...)")
        for name, field in declared.items():
            declared[name] = _complete(field, name, hints.get(name), f"{cls.__qualname__}.{name}")
            delattr(cls, name)
        cls._fields = cls._fields | declared
        cls._model_names = tuple(name for name, field in cls._fields.items() if field.model)
        cls._judged_names = tuple(name for name, field in cls._fields.items() if field.judged)

    def __init__(self, /, **values: object) -> None:
        """Set the given values, and the defaults of the other parameters.

        Raises ParameterError for a name that is not declared or an invalid value.
        """
        for name in values:
            if name not in self._fields:
                choice = choice_of(name, list(self._fields))
                raise ParameterError(name, f"no parameter named {name!r}{choice}")
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

    def models(self) -> dict[str, str]:
        """Return the references to models, by the name of the parameter. Empty texts are none."""
        return {name: str(getattr(self, name)) for name in self._model_names if getattr(self, name)}

    def judged(self) -> dict[str, str]:
        """Return the texts that prompt rules check, by the name of the parameter."""
        return {
            name: str(getattr(self, name)) for name in self._judged_names if getattr(self, name)
        }

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """Return the JSON schema (draft 2020-12) of the parameters as one object."""
        return {
            "type": "object",
            "properties": {name: field.schema() for name, field in cls._fields.items()},
            "additionalProperties": False,
        }


def _complete(declared: Field, name: str, hint: Any, where: str) -> Field:
    """Return a field with the name and type of its annotation. Raise TypeError if it is invalid."""
    if name in RESERVED or name.startswith("_"):
        raise TypeError(f"{where}: the name {name!r} is reserved")
    optional = type(None) in typing.get_args(hint)
    if optional:  # one other type may remain of the union
        others = [arm for arm in typing.get_args(hint) if arm is not type(None)]
        hint = others[0] if len(others) == 1 else None
    choices = typing.get_args(hint) if typing.get_origin(hint) is Literal else ()
    if not (choices or hint in _TYPES) or not all(isinstance(choice, str) for choice in choices):
        raise TypeError(
            f"{where}: parameters are bool, int, float, str, list[str] or a Literal of texts"
        )
    kind = "choice" if choices else _TYPES[hint]
    if (declared.judged or declared.model) and kind != "string":
        raise TypeError(f"{where}: only a str can be judged or name a model")
    if declared.judged and declared.model:
        raise TypeError(f"{where}: the name of a model is not judged; remove judged or model")
    field = replace(declared, name=name, type=kind, choices=choices, optional=optional)
    try:
        return replace(field, default=field.parse(field.default))
    except ParameterError as error:
        raise TypeError(f"{where}: the default does not fit: {error}") from None


def _whole_number(text: str) -> int:
    if not re.fullmatch("-?[0-9]+", text):  # int() also accepts "1_0", " 3" and "٣"
        raise ValueError
    return int(text)


_FROM_TEXT: dict[str, Callable[[str], object]] = {
    "boolean": lambda text: {"true": True, "false": False}[text.lower()],
    "integer": _whole_number,
    "number": float,
}


def _plain(bound: float) -> str:
    return f"{int(bound)}" if bound == int(bound) else f"{bound:g}"


def _short(value: object) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # see sys.set_int_max_str_digits()
        return "a value too large to print"
    return text if len(text) <= 60 else text[:57] + "…"
