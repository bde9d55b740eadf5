"""`muniment image sheet`: grids of recorded images along two axes."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import click
import pytest

import muniment
from muniment.cli.generate import command_of
from muniment.cli.parameter_options import FILE
from muniment.provenance import create_credentials, read_manifest
from muniment.testing import CommandContract, run_command
from muniment.testing.commands import CommandResult
from muniment_image import png
from muniment_image.commands.sheet import sheet
from muniment_image.commands.sheet_axes import MAX_CELLS, Axis
from muniment_image.commands.sheet_file import caption
from muniment_image.drawings import Drawing
from muniment_image.media import Png
from muniment_image.pictures import read_picture
from muniment_image.sampler import Sampler
from muniment_image.stamp import read_provenance
from support.images import CAPTIONS, ImageModels


@pytest.fixture(scope="session")
def maker(tmp_path_factory: pytest.TempPathFactory) -> ImageModels:
    return ImageModels(tmp_path_factory.mktemp("models"))


@pytest.fixture
def folder(home: Path) -> Path:
    home.mkdir()
    (home / "config.toml").write_text('policy = "none"\nactor = "tester"\n', encoding="utf-8")
    return home


def run(*arguments: str | Path) -> CommandResult:
    return run_command(sheet, *map(str, arguments))


def recorded() -> list[muniment.Generation]:
    """Return the generations of the home, the oldest first."""
    with muniment.open() as session:
        return list(session.generations())[::-1]


def provenances(file: Path) -> list[dict[str, str]]:
    """Return the provenances in a sheet."""
    value = json.loads(read_provenance(file.read_bytes()) or "")
    listed: list[dict[str, str]] = value.get("generations", [value])
    return listed


class TestContract(CommandContract):
    command = sheet
    reads = False
    arguments: ClassVar = ()


def test_each_cell_is_a_recorded_generation_of_one_run(
    folder: Path, maker: ImageModels, tmp_path: Path
) -> None:
    file = tmp_path / "sheet.png"
    result = run(
        *("red heart", "-m", maker(condition=CAPTIONS).path, "-o", file, "-p", "steps=1"),
        *("--x", "guidance=1,2,4", "--y", "seed=1,2"),
    )
    assert result.code == 0, result.stderr
    cells = recorded()
    assert [(cell.parameters["guidance"], cell.seed) for cell in cells] == [
        *((1.0, 1), (2.0, 1), (4.0, 1)),
        *((1.0, 2), (2.0, 2), (4.0, 2)),
    ]
    assert {cell.parameters["steps"] for cell in cells} == {1}
    assert len({cell.run_id for cell in cells}) == 1
    assert {cell.status for cell in cells} == {"completed"}
    assert [item["id"] for item in provenances(file)] == [cell.id for cell in cells]
    height, width = read_picture(file.read_bytes()).shape[:2]
    assert (height > 2 * 96, width > 3 * 96) == (True, True)


def test_without_an_axis_of_seeds_all_cells_have_the_same_seed(
    folder: Path, maker: ImageModels, tmp_path: Path
) -> None:
    result = run(
        *("-m", maker().path, "-o", tmp_path / "a.png"),
        *("--x", "prompt=trouser,ankle boot,t-shirt/top", "--json"),
    )
    assert result.code == 0, result.stderr
    assert [item["prompt"] for item in result.json] == ["trouser", "ankle boot", "t-shirt/top"]
    assert len({item["seed"] for item in result.json}) == 1


def test_models_can_be_compared(folder: Path, maker: ImageModels, tmp_path: Path) -> None:
    models = maker().path, maker(steps=3).path
    result = run("trouser", "--x", f"model={','.join(models)}", "-o", tmp_path / "models.png")
    assert result.code == 0, result.stderr
    assert [cell.parameters["steps"] for cell in recorded()] == [2, 3]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--x", "guidence=1,2"), "did you mean guidance?"),
        (("--x", "sed=1,2"), "did you mean seed?"),
        (("--x", "guidance"), "not an axis"),
        (("--x", "=1,2"), "not an axis"),
        (("--x", "guidance=1,,2"), "not an axis"),
        (("--x", "guidance=1,2,1"), "twice"),
        (("--x", "guidance=1,2", "--y", "guidance=3"), "both axes"),
        (("--x", "seed=1,2", "--seed", "3"), "seed is an axis"),
        (("--x", "prompt=trouser,ankle boot"), "prompt is an axis"),
        (("--x", "steps=1,2", "-p", "steps=3"), "steps is an axis"),
        (("--x", "seed=1,two"), "two"),
        (("--x", "guidance=1,much"), "much"),
        (("--x", "steps=2,0"), "steps"),
        (("--x", "negative_prompt=red"), "not an axis of generator image"),
        (("--x", f"seed={','.join(map(str, range(MAX_CELLS + 1)))}"), f"at most {MAX_CELLS}"),
    ],
)
def test_an_invalid_axis_is_refused_before_anything_is_recorded(
    folder: Path, maker: ImageModels, tmp_path: Path, arguments: tuple[str, ...], part: str
) -> None:
    file = tmp_path / "sheet.png"
    result = run("trouser", "-m", maker().path, "-o", file, *arguments)
    assert result.code == 2
    assert part in result.stderr
    assert result.stderr.count("\n") == 1
    assert not file.exists()
    assert not (folder / "muniment.db").exists()


@pytest.mark.parametrize("target", [(), ("-o", "sheet.gif"), ("-o", "-", "--json")])
def test_a_sheet_needs_a_picture_file(
    folder: Path, maker: ImageModels, target: tuple[str, ...]
) -> None:
    result = run("trouser", "-m", maker().path, "--x", "seed=1,2", *target)
    assert (result.code, result.stderr.count("\n")) == (2, 1)


def options_of(command: click.Command) -> dict[str, tuple[object, ...]]:
    """Return the options of files that a command has, by name, with their help and types."""
    names = {"private", "visible_label"} | {FILE + name for name in Png.Export.fields()}
    return {
        option.name or "": (option.opts, option.help, option.type.name, option.is_flag)
        for option in command.params
        if isinstance(option, click.Option) and option.name in names
    }


def test_a_sheet_has_the_options_of_files_that_generate_has(folder: Path) -> None:
    with muniment.open() as session:
        registered = session.plugins.find("generator", "image")
        generate = command_of("image", registered, session.media.registered("image/png"))
    assert options_of(sheet) == options_of(generate)
    assert len(options_of(sheet)) == len(Png.Export.fields()) + 1


def test_a_private_sheet_shows_and_contains_no_prompt(
    folder: Path, maker: ImageModels, tmp_path: Path
) -> None:
    model, file = maker(condition=CAPTIONS).path, tmp_path / "sheet.png"
    arguments = ("-m", model, "-p", "steps=1", "--seed", "1", "--private")
    result = run(*arguments, "--x", "prompt=red heart,star", "-o", file)
    assert result.code == 0, result.stderr
    assert "certificate" in result.stderr
    assert [item.get("prompt", "") for item in provenances(file)] == ["", ""]
    x, y = Axis.parse("prompt=red heart,star"), Axis.parse("seed=1")
    cell = recorded()[0]
    assert caption(cell, y, Axis(), private=True) == [cell.id[-8:]]
    assert x.titles(private=True) == ["prompt #1", "prompt #2"]
    assert y.titles(private=True) == ["seed 1"]


def test_the_options_of_files_change_a_sheet(
    folder: Path, maker: ImageModels, tmp_path: Path
) -> None:
    first, second, third = (tmp_path / name for name in ("a.png", "b.png", "c.jpg"))
    arguments = ("trouser", "-m", maker().path, "--x", "seed=1,2", "-o")
    assert run(*arguments, first).code == 0
    assert run(*arguments, second, "--scale", "2", "--visible-label", "en").code == 0
    assert run(*arguments, third, "--quality", "50").code == 0
    small, large = (read_picture(file.read_bytes()).shape for file in (first, second))
    assert large[0] > 2 * small[0]
    assert large[1] == 2 * small[1]
    assert read_picture(third.read_bytes()).shape == small
    assert len(provenances(third)) == 2
    assert run(*arguments, tmp_path / "d.png", "--sheet-columns", "1").code == 2


def test_an_existing_file_is_kept(folder: Path, maker: ImageModels, tmp_path: Path) -> None:
    file = tmp_path / "sheet.png"
    file.write_bytes(b"mine")
    arguments = ("trouser", "-m", maker().path, "--x", "seed=1", "-o", file)
    assert run(*arguments).code == 2
    assert file.read_bytes() == b"mine"
    assert run(*arguments, "--overwrite").code == 0
    assert png.chunks(file.read_bytes())


POLICY = """
policy: no-boots
version: "1"
filters:
  - {filter: blocklist, stages: [prompt], parameters: {terms: [boot]}}
