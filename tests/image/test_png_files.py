"""PNG files that leave the store and come back, with a generator in one file and in workers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import muniment
from muniment.plugins.discovery import Plugin
from muniment.provenance import from_json
from muniment_image import png, stamp
from muniment_image.pictures import read_picture
from support import pictures
from support.commands import Here, Processes, Result
from support.plugins import PluginFolder
from support.workers import IsolatedWorkspace


@pytest.fixture
def run(
    tmp_path: Path, home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """The command line with the installed plugins and a generator of noise in one file."""
    home.mkdir()
    (home / "config.toml").write_text('policy = "none"\nevaluators = ""\nactor = "tester"\n')
    plugin = tmp_path / "noise.py"
    plugin.write_text(pictures.NOISE_PLUGIN)
    here = Here(capfd, monkeypatch)
    return lambda *arguments: here("--plugin", plugin, *arguments)


def generated(run: Callable[..., Result], *arguments: object) -> str:
    result = run("generate", "noise", *arguments, "--json")
    assert result.code == 0, result.err
    [value] = result.json("generation")
    return str(value["id"])


def found(run: Callable[..., Result], file: Path) -> str:
    result = run("audit", "find", file, "--json")
    assert (result.code, result.err) == (0, "")
    [value] = result.json("generation")
    return str(value["id"])


def test_find_recognises_exported_bare_and_saved_files(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    exported, bare = tmp_path / "exported.PNG", tmp_path / "bare.png"
    id = generated(run, "红心\x1b[2J", "--seed", "7", "-o", exported)
    generated(run, "another", "--seed", "8")
    assert run("audit", "get", id, "--bare", "-o", bare).code == 0
    assert id.encode() in exported.read_bytes()
    assert id.encode() not in bare.read_bytes()
    pixels = read_picture(exported.read_bytes())
    assert png.encode(pixels) == bare.read_bytes()
    assert [found(run, file) for file in (exported, bare)] == [id, id]
    for mode, options in (("RGB", {}), ("RGBA", {}), ("RGB", {"optimize": True})):
        again = tmp_path / "again.png"
        Image.open(exported).convert(mode).save(again, **options)
        assert b"muniment" not in again.read_bytes()
        assert found(run, again) == id


def test_find_says_when_the_stamp_is_of_another_picture(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    first, second = tmp_path / "first.png", tmp_path / "second.png"
    id = generated(run, "one", "--seed", "1", "-o", first)
    other = generated(run, "two", "--seed", "2", "-o", second)
    forged = tmp_path / "forged.png"
    ours, theirs = first.read_bytes(), second.read_bytes()
    forged.write_bytes(ours.replace(id.encode(), other.encode()))
    result = run("audit", "find", forged, "--json")
    assert [value["id"] for value in result.json("generation")] == [id]
    assert f"contains the id {other}" in result.err
    painted = Image.open(BytesIO(theirs)).convert("RGB")
    painted.putpixel((0, 0), (1, 2, 3))
    info = pictures.PngImagePlugin.PngInfo()
    facts = json.loads(stamp.read_provenance(theirs) or "")
    info.add_itxt("muniment", json.dumps({**facts, "id": other}))
    painted.save(forged, pnginfo=info)
    result = run("audit", "find", forged, "--json")
    assert result.code == 4
    assert [value["id"] for value in result.json("generation")] == [other]


@pytest.mark.parametrize("name", pictures.HOSTILE)
def test_hostile_metadata_reach_no_terminal(
    run: Callable[..., Result], tmp_path: Path, name: str
) -> None:
    generated(run, "one", "--seed", "1")
    file, text = tmp_path / "file.png", pictures.HOSTILE[name]
    file.write_bytes(pictures.with_text(text))
    result = run("audit", "find", file)
    assert (result.code, result.out) == (1, "")
    assert text not in result.err
    assert result.err.isascii()
    assert "\x1b" not in result.err


@pytest.mark.parametrize(
    "data", [pictures.pixel_bomb(), pictures.animated("PNG"), png.encode(pictures.noise())[:900]]
)
def test_find_of_a_picture_that_cannot_be_read_is_no_traceback(
    run: Callable[..., Result], tmp_path: Path, data: bytes
) -> None:
    generated(run, "one", "--seed", "1")
    file = tmp_path / "file.png"
    file.write_bytes(data)
    result = run("audit", "find", file)
    assert (result.code, result.out) == (1, "")
    for word in ("Traceback", "PictureError", ".py"):
        assert word not in result.err


def test_show_and_diff_describe_pictures(run: Callable[..., Result]) -> None:
    ids = [generated(run, "one", "--seed", seed) for seed in ("1", "2")]
    assert "PNG, 28 x 28, 2.4 kB" in run("audit", "show", ids[0]).out
    [value] = run("audit", "diff", *ids, "--json").json("differences")
    [output] = value["outputs"]
    assert output["distance"] > 100
    assert output["position"].startswith("x ")


def test_a_terminal_shows_half_blocks_in_colours(
    run: Callable[..., Result], tmp_path: Path, home: Path
) -> None:
    generated(run, "one", "--seed", "1")
    command = Processes(tmp_path, home)
    shown = command.on_terminal("audit", "show", "last", colour=True, width=90)
    assert shown.code == 0
    assert [len(line) for line in shown.out.split("\n") if "▀" in line] == [28] * 14
    assert "\x1b[38;2;" in shown.err
    assert "▀" not in command("audit", "show", "last").out


@pytest.mark.parametrize("option", ["--sheet-columns", "--sheet-scale"])
def test_an_option_of_sheets_is_refused_without_a_sheet(
    run: Callable[..., Result], tmp_path: Path, option: str
) -> None:
    file = tmp_path / "a.png"
    refused = run("generate", "noise", "x", "-n", "2", "-o", file, option, "2")
    assert (refused.code, list(tmp_path.glob("*.png"))) == (2, [])
    assert f"{option} has no effect on a file of one output" in refused.err


def test_a_combined_file_is_a_sheet(run: Callable[..., Result], tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    options = ["--combine", "--sheet-columns", "4", "--sheet-scale", "1"]
    assert run("generate", "noise", "x", "-n", "4", "--seed", "1", *options, "-o", sheet).code == 0
    assert read_picture(sheet.read_bytes()).shape[1] > 4 * 28
    assert run("audit", "find", sheet).code == 1
    refused = run("generate", "noise", "x", "-n", "2", "-o", tmp_path / "a.gif")
    assert (refused.code, ".png" in refused.err) == (2, True)
    assert len(run("audit", "list").rows) == 4


def test_files_of_other_formats_lead_back_to_the_record(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    id = generated(run, "红心", "--seed", "7")
    for kind in ("jpeg", "webp", "avif"):
        file = tmp_path / f"a.{kind.upper()}"
        written = run("audit", "get", id, "-o", file, "--quality", "50", "--scale", "2")
        assert written.code == 0, written.err
        assert f"image/{kind}" in written.err
        result = run("audit", "find", file, "--json")
        assert result.code == 4
        [value] = result.json("generation")
        assert (value["id"], value["file"]["same_content"]) == (id, None)
        assert "cannot be compared" in result.err
    for command in (("audit", "get", id), ("generate", "noise", "x")):
        refused = run(*command, "-o", tmp_path / "a.png", "--quality", "50")
        assert (refused.code, "quality" in refused.err, ".jpg" in refused.err) == (2, True, True)
    assert not (tmp_path / "a.png").exists()
    assert len(run("audit", "list").rows) == 1


def test_a_prompt_without_room_in_a_file_is_reported(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    id = generated(run, "红" * 20_000)
    written = run("audit", "get", id, "-o", tmp_path / "a.jpg")
    assert (written.code, id in written.err, ".jpg" in written.err) == (0, True, True)
    [item] = from_json(stamp.read_provenance((tmp_path / "a.jpg").read_bytes()) or "")
    assert (item.id, item.prompt) == (id, "")


def test_recorded_pictures_replay_exactly(run: Callable[..., Result]) -> None:
    generated(run, "one", "--seed", "1")
    [value] = run("audit", "replay", "last", "--json").json("replay")
    assert value["result"] == "exact"


# ---- in worker processes -----------------------------------------------------------------------


@pytest.fixture
def workspace(home: Path, plugin_folder: PluginFolder) -> Iterator[IsolatedWorkspace]:
    plugin_folder.add(pictures.NOISE_PLUGIN)
    plugin_folder.all.append(Plugin("muniment-image", "0.1.0", "image", "muniment_image.plugin"))
    workspace = IsolatedWorkspace(home, plugin_folder)
    yield workspace
    workspace.close()


def test_an_isolated_media_type_gives_the_same_results(workspace: IsolatedWorkspace) -> None:
    done = workspace.session.generate("one", generator="noise", seed=7)
    other = workspace.session.generate("two", generator="noise", seed=8)
    with muniment.Session(workspace.home, plugins=workspace.plugin_folder.plugins()) as session:
        local, media = session.media, workspace.session.media
        ours, theirs = done.outputs[0], other.outputs[0]
        assert media.describe(ours) == local.describe(ours) == "PNG, 28 x 28, 2.4 kB"
        assert media.compare(ours, theirs) == local.compare(ours, theirs)
        assert media.preview(ours, 40) == local.preview(ours, 40)
        assert ours.fingerprint == local.with_fingerprint(ours).fingerprint
        file = media.export(done, ours, ".png", {})
        assert file == local.export(done, ours, ".png", {})
        [registered] = media.recognised(file)
        assert media.read_provenance(registered, file) == (done.provenance,)
        assert media.fingerprint(registered, file) == ours.fingerprint
        pair = [(done, ours), (other, theirs)]
        sheets = [each.combine(pair, ".png", {"sheet_scale": 2}) for each in (media, local)]
        assert np.array_equal(*map(read_picture, sheets))
    workspace.check()
