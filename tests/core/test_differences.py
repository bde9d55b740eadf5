"""Differences between two generations: of texts by words and characters, of the rest by name."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st

from muniment.diff import Difference, changes, differences
from muniment.types.generations import Generation
from muniment.types.models import Model
from muniment.types.outputs import Output, Text

A = Generation(
    *("A", "R", "anna", "completed", "words", "a prompt", 7),
    datetime(2026, 3, 1, tzinfo=UTC),
    parameters={"times": 2, "stop": ("a",)},
    environment={"python": "3.11"},
    outputs=(Text("an output"),),
)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("", "", []),
        ("", "new", [("added", "new")]),
        ("the old moon", "the new moon", [
            ("same", "the "), ("removed", "old "), ("added", "new "), ("same", "moon"),
        ]),
        ("发射了新的卫星", "发射了旧的卫星", [
            ("same", "发射了"), ("removed", "新"), ("added", "旧"), ("same", "的卫星"),
        ]),
        ("AI卫星", "AI火箭", [("same", "AI"), ("removed", "卫星"), ("added", "火箭")]),
    ],
)  # fmt: skip
def test_texts_are_compared_by_words_and_by_characters(
    a: str, b: str, expected: list[tuple[str, str]]
) -> None:
    assert list(changes(a, b)) == expected


@given(st.text(), st.text())
def test_each_text_is_what_was_not_added_or_not_removed(a: str, b: str) -> None:
    found = list(changes(a, b))
    assert "".join(part for kind, part in found if kind != "added") == a
    assert "".join(part for kind, part in found if kind != "removed") == b


def test_long_texts_are_compared_by_lines() -> None:
    a = "\n".join(f"line {n} of the first" for n in range(1000))
    b = "\n".join(f"line {n} of the {'second' if n % 2 else 'first'}" for n in range(1000))
    found = list(changes(a, b))
    assert "".join(part for kind, part in found if kind != "added") == a
    assert ("removed", "line 3 of the first\n") in found


def test_equal_generations_do_not_differ() -> None:
    assert not differences(A, dataclasses.replace(A, id="B"))


def test_notes_of_the_environment_are_no_difference() -> None:
    noted = dataclasses.replace(A, environment={**A.environment, "note.test": "run"})
    assert not differences(A, noted)
    assert differences(A, dataclasses.replace(A, environment={"python": "3.12"})).environment


def test_texts_of_one_policy_are_a_difference() -> None:
    a, b = (dataclasses.replace(A, policy="team@1", policy_digest=f"sha256:{n}") for n in "12")
    [difference] = differences(a, b).fields
    found = (difference.name, difference.a, difference.b)
    assert found == ("policy_digest", "sha256:1", "sha256:2")


def test_everything_that_differs_is_named() -> None:
    b = dataclasses.replace(
        A,
        seed=8,
        model=Model("tiny", "file-sha256:ab", ""),
        parameters={"times": 3, "stop": ("a",), "top": None},
        environment={"python": "3.12"},
        prompt="another prompt",
        outputs=(Text("an output"), Output("image/png", b"x")),
    )
    found = differences(A, b)
    assert {item.name for item in found.fields} == {"seed", "model", "model_digest"}
    assert found.parameters == (Difference("times", 2, 3), Difference("top", None, None))
    assert found.environment == (Difference("python", "3.11", "3.12"),)
    assert [text.name for text in found.texts] == ["prompt"]
    ((name, before, after, _),) = (dataclasses.astuple(item) for item in found.outputs)
    assert (name, before, after["bytes"]) == ("output 2", None, 1)
