"""Write entries and payloads into docs/reference/entries.md: python docs/reference/make_entries.py.

Run make_json.py too, because schema.json contains their schemas.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from msgspec import Struct

from muniment.ledger.payload_texts import (
    DetailText,
    PolicyText,
    RequestText,
    TraceText,
    TrainingText,
)
from muniment.ledger.payloads import Kind
from muniment.ledger.schema import ENTRIES, payload_fields
from muniment.store.recording.events import ModelSourceText, ReplayText
from muniment.types.verdicts import Decision
from schemas import Definitions, Schema, fill, table

PAGE = Path(__file__).with_name("entries.md")

NAMES = {Decision: "decision", Kind: "payload_kind"}

TEXTS: dict[str, type[Struct]] = {
    "request": RequestText,
    "trace": TraceText,
    "detail": DetailText,
    "policy": PolicyText,
    "replay": ReplayText,
    "model": ModelSourceText,
    "training": TrainingText,
}
"""The payloads that are JSON."""
BYTES = {
    "output": "the bytes of the output",
    "input": "the bytes of the file",
    "fingerprint": "the bytes that the media type computed",
}
"""The payloads that are bytes. All others are texts."""


def define(made: Definitions) -> Definitions:
    """Add the schemas of all entries and payloads, with those of their parts, and return all."""
    made["entry"] = {
        "title": "entry",
        "anyOf": [made.of(entry_class) for entry_class in ENTRIES.values()],
    }
    for text_class in TEXTS.values():
        made.name(text_class)
    made["payload_kind"]["title"] = "kind of payload"
    return made


def kinds() -> str:
    """Return a section for each kind of entry."""
    made = define(Definitions(NAMES))
    sections = []
    for (kind, version), entry_class in sorted(ENTRIES.items(), key=_order):
        title = kind if version == 1 else f"{kind}, version {version}"
        sections.append(f"## {title}\n\n{_section(made[made.name(entry_class)], made)}")
    return "\n".join(sections)


def _order(item: tuple[tuple[str, int], object]) -> int:
    """Return the place of a kind, which is that of its first version in the source."""
    (kind, _), _ = item
    return [known for known, _ in ENTRIES].index(kind)


def payloads() -> str:
    """Return the kinds of payloads, and a section for each that is JSON."""
    made = define(Definitions(NAMES))
    rows = [f"| `{kind}` | {_committed(kind)} | {_content(kind)} |" for kind in get_args(Kind)]
    parts = ["\n".join(["| kind | committed to by | content |", "|---|---|---|", *rows]) + "\n"]
    for kind, text_class in TEXTS.items():
        section = _section(made[made.name(text_class)], made)
        parts.append(f"### The payload {kind}\n\n{section}")
    return "\n".join(parts)


def _committed(kind: str) -> str:
    fields = [
        f"`{name}` of [{entry_kind}](#{entry_kind})"
        for (entry_kind, version), entry_class in ENTRIES.items()
        for name, committed in payload_fields(entry_class).items()
        if committed == kind
    ]
    return ", ".join(dict.fromkeys(fields))


def _content(kind: str) -> str:
    if kind in TEXTS:
        return f"JSON, [below](#the-payload-{kind})"
    return BYTES.get(kind, "the text as UTF-8")


def _section(definition: Schema, made: Definitions) -> str:
    """Return the description and table of a definition, and the tables of its objects."""
    parts = [f"{definition['description']}\n", _table(definition, made)]
    for field, name in _objects(definition, made):
        parts.append(f"An object in `{field}`: {made[name]['description']}\n")
        parts.append(_table(made[name], made))
    return "\n".join(parts)


def _table(definition: Schema, made: Definitions) -> str:
    omit = ("kind", "version") if "kind" in definition["properties"] else ()
    optional = definition["properties"].keys() - definition["required"]
    return table(definition, lambda name: _noun(name, made), omit, optional)


def _noun(name: str, made: Definitions) -> str | Schema:
    return "object" if "properties" in made[name] else made[name]


def _objects(definition: Schema, made: Definitions) -> Iterator[tuple[str, str]]:
    """Yield each field that contains objects, with the name of their definition."""
    for field, schema in definition["properties"].items():
        text = json.dumps(schema)
        for name, part in made.items():
            if "properties" in part and f'"#/$defs/{name}"' in text:
                yield field, name
                yield from _objects(part, made)


def page() -> str:
    """Return the whole page, with the sections made anew."""
    return fill(PAGE.read_text(encoding="utf-8"), {"kinds": kinds(), "payloads": payloads()})


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
