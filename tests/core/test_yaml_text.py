"""YAML that people write is read as they mean it, or refused."""

from __future__ import annotations

import pytest

import muniment


@pytest.mark.parametrize(
    ("document", "value"),
    [
        ("answer: no", {"answer": "no"}),
        ("id: 007", {"id": "007"}),
        ("time: 12:30", {"time": "12:30"}),
        ("on: 1", {"on": 1}),
        ("a: 1.5\nb: true\nc: ~", {"a": 1.5, "b": True, "c": None}),
        ("词: [海, 山]", {"词": ["海", "山"]}),
        ("", None),
    ],
)
def test_only_plain_numbers_and_truth_values_are_not_texts(document: str, value: object) -> None:
    assert muniment.parse_yaml(document) == value


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("a: 1\na: 2", "'a' twice"),
        ("a: &x [1]\nb: *x", "alias"),
        ("a: [1", "line 1: a bracket"),
        ("a: 1\nb: [\nc\n", "line 2: a bracket"),
        ("a: 1\nb: [{c: 1},\n  {d: 1\n\n", "line 3: a bracket"),
        ("a: 1\nb: 'c\nd: 2\n\n", "line 2: a quote"),
        ("a: 1\nb\n", "line 2: "),
        ("a: [1, 2]\nb: [1]]\n", "line 2: "),
        ("a: " + "9" * 5000, "too long"),
        ("[" * 5000, "too deeply"),
    ],
)
def test_an_ambiguous_document_is_refused(document: str, problem: str) -> None:
    with pytest.raises(muniment.YamlError, match=problem):
        muniment.parse_yaml(document)


def test_an_invalid_document_is_explained_with_a_hint() -> None:
    import msgspec

    class Point(msgspec.Struct, forbid_unknown_fields=True):
        x: int

    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert({"x": "one"}, Point)
    sentence = muniment.explain_invalid(caught.value, {"x": "use a whole number"})
    assert sentence == "x: expected `int`, got `str`; use a whole number"
