"""Write the shapes of JSON into json.md and schema.json: python docs/reference/make_json.py.

They follow from the classes of what is printed. The shapes that no class describes, and narrower
types than those of the classes, are in shapes.json.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import make_entries
from muniment.generation.lists import Candidate
from muniment.ledger.events import (
    Event,
    FeedbackEntry,
    ReplayEntry,
    ReviewEntry,
    ScoredEntry,
    TrainingEntry,
)
from muniment.ledger.fields import PluginAct, Seed, Ulid, UncheckedUlid
from muniment.ledger.schema import payload_fields, reference_fields
from muniment.models.records import ModelRecord
from muniment.models.training import TrainingClaim
from muniment.records import (
    GenerationRecord,
    RecordedCell,
    RecordedFeedback,
    RecordedOutput,
    RecordedReview,
    RecordedVerdict,
)
from muniment.store.export.formats import CSV_COLUMNS
from muniment.store.queries.finder import Run
from muniment.store.retention.erasure import ErasureResult
from muniment.store.retention.protection import Hold, Rule
from muniment.store.search.engine import Hit
from muniment.store.verification.verify import Verification
from muniment.types.generations import Generation, Status
from muniment.types.plugins import PluginRef
from muniment.types.replays import ReplayResult
from muniment.types.scores import Score
from schemas import Definitions, Schema, fill, table

PAGE = Path(__file__).with_name("json.md")
SCHEMA = Path(__file__).with_name("schema.json")
SHAPES = Path(__file__).with_name("shapes.json")

NAMES: dict[Any, str] = make_entries.NAMES | {
    Ulid: "id",
    UncheckedUlid: "id",
    Seed: "seed",
    datetime: "time",
    Status: "status",
    ReplayResult: "replay_result",
    PluginAct: "plugin_act",
    GenerationRecord: "generation",
    Generation: "generation",
    RecordedCell: "cell",
    RecordedOutput: "output",
    RecordedFeedback: "feedback",
    RecordedReview: "review",
    RecordedVerdict: "verdict",
    PluginRef: "plugin_used",
    Candidate: "candidate",
    Hit: "hit",
    Hold: "hold",
    ErasureResult: "erasure",
    Rule: "retention_rule",
    Run: "run",
    Verification: "verification",
    ModelRecord: "model",
    TrainingClaim: "training_json",
}

EVENTS: dict[str, type[Event]] = {
    "feedback": FeedbackEntry,
    "review": ReviewEntry,
    "replayed": ReplayEntry,
    "training": TrainingEntry,
    "scored": ScoredEntry,
}

_INTERNAL = ("_entry", "_fact", "_text")  # ends of names that entries.md describes


def schema() -> Schema:
    """Return the schema of everything that commands print with --json."""
    made = Definitions(NAMES)
    for hint in NAMES:
        made.name(hint)
    make_entries.define(made)
    for name, entry_class in EVENTS.items():
        made[name] = _event(made, entry_class)
    for name, shape in json.loads(SHAPES.read_text(encoding="utf-8")).items():
        if name != "$comment":
            made[name] = _merged(made.get(name), shape) if "properties" in shape else shape
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The JSON that Muniment's commands print with --json",
        "description": "Each entry under $defs is the shape of one object. docs/reference/json.md "
        "lists the commands. Entries and payloads are those of docs/reference/entries.md.",
        "$defs": made,
    }


def _event(made: Definitions, entry_class: type[Event]) -> Schema:
    """Return the shape of a recorded event (`RecordedEvent.to_json`)."""
    entry = made[made.name(entry_class)]
    properties: dict[str, Schema] = {
        "at": made.of(datetime),
        "actor": {"type": "string", "description": "The name of the actor."},
    }
    for name, field in entry["properties"].items():
        kind = payload_fields(entry_class).get(name)
        if name == "scores":
            properties[name] = made.of(list[Score]) | {"description": "The scores."}
        elif kind == "detail":
            continue  # the scores have its texts
        elif kind in make_entries.TEXTS:
            properties |= made[made.name(make_entries.TEXTS[kind])]["properties"]
        elif kind:
            meaning = "The text. `null` if there is none, or if it was erased or altered."
            properties[name] = {"type": ["string", "null"], "description": meaning}
        elif name == "plugins":
            properties[name] = made.of(list[PluginRef]) | {"description": field["description"]}
        elif name not in ("kind", "version", "at", *reference_fields(entry_class)):
            properties[name] = field if name in entry["required"] else _or_null(field)
    properties["altered"] = {
        "type": "array",
        "items": {"type": "string"},
        "description": "The kinds of the texts that were changed after they were recorded. These "
        "texts are `null`.",
    }
    return _merged(None, {"description": entry["description"], "properties": properties})


def _or_null(field: Schema) -> Schema:
    """Return a field of an entry that is optional there, and null in a shape."""
    value = {key: item for key, item in field.items() if key != "description"}
    return {"anyOf": [value, {"type": "null"}], "description": field.get("description", "")}


def _merged(typed: Schema | None, shape: Schema) -> Schema:
    """Return an object of exactly the properties of a class and of a shape.

    A property of both has the type of the shape and the description of the class.
    """
    typed = typed or {"type": "object", "additionalProperties": False}
    required = [*typed.get("required", ()), *shape.get("required", shape["properties"])]
    known = typed.get("properties", {})
    fields: dict[str, Schema] = {}
    for name, field in shape["properties"].items():
        if known and name not in known and "description" not in field:
            raise ValueError(f"shapes.json narrows {name!r}, which the class does not have")
        fields[name] = field
        if "description" in known.get(name, {}):
            fields[name] = {"description": known[name]["description"], **field}
    return {
        **typed,
        **shape,
        "required": list(dict.fromkeys(required)),
        "properties": known | fields,
    }


def sections() -> dict[str, str]:
    """Return a section for each shape of objects, and one about CSV."""
    made = schema()["$defs"]

    def refer(name: str) -> str | Schema:
        return f"[`{name}`](#{name})" if "properties" in made[name] else made[name]

    shapes = {
        name: f"### {name}\n\n{definition['description']}\n\n{table(definition, refer)}"
        for name, definition in made.items()
        if "properties" in definition and not name.endswith(_INTERNAL)
    }
    columns = ", ".join(f"`{name}`" for name in CSV_COLUMNS)
    return shapes | {"columns of CSV": f"The columns of CSV are {columns}.\n"}


def text_of(value: Any, indent: str = "") -> str:
    """Return a value as JSON, in which objects and lists that fit are on one line."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= 100 or not isinstance(value, dict | list):
        return line
    deeper = f"{indent}  "
    if isinstance(value, dict):
        rows = [f"{json.dumps(name)}: {text_of(item, deeper)}" for name, item in value.items()]
    else:
        rows = [text_of(item, deeper) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    inner = f",\n{deeper}".join(rows)
    return f"{opening}\n{deeper}{inner}\n{indent}{closing}"


def page() -> str:
    """Return the whole page, with the sections made anew."""
    return fill(PAGE.read_text(encoding="utf-8"), sections())


if __name__ == "__main__":
    SCHEMA.write_text(f"{text_of(schema())}\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")
