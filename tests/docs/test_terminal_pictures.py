"""Pictures of terminal sessions: made from what the commands print, and committed as SVG."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

import make_terminals
import muniment
from make_terminals import HERE, SCENES, Scene, svg, terminal
from support import stub_text

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
TEXT = "{http://www.w3.org/2000/svg}text"


def texts(picture: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(picture).iter(TEXT))


def joined(picture: str) -> str:
    return "".join(element.text or "" for element in texts(picture))


@pytest.mark.integration
def test_terminal_after_real_commands_shows_what_they_print(tmp_path: Path, tmux: str) -> None:
    plugins, home = tmp_path / "plugins", tmp_path / "home"
    plugins.mkdir()
    home.mkdir()
    stub_text.install(plugins)
    listed = Scene(
        ["muniment audit list", "muniment audit lsit"],
        before=["muniment generate text 灯塔 --seed 7 --max-tokens 4"],
    )
    with terminal(home, {"PYTHONPATH": str(plugins)}) as opened:
        screen = opened.run(listed)
    with muniment.open(home / "muniment") as session:
        (generation,) = session.generations()
    picture = svg(screen, "list")
    assert "\x1b" not in picture
    shown = joined(picture)
    assert shown.startswith("$ muniment audit list")
    assert generation.id[-8:] in shown
    assert "灯塔" in shown
    assert "--seed" not in shown
    assert "Did you mean list?" in shown


@pytest.mark.integration
def test_terminal_with_a_moment_shows_the_screen_before_the_end(tmp_path: Path, tmux: str) -> None:
    scene = Scene([r"printf '40%%'; sleep 1; printf '\r\033[2K80%%\n'"], until="^40%$")
    with terminal(tmp_path) as opened:
        assert opened.run(Scene(scene.commands)).splitlines()[1:] == ["80%"]
    with terminal(tmp_path) as opened:
        moment = Scene(scene.commands, until=r"\n40%$")
        assert opened.run(moment).splitlines()[1:] == ["40%"]
    with terminal(tmp_path) as opened, pytest.raises(RuntimeError, match="never"):
        opened.run(Scene(["true"], until="50%"))


def test_svg_of_chinese_gives_each_character_two_cells() -> None:
    first, second, third = texts(svg("ab灯塔 c", "cells"))
    cell = float(first.attrib["textLength"]) / 2
    assert [first.text, second.text, third.text] == ["ab", "灯塔", " c"]
    assert float(second.attrib["textLength"]) == pytest.approx(4 * cell)
    assert float(third.attrib["x"]) == pytest.approx(6 * cell)


def test_svg_keeps_colours_and_plain_spaces_and_loads_nothing() -> None:
    picture = svg('\x1b[31mblocked\x1b[0m  <a & "b">', "colours")
    assert joined(picture) == 'blocked  <a & "b">'
    blocked, rest = texts(picture)
    assert blocked.attrib["class"] != rest.attrib["class"]
    assert not re.search(r"url\((?!#)|@font-face|href", picture)


def test_svg_of_a_long_screen_shows_its_first_rows() -> None:
    assert joined(svg("\n".join("abcdef"), "rows", rows=2)) == "ab"


@pytest.mark.parametrize("name", SCENES)
def test_picture_of_each_scene_is_committed_and_shown_on_a_page(name: str) -> None:
    picture = (HERE / f"{name}.svg").read_text(encoding="utf-8")
    assert "\x1b" not in picture
    assert joined(picture).startswith(f"$ {SCENES[name].commands[0]}")
    assert any(f"images/{name}.svg)" in page.read_text(encoding="utf-8") for page in PAGES)


def test_main_with_an_unknown_name_exits() -> None:
    with pytest.raises(SystemExit, match="nothing"):
        make_terminals.main(["nothing"])
