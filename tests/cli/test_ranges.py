"""Ranges of options in words, in help and in errors."""

from __future__ import annotations

import re

import click
import pytest

from muniment.cli.error_handler import report
from muniment.cli.help_language import translated
from muniment.cli.lazy import LazyGroup

RANGES = [
    (click.IntRange(1, 10_000), "1 to 10000", "1 至 10000"),
    (click.IntRange(min=1), "at least 1", "不小于 1"),
    (click.IntRange(max=-1), "at most -1", "不大于 -1"),
    (click.FloatRange(0, min_open=True), "more than 0", "大于 0"),
    (click.FloatRange(max=0, max_open=True), "less than 0", "小于 0"),
    (click.FloatRange(0, 1, min_open=True), "more than 0 and at most 1", "大于 0 且不大于 1"),
    (click.FloatRange(0, 1, max_open=True), "at least 0 and less than 1", "不小于 0 且小于 1"),
    (
        click.FloatRange(0, 1, min_open=True, max_open=True),
        "more than 0 and less than 1",
        "大于 0 且小于 1",
    ),
]


def command_of(kind: click.ParamType[object]) -> click.Group:
    """Return a group of a plugin with a command, of which the option `-n` has a type."""

    @click.group
    def group() -> None:
        """Commands."""

    @group.command
    @click.option("-n", "--number", type=kind, default=1, show_default=True, help="Number.")
    def draw(number: float) -> None:
        """Draw."""

    return group


@pytest.mark.parametrize(("kind", "english", "chinese"), RANGES)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_range_is_in_words_in_the_help(
    kind: click.ParamType[object],
    english: str,
    chinese: str,
    language: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MUNIMENT_LANG", language)
    monkeypatch.setenv("COLUMNS", "100")
    group = translated(command_of(kind))
    assert isinstance(group, click.Group)
    command = group.commands["draw"]
    text = command.get_help(click.Context(command, info_name="draw"))
    default = "默认值：1，" if language == "zh" else "default: 1; "
    assert f"[{default}{chinese if language == 'zh' else english}]" in re.sub(r"\s+", " ", text)


@pytest.mark.parametrize(("kind", "english", "chinese"), RANGES)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_error_has_the_range_in_words(
    kind: click.ParamType[object],
    english: str,
    chinese: str,
    language: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MUNIMENT_LANG", language)
    root = LazyGroup("root")
    root.add_command(command_of(kind), "group")
    value = {"at most -1": "5", "less than 0": "5"}.get(english, "-5")
    with pytest.raises(click.BadParameter) as raised:
        translated(root).main(["group", "draw", "-n", value], standalone_mode=False)
    assert report(raised.value) == 2
    expected = f"in the range from {english}" if " to " in english else english
    assert re.search(
        rf"'-n' / '--number': {value}(\.0)? is not {expected}\. ", capsys.readouterr().err
    )


def test_another_invalid_value_keeps_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    root = LazyGroup("root")
    root.add_command(command_of(click.IntRange(1, 5)), "group")
    with pytest.raises(click.BadParameter) as raised:
        translated(root).main(["group", "draw", "-n", "many"], standalone_mode=False)
    assert report(raised.value) == 2
    assert "'many' is not a valid integer" in capsys.readouterr().err
