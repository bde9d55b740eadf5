"""Describe classes as JSON Schema, and JSON Schema as Markdown, for the pages of the reference."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta, Struct, UnsetType

from muniment.ledger.fields import EntryOf, PayloadOf

Schema = dict[str, Any]


class Definitions(dict[str, Schema]):
    """The schemas of classes and of named types, with those of the classes that they contain.

    `names` has the names of types. Another class has its own name, as in `verdict_fact`.
    """

    def __init__(self, names: Mapping[Any, str]) -> None:
        super().__init__()
        self._names = names

    def of(self, hint: Any) -> Schema:
        """Return the schema of a type, which refers to the definition of a class or named type."""
        if hint in self._names or _is_class(hint):
            return {"$ref": f"#/$defs/{self.name(hint)}"}
        return self._type(hint)

    def name(self, hint: Any) -> str:
        """Return the name of the definition of a class or named type, which is added if needed."""
        name = self._names.get(hint)
        if name is None:
            name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", hint.__name__).lower()
        if name not in self:
            self[name] = self._object(hint) if _is_class(hint) else self._type(hint)
        return name

    def _object(self, cls: Any) -> Schema:
        prose, meanings = documentation(cls)
        fields = msgspec.inspect.type_info(cls).fields  # type: ignore[attr-defined]
        if unknown := meanings.keys() - {field.name for field in fields}:
            raise ValueError(f"{cls.__name__} documents {unknown}, which it does not have")
        hints = get_type_hints(cls, include_extras=True)
        omits = getattr(getattr(cls, "__struct_config__", None), "omit_defaults", False)
        optional = {field.name for field in fields if omits and _has_plain_default(field)}
        return {
            "description": prose,
            "type": "object",
            "additionalProperties": False,
            "required": [
                field.name
                for field in fields
                if not (field.name in optional or UnsetType in get_args(hints[field.name]))
            ],
            "properties": {
                field.name: self.of(_without_null(hints[field.name], field.name in optional))
                | ({"description": meanings[field.name]} if field.name in meanings else {})
                for field in fields
            },
        }

    def _type(self, hint: Any) -> Schema:
        origin, arguments = get_origin(hint), get_args(hint)
        if origin is Annotated:
            return self._annotated(*arguments)
        if origin in (Union, UnionType):
            return {"anyOf": [self.of(argument) for argument in arguments]}
        if origin is Literal:
            return {"enum": list(arguments)}
        if origin is tuple and arguments[-1] is not ...:
            size = len(arguments)
            items = self.of(arguments[0])
            return {"type": "array", "items": items, "minItems": size, "maxItems": size}
        if origin in (list, tuple, Sequence):
            return {"type": "array", "items": self.of(arguments[0])}
        if origin in (dict, Mapping):
            names, values = map(self.of, arguments)
            return {"type": "object", "propertyNames": names, "additionalProperties": values}
        return msgspec.json.schema(hint)

    def _annotated(self, hint: Any, *marks: Any) -> Schema:
        meta = [mark for mark in marks if isinstance(mark, Meta)]
        if meta:
            schema = msgspec.json.schema(Annotated[hint, *meta])
            if "description" in schema:
                schema = {"title": schema.pop("description"), **schema}
            if "pattern" in schema:  # the anchors of ECMA 262
                schema["pattern"] = schema.pop("pattern").replace(r"\A", "^").replace(r"\Z", "$")
        else:
            schema = self.of(hint)
        for mark in marks:
            if isinstance(mark, PayloadOf):
                _set_title(schema, f"commitment (`{mark.kind}`)")
            elif isinstance(mark, EntryOf):
                article = "an" if mark.kind[0] in "aeiou" else "a"
                _set_title(schema, f"number of {article} `{mark.kind}` entry")
        return schema


def _has_plain_default(field: Any) -> bool:
    """Return whether msgspec omits the default value of a field: it does not call factories."""
    return field.default is not NODEFAULT or field.default_factory in (list, dict, set)


def _without_null(hint: Any, is_optional: bool) -> Any:
    """Return the type of a field where it is present. An optional field is then not null."""
    absent = (UnsetType, type(None)) if is_optional else (UnsetType,)
    if get_origin(hint) in (Union, UnionType):
        return reduce(or_, [part for part in get_args(hint) if part not in absent])
    return hint


def _is_class(hint: Any) -> bool:
    return isinstance(hint, type) and (issubclass(hint, Struct) or dataclasses.is_dataclass(hint))


def _set_title(schema: Schema, title: str) -> None:
    """Name the values of a schema, of its items or of its properties, except null and objects."""
    if "anyOf" in schema:
        _set_title(schema["anyOf"][0], title)
    elif "items" in schema:
        _set_title(schema["items"], title)
    elif "additionalProperties" in schema:
        _set_title(schema["additionalProperties"], title)
    elif "$ref" not in schema:
        schema["title"] = title


def documentation(cls: type) -> tuple[str, dict[str, str]]:
    """Return the text of a docstring without, and the meanings of fields from, `Attributes`."""
    meanings: dict[str, str] = {}
    prose = ""
    for base in reversed(cls.__mro__):
        text = inspect.cleandoc(vars(base).get("__doc__") or "")
        for python, json in (("None", "`null`"), ("True", "true"), ("False", "false")):
            text = re.sub(rf"\b{python}\b", json, text)
        text = text.partition("\n\nExample:\n")[0]
        prose, _, attributes = text.partition("\n\nAttributes:\n")
        for item in re.split(r"\n(?=    \S)", attributes):
            name, _, meaning = " ".join(item.split()).partition(": ")
            if meaning:
                meanings[name] = meaning
    return " ".join(prose.split()), meanings


# ---- Markdown ----------------------------------------------------------------------------------

_WORDS = {"string": "text", "boolean": "true or false", "array": "list"}


def type_text(schema: Schema, refer: Callable[[str], str | Schema]) -> str:
    """Return a type in words. `refer` returns the words, or the schema, of a definition's name."""
    return _joined(_alternatives(schema, refer))


