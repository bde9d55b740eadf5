"""`muniment image words`: the words or labels that a model accepts."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from muniment.testing import CommandContract, run_command
from muniment_image.commands.words import words
from muniment_image.conditions import FUNCTION_WORDS, NoCondition
from support.images import CAPTIONS, ImageModels


@pytest.fixture
def maker(tmp_path: Path) -> ImageModels:
    return ImageModels(tmp_path)


class TestContract(CommandContract):
    command = words
    arguments: ClassVar = ("-m", "fashion-28")


def test_the_words_of_a_meaning_are_one_record(home: Path, maker: ImageModels) -> None:
    result = run_command(words, "-m", maker(condition=CAPTIONS).path, "--json")
    assert result.code == 0, result.stderr
    *known, ignored = result.json
    assert known == [{"kind": "word", "words": list(row)} for row in CAPTIONS.words]
    assert ignored == {"kind": "ignored", "words": sorted(FUNCTION_WORDS)}


def test_labels_are_listed_in_their_order(home: Path) -> None:
    lines = run_command(words, "-m", "fashion-28").stdout.splitlines()
    assert lines[0] == "label\tT-shirt/top"
    assert (len(lines), lines[-1]) == (10, "label\tAnkle boot")


def test_a_text_selects_the_lines_with_a_word_that_contains_it(home: Path) -> None:
    lines = run_command(words, "BOO", "-m", "fashion-28").stdout.splitlines()
    assert lines == ["label\tAnkle boot"]
    none = run_command(words, "凤呈祥", "-m", "fashion-28")
    assert (none.code, none.stdout) == (0, "")
    assert "'凤呈祥'" in none.stderr


def test_without_a_model_the_default_is_used_and_not_added(home: Path) -> None:
    result = run_command(words)
    assert "word\theart 心 心形 爱心\n" in result.stdout
    assert not home.exists() or not any(home.glob("models/*"))


def test_a_model_without_a_condition_has_no_words(home: Path, maker: ImageModels) -> None:
    result = run_command(words, "-m", maker(condition=NoCondition()).path)
    assert (result.code, result.stdout) == (0, "")
    assert "no label or caption" in result.stderr


def test_an_unknown_model_is_refused(home: Path) -> None:
    result = run_command(words, "-m", "nothing")
    assert result.code in (1, 2)
    assert "fashion-28" in result.stderr
