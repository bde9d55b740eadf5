"""The rule for names of models, plugins and the objects that plugins register."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from muniment.errors import UsageError
from muniment.escapes import is_hidden
from muniment.evaluator_names import parse_evaluators
from muniment.names import is_name, is_object_name, model_names, normal_name
from muniment.plugins.discovery import Plugin
from muniment.store.queries.query import Query, parse_condition, parse_order

NFC = "诗é"
NFD = unicodedata.normalize("NFD", NFC)


@pytest.mark.parametrize(
    "name", ["a", "A.b_c-1", "我的模型", "诗é", "модель", "हिन्दी", "2026年", "𠮷", "x" * 100]
)
def test_letters_and_digits_of_any_language_are_names(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "", ".a", "-a", "_a", "a b", " a", "a ", "a/b", "a:b", "a\n", "a\0", "a\u200b", "a\u200d",
        "\u202ea", "a\u2066", "\ufeffa", "a\u00ad", "a\ufe0f", "\u3164", "\u115f", "\u0301a", "😀",
        "a,b", "a(b", "a=b", NFD, "x" * 101, "诗" * 67, 5, None, b"a",
    ],
)  # fmt: skip
def test_other_texts_are_not_names(name: object) -> None:
    assert not is_name(name)


def test_registered_objects_have_names_without_capitals() -> None:
    assert is_object_name("诗-1")
    assert not is_object_name("Shop")


@given(st.text())
def test_a_name_is_one_line_of_printable_text_in_normal_form(text: str) -> None:
    name = normal_name(text)
    assert normal_name(name) == name
    if is_name(name):
        assert name.isprintable()
        assert name == name.strip()
        assert not any(unicodedata.category(c)[0] in "CZ" for c in name)


def test_names_in_another_normal_form_are_normalised() -> None:
    query = Query(generator=NFD, filter=NFD)
    assert (query.generator, query.filter) == (NFC, NFC)
    assert parse_condition(f"{NFD}<20")[0] == NFC
    assert parse_order(f"score:{NFD}")[0] == NFC
    assert parse_evaluators(f"{NFD}(a=1)")[0].name == NFC


@pytest.mark.parametrize(
    ("reference", "names"),
    [
        *(("m", ["m"]), ("./m/", ["./m/", "m"]), ("hub/m", ["hub/m"]), ("~/m", ["~/m"])),
        *((NFD, [NFD, NFC]), (f"./{NFD}", [f"./{NFD}", NFD, NFC]), (f"a/{NFD}", [f"a/{NFD}"])),
        ("tree1-sha256:00ff", ["tree1-sha256:00ff"]),
    ],
)
def test_a_model_can_be_recorded_by_the_plain_form_of_its_path(
    reference: str, names: list[str]
) -> None:
    assert model_names(reference) == names


def test_a_single_file_plugin_can_have_a_chinese_name(tmp_path: Path) -> None:
    (tmp_path / f"{NFD}.py").write_text("")
    (tmp_path / "a b.py").write_text("")
    plugin = Plugin.from_file(tmp_path / f"{NFD}.py")
    assert (plugin.distribution, plugin.name) == (NFC, NFC)
    assert plugin.module.isascii()
    with pytest.raises(UsageError, match="a b"):
        Plugin.from_file(tmp_path / "a b.py")


def test_no_character_that_is_escaped_belongs_to_a_name() -> None:
    letters = map(chr, range(0x80, sys.maxunicode + 1))
    assert [char for char in letters if is_hidden(char) and is_name(f"a{char}")] == []