def _joined(names: Sequence[str]) -> str:
    if len(names) == 2 and names[1] == "null":
        return ", or ".join(names)
    return ", ".join(names[:-1]) + (" or " if names[:-1] else "") + names[-1]


def _alternatives(schema: Schema, refer: Callable[[str], str | Schema]) -> list[str]:
    if "title" in schema:
        return [schema["title"]]
    if "$ref" in schema:
        definition = refer(schema["$ref"].rpartition("/")[2])
        return [definition] if isinstance(definition, str) else _alternatives(definition, refer)
    if "anyOf" in schema:
        return [text for part in schema["anyOf"] for text in _alternatives(part, refer)]
    if "enum" in schema:
        return ["null" if value is None else f"`{value}`" for value in schema["enum"]]
    if isinstance(schema.get("type"), list):
        parts = [{**schema, "type": one} for one in schema["type"]]
        return [text for part in parts for text in _alternatives(part, refer)]
    if "items" in schema and schema["type"] == "array":
        number = f"{schema['minItems']} " if "maxItems" in schema else ""  # both are equal
        items = _joined([*map(_plural, _alternatives(schema["items"], refer))])
        return [f"list of {number}{items}"]
    if "additionalProperties" in schema and schema["type"] == "object":
        name = type_text(schema.get("propertyNames", {"type": "string"}), refer)
        return [f"object ({name} → {type_text(schema['additionalProperties'], refer)})"]
    return [_WORDS.get(schema.get("type", ""), schema.get("type", "any value"))]


def _plural(text: str) -> str:
    if match := re.fullmatch(r"number of an? (.*) entry", text):
        return f"numbers of {match[1]} entries"
    head, of, tail = text.partition(" of ")
    return f"{head}s{of}{tail}" if head.replace(" ", "").isalnum() else text


def table(
    definition: Schema,
    refer: Callable[[str], str | Schema],
    omit: Iterable[str] = (),
    optional: Collection[str] = (),
) -> str:
    """Return the fields of a definition as a table, in which some are marked as optional."""
    rows = [
        f"| `{name}` | {type_text(field, refer)}{', optional' if name in optional else ''} | "
        f"{field.get('description', '')} |"
        for name, field in definition["properties"].items()
        if name not in omit
    ]
    return "\n".join(["| field | type | meaning |", "|---|---|---|", *rows]) + "\n"


def is_described(field: Schema) -> bool:
    """Return whether a field has a meaning, or a type that says as much."""
    return "description" in field or any(
        key in part for part in _parts(field) for key in ("title", "$ref", "enum")
    )


def _parts(schema: Schema) -> list[Schema]:
    inner = [*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())]
    return [schema, *(part for one in inner for part in _parts(one))]


# ---- pages -------------------------------------------------------------------------------------

_END = "<!-- end -->\n"


def fill(page: str, sections: Mapping[str, str]) -> str:
    """Return a page with the generated sections. One that the page does not have is appended."""
    for name, text in sections.items():
        start = f"<!-- generated: {name} -->\n"
        head, mark, tail = page.partition(start)
        tail = tail.partition(_END)[2]
        page = f"{head}{'' if mark else chr(10)}{start}\n{text}\n{_END}{tail}"
    return page


def generated(page: str) -> list[str]:
    """Return the names of the generated sections of a page."""
    return re.findall(r"^<!-- generated: (.*) -->$", page, re.MULTILINE)