"""


def test_a_blocked_cell_is_crossed_out(folder: Path, maker: ImageModels, tmp_path: Path) -> None:
    policy, file = tmp_path / "policy.yaml", tmp_path / "sheet.png"
    policy.write_text(POLICY, encoding="utf-8")
    result = run(
        *("--x", "prompt=trouser,ankle boot", "-m", maker().path, "-o", file),
        *("--policy", policy, "--seed", "7"),
    )
    assert result.code == 3
    assert f"run {recorded()[0].run_id}" in result.stderr
    assert "the cell prompt=ankle boot was blocked" in result.stderr
    assert [item["prompt"] for item in provenances(file)] == ["trouser"]
    assert {cell.status for cell in recorded()} == {"completed", "blocked"}


def test_a_sheet_of_failed_cells_is_not_written(
    folder: Path, maker: ImageModels, tmp_path: Path
) -> None:
    from muniment_image.model_folder import load_model, save_model

    model, file = tmp_path / "odd", tmp_path / "sheet.png"
    family = load_model(Path(maker().path))
    family.network.condition.embedding.weight[1] = 3e38  # the first label
    save_model(family, model, half=False)
    result = run("--x", "prompt=t-shirt/top", "-m", model, "-o", file)
    assert result.code == 1
    assert "not finite" in result.stderr
    assert not file.exists()
    result = run("--x", "prompt=t-shirt/top,trouser", "-m", model, "-o", file)
    assert result.code == 1
    assert len(provenances(file)) == 1


def test_an_interrupted_sheet_names_its_generations(
    folder: Path, maker: ImageModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = Sampler._draw_batch

    def interrupted(self: Sampler, drawings: Sequence[Drawing]) -> object:
        if drawings[0].guidance == 2:
            raise KeyboardInterrupt
        return draw(self, drawings)

    monkeypatch.setattr(Sampler, "_draw_batch", interrupted)
    file = tmp_path / "sheet.png"
    result = run("trouser", "-m", maker().path, "-o", file, "--x", "guidance=1,2")
    assert result.code == 130
    cells = recorded()
    assert [cell.status for cell in cells] == ["completed", "interrupted"]
    assert "muniment audit show " in result.stderr
    command = f"muniment image sheet --run {cells[0].run_id} --x guidance -o {file}"
    assert f"`{command}`" in result.stderr
    assert not file.exists()
    result = run(*shlex.split(command)[3:])
    assert result.code == 0, result.stderr
    assert [item["id"] for item in provenances(file)] == [cells[0].id]
    file.unlink()

    def last(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("muniment_image.sheet.contact_sheet", last)
    result = run("trouser", "-m", maker().path, "-o", file, "--x", "guidance=1,3")
    assert result.code == 130
    assert f"muniment audit list --run {recorded()[-1].run_id}" in result.stderr


def test_a_recorded_run_is_drawn_with_the_same_pixels(
    folder: Path, maker: ImageModels, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.png", tmp_path / "second.png"
    axes = ("--x", "guidance=4,1,2", "--y", "seed=2,1")
    result = run("trouser", "-m", maker().path, "-o", first, *axes)
    assert result.code == 0, result.stderr
    result = run("--run", "last", "--x", "guidance", "--y", "seed", "-o", second, "--json")
    assert result.code == 0, result.stderr
    assert [item["id"] for item in result.json] == [cell.id for cell in recorded()]
    pictures = [read_picture(file.read_bytes()) for file in (first, second)]
    assert (pictures[0] == pictures[1]).all()
    assert provenances(first) == provenances(second)
    assert len(recorded()) == 6


def test_a_run_without_axes_is_drawn_in_its_order(
    folder: Path, maker: ImageModels, tmp_path: Path
) -> None:
    with muniment.open() as session:
        spec = muniment.GenerationSpec("trouser", "image", maker().path, seed=1)
        list(session.run([spec], samples_each=3))
    file = tmp_path / "sheet.png"
    result = run("--run", "last", "-o", file, "--sheet-columns", "3")
    assert result.code == 0, result.stderr
    assert [item["id"] for item in provenances(file)] == [cell.id for cell in recorded()]
    height, width = read_picture(file.read_bytes()).shape[:2]
    assert width > 2 * height


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--x", "guidance"), "have the same guidance"),
        (("--x", "seed=1,2"), "its name alone"),
        (("--x", "sed"), "did you mean seed?"),
        (("--y", "seed"), "--x"),
        (("--x", "seed", "--y", "seed"), "both axes"),
        (("trouser",), "PROMPT"),
        (("--seed", "1"), "--seed"),
        (("-p", "steps=1"), "-p"),
    ],
)
def test_a_recorded_run_with_other_options_is_refused(
    folder: Path, maker: ImageModels, tmp_path: Path, arguments: tuple[str, ...], part: str
) -> None:
    with muniment.open() as session:
        specs = [
            muniment.GenerationSpec("trouser", "image", maker().path, seed=seed) for seed in (1, 2)
        ]
        list(session.run(specs))
    result = run("--run", "last", "-o", tmp_path / "sheet.png", *arguments)
    assert (result.code, len(recorded())) == (2, 2)
    assert part in result.stderr
    assert not (tmp_path / "sheet.png").exists()


def test_a_run_without_images_is_refused(folder: Path, maker: ImageModels, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY, encoding="utf-8")
    with muniment.open() as session:
        spec = muniment.GenerationSpec("ankle boot", "image", maker().path)
        list(session.run([spec], policy=str(policy)))
    result = run("--run", "last", "-o", tmp_path / "sheet.png")
    assert result.code == 1
    assert recorded()[0].run_id in result.stderr


def test_long_titles_are_shortened() -> None:
    assert max(map(len, Axis.parse(f"prompt=star,{'x' * 10_000}").titles())) < 50


def test_a_sheet_with_too_many_pixels_names_its_generations(
    folder: Path, maker: ImageModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("muniment_image.sheet.MAX_PIXELS", 100)
    file = tmp_path / "sheet.png"
    result = run("trouser", "-m", maker().path, "-o", file, "--x", "seed=1,2")
    assert (result.code, file.exists()) == (1, False)
    assert f"muniment image sheet --run {recorded()[0].run_id} --x seed" in result.stderr


def test_a_sheet_is_signed_with_the_certificate_of_the_settings(
    folder: Path, maker: ImageModels, tmp_path: Path
) -> None:
    create_credentials(tmp_path / "keys", name="Test")
    with muniment.open() as session:
        for setting, name in (("certificate", "certificate.pem"), ("certificate_key", "none.key")):
            session.config.set(setting, str(tmp_path / "keys" / name))
    file = tmp_path / "sheet.png"
    arguments = ("red heart", "-m", maker(condition=CAPTIONS).path, "-o", file, "-p", "steps=1")
    refused = run(*arguments, "--x", "seed=1,2")
    assert (refused.code, file.exists()) == (1, False)
    with muniment.open() as session:
        session.config.set("certificate_key", str(tmp_path / "keys" / "certificate.key"))
    result = run(*arguments, "--x", "seed=1,2")
    assert result.code == 0, result.stderr
    manifest = read_manifest(file.read_bytes(), "image/png")
    assert manifest is not None
    assert (manifest.state, manifest.issuer) == ("Valid", "Test")
    assert [item["id"] for item in provenances(file)] == [cell.id for cell in recorded()]


def test_the_caption_of_a_blocked_cell_has_its_id() -> None:
    from muniment.testing import generation

    x, y = Axis.parse("guidance=1"), Axis.parse("seed=1")
    blocked = dataclasses.replace(generation("a text", prompt="star"), status="blocked")
    assert caption(blocked, x, y) == ["star", "blocked", blocked.id[-8:]]


def test_values_can_stand_between_full_width_commas() -> None:
    assert Axis.parse("prompt=红心，蓝心").values == ("红心", "蓝心")


def test_titles_that_the_font_lacks_have_a_number() -> None:
    assert Axis.parse("prompt=red heart, 红心").titles() == ["prompt red heart", "prompt 红心"]
    assert Axis.parse("prompt=red heart, قلب").titles() == ["prompt red heart", "prompt #2"]
