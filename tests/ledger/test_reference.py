"""The reference describes every field of every kind of entry and payload, as the classes do."""

from __future__ import annotations

import json
import re

import pytest
from jsonschema import ValidationError

import make_entries
from muniment.ledger.payloads import KINDS
from muniment.ledger.schema import ENTRIES, UNSEEN, encode
from schemas import Definitions, generated, is_described
from support.commands import check_shape
from support.golden import ledger

PAGE = make_entries.PAGE.read_text(encoding="utf-8")
DEFINITIONS = make_entries.define(Definitions(make_entries.NAMES))
SCHEMA_TEXT = json.dumps(DEFINITIONS)
SHAPES = {kind: DEFINITIONS.name(cls) for kind, cls in make_entries.TEXTS.items()}


def test_the_page_is_up_to_date() -> None:
    assert make_entries.page() == PAGE, "run python docs/reference/make_entries.py"
    assert sorted(generated(PAGE)) == ["kinds", "payloads"]


@pytest.mark.parametrize(
    "name", [name for name in DEFINITIONS if "properties" in DEFINITIONS[name]]
)
def test_every_field_is_described(name: str) -> None:
    definition = DEFINITIONS[name]
    assert definition["description"]
    fields = definition["properties"].items()
    assert [field for field, schema in fields if not is_described(schema)] == []


def test_every_kind_has_a_section_with_its_fields() -> None:
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    for (kind, version), entry_class in ENTRIES.items():
        title = kind if version == 1 else f"{kind}, version {version}"
        (section,) = [part for part in sections if part.splitlines()[0] == title]
        rows = re.findall(r"^\| `(.*?)` \|", section.partition("An object in")[0], re.MULTILINE)
        assert rows == [
            name for name in entry_class.__struct_fields__ if name not in ("kind", "version")
        ]


def test_every_kind_of_payload_is_in_the_table_with_its_entries() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (`\w+` of .*?) \|", PAGE, re.MULTILINE))
    assert tuple(rows) == KINDS
    assert "`detail` of [outcome](#outcome)" in rows["detail"]
    assert rows["reason"].count("`reason` of") == 4


def test_every_name_of_a_type_is_explained() -> None:
    explained = set(re.findall(r"^\| ([^`|]+?) \| ", PAGE, re.MULTILINE))
    titles = set(re.findall(r'"title": "(.*?)"', json.dumps(DEFINITIONS)))
    unknown = {title for title in titles if not title.startswith(("number of", "commitment ("))}
    assert unknown - explained == {"entry"}


def test_the_page_lists_exactly_the_unseen_characters() -> None:
    listed: set[int] = set()
    section = PAGE.partition("<!-- unseen -->")[2].partition("<!-- /unseen -->")[0]
    for first, last in re.findall(r"U\+([0-9A-F]+)(?:–([0-9A-F]+))?", section):
        listed.update(range(int(first, 16), int(last or first, 16) + 1))
    assert listed == {code for code in range(0x110000) if UNSEEN.search(chr(code))}


@pytest.mark.parametrize("name", ["digest", "media type"])
def test_the_page_has_the_patterns_of_the_schema(name: str) -> None:
    (pattern,) = set(
        re.findall(rf'"title": "{name}", "type": "string", "pattern": "(.*?)"', SCHEMA_TEXT)
    )
    (row,) = re.findall(rf"^\| {name} \|.*$", PAGE, re.MULTILINE)
    assert f"`{pattern[1:-1]}`" in row


def test_the_schema_accepts_the_golden_payloads_that_are_json() -> None:
    kinds = set()
    for payload in ledger().payloads.values():
        if payload.kind in make_entries.TEXTS:
            kinds.add(payload.kind)
            check_shape(json.loads(payload.content), SHAPES[payload.kind])
    assert kinds == make_entries.TEXTS.keys()


@pytest.mark.parametrize("number", range(len(ledger().entries)))
def test_the_schema_accepts_an_entry_and_no_other_field_or_kind(number: int) -> None:
    entry = json.loads(encode(ledger().entries[number]))
    check_shape(entry, "entry")
    for other in ({**entry, "note": "x"}, {**entry, "kind": "x"}, {**entry, "version": 9}):
        with pytest.raises(ValidationError):
            check_shape(other, "entry")


OPTIONAL = {
    "inputs": {},
    "models": {},
    "cell": None,
    "kept": None,
    "wanted": None,
    "selection": None,
    "item": None,
    "input": None,
    "action": None,
}


def test_a_field_is_optional_in_the_schema_if_it_is_absent_by_default() -> None:
    for name, definition in DEFINITIONS.items():
        optional = definition.get("properties", {}).keys() - definition.get("required", ())
        if "kind" in definition.get("properties", {}):
            assert optional <= OPTIONAL.keys() | {"fingerprints"}, name
            assert "version" in definition["required"], name
    assert "`inputs` | object (identifier → number of an `input` entry), optional" in PAGE
