"""The attributes and parameters that classes of plugins declare, and their checks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

from muniment.hookspecs import Evaluator, Filter, Generator, MediaType
from muniment.parameters import RESERVED, Field, Parameters
from muniment.types.inputs import InputSpec
from muniment.types.scores import Measure

Kind: TypeAlias = Literal["generator", "filter", "evaluator", "media_type"]
BASES: Mapping[Kind, type] = {
    "generator": Generator,
    "filter": Filter,
    "evaluator": Evaluator,
    "media_type": MediaType,
}
MAX_INPUT_BYTES = 2**28  # the databases store up to 2**30 bytes in a value
_INPUT_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_OPTION = re.compile(r"--[a-z][a-z0-9-]+ (TEXT|FILE)")
PROMPTS = ("required", "optional")
MEDIA_TYPE = re.compile(r"[a-z]+/[A-Za-z0-9.+-]+(; ?[a-z]+=[A-Za-z0-9.-]+)*")
OTHER_TYPE = re.compile(r"(?!text/)[a-z]+/[A-Za-z0-9.+-]+")  # the core itself handles text
_SUFFIX = re.compile(r"(\.[A-Za-z0-9_-]+)+")


def options_attribute(kind: Kind) -> str:
    """Return the attribute of a class that declares its parameters, or the options of its files."""
    return "Export" if kind == "media_type" else "Parameters"


_LISTS_OF_TEXTS = (
    "model_files",
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
    check_parameters(declared, kind)
    for name in _LISTS_OF_TEXTS:
        if not _is_texts(getattr(cls, name, ())):
            raise TypeError(f"{where}.{name} must be a tuple of texts")
    if kind == "generator":
        if cls.determinism not in ("exact", "best-effort"):  # type: ignore[attr-defined]
            raise TypeError(f"{where}.determinism must be 'exact' or 'best-effort'")
        checked_inputs(where, getattr(cls, "inputs", ()), declared)
        if cls.prompt not in PROMPTS:  # type: ignore[attr-defined]
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


def check_parameters(declared: type[Parameters], kind: Kind) -> None:
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


def checked_inputs(
    where: str, inputs: object, parameters: type[Parameters]
) -> tuple[InputSpec, ...]:
    """Return the inputs that a generator declares. Raise TypeError if one is invalid."""
    if not isinstance(inputs, tuple | list) or not all(isinstance(i, InputSpec) for i in inputs):
        raise TypeError(f"the inputs of {where} must be a tuple of muniment.InputSpec")
    taken = {*parameters.fields(), *RESERVED, "model"}
    for spec in inputs:
        if not (isinstance(spec.name, str) and _INPUT_NAME.fullmatch(spec.name)):
            raise TypeError(f"the input {spec.name!r} of {where} needs a name of a-z, 0-9 and '_'")
        if not spec.media_types or not all(map(MEDIA_TYPE.fullmatch, spec.media_types)):
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
