"""Provenance as JSON, which survives any text and refuses whatever it did not write."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from muniment import Provenance, ProvenanceError
from muniment.provenance import FORMAT, from_json, to_json
from support.provenance import ID, OTHER_ID, make_provenance, provenances


@given(st.lists(provenances, min_size=1, max_size=3))
def test_json_of_any_provenances_reads_back_identical(items: list[Provenance]) -> None:
    text = to_json(items)
    assert text.isascii()
    assert text.isprintable()
    assert from_json(text) == tuple(items)


@given(st.lists(provenances, min_size=1, max_size=3))
def test_json_for_people_reads_back_identical_and_has_no_invisible_character(
    items: list[Provenance],
) -> None:
    text = to_json(items, ensure_ascii=False)
    assert text.isprintable()
    assert from_json(text) == tuple(items)


def test_json_for_people_has_chinese_and_escapes_what_a_terminal_would_execute() -> None:
    text = to_json([make_provenance(prompt="秋天\u202e\x9b😀")], ensure_ascii=False)
    assert "秋天\\u202e\\u009b😀" in text


def test_json_of_a_generation_has_its_members_at_the_top() -> None:
    members = json.loads(to_json([make_provenance()]))
    assert members["format"] == FORMAT
    assert members["id"] == ID
    assert members["seed"] == str(2**64 - 1)


def test_json_of_several_generations_has_a_list() -> None:
    members = json.loads(to_json([make_provenance(), make_provenance(id=OTHER_ID)]))
    assert [each["id"] for each in members["generations"]] == [ID, OTHER_ID]


def test_json_of_a_private_generation_has_no_prompt_and_no_parameters() -> None:
    members = json.loads(to_json([make_provenance(prompt="", parameters={})]))
    assert members.keys().isdisjoint({"prompt", "parameters"})


def _with(**members: Any) -> str:
    return json.dumps({**json.loads(to_json([make_provenance()])), **members})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '"text"',
        '{"format":"muniment-provenance/1"}',
        "[" * 100_000,
        '{"format":' + "[" * 100_000,
        to_json([make_provenance()])[:-1],
        to_json([make_provenance()]) + "x",
        _with(format="muniment-provenance/2"),
        _with(format=1),
        _with(unknown=1),
        _with(id="1"),
        _with(id=f"{ID}\n"),
        _with(id="../../etc/passwd" + "0" * 10),
        _with(seed=5),
        _with(seed="-1"),
        _with(seed=str(2**64)),
        _with(seed="９"),
        _with(created_at="2026-11-29T12:00:00"),
        _with(created_at="today"),
        _with(created_at=0),
        _with(parameters={"a": {"b": 1}}),
        _with(parameters=[]),
        _with(versions={"a": 1}),
        _with(generations=[]),
        json.dumps({"format": FORMAT, "generations": []}),
        json.dumps({"format": FORMAT, "generations": [{}]}),
        json.dumps({"format": FORMAT, "generations": {}}),
        _with(parameters={"a": 1}).replace('"a": 1', '"a": 1e999'),
        _with(parameters={"a": 1}).replace('"a": 1', '"a": NaN'),
        _with(prompt="x").replace('"x"', '"\\ud800"'),
    ],
)
def test_from_json_of_anything_else_raises(text: str) -> None:
    with pytest.raises(ProvenanceError):
        from_json(text)


def test_from_json_of_long_text_raises() -> None:
    with pytest.raises(ProvenanceError, match="16,000,000"):
        from_json(" " * 16_000_001)


@given(st.text())
def test_from_json_of_any_text_returns_or_raises_provenance_error(text: str) -> None:
    with pytest.raises(ProvenanceError):
        from_json(text)


@given(st.integers(0, 600), st.characters())
def test_from_json_of_an_altered_text_returns_or_raises_provenance_error(
    position: int, character: str
) -> None:
    text = to_json([make_provenance()])
    position %= len(text)
    try:
        (read,) = from_json(text[:position] + character + text[position + 1 :])
    except ProvenanceError:
        return
    assert {field.name for field in dataclasses.fields(read)} == set(Provenance.__slots__)
