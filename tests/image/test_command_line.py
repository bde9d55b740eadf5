"""`muniment generate image`: files with the provenance of their own images, and contact sheets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from muniment_image.pictures import read_picture
from muniment_image.stamp import read_provenance
from support.commands import Here
from support.images import ImageModels


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return ImageModels(tmp_path_factory.mktemp("models"))().path


@pytest.fixture
def muniment(
    home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Here:
    home.mkdir()
    (home / "config.toml").write_text('policy = "none"\nactor = "tester"\n', encoding="utf-8")
    return Here(capfd, monkeypatch)


def stamp(file: Path) -> dict[str, str]:
    """Return the provenance in an exported file."""
    return dict(json.loads(read_provenance(file.read_bytes()) or ""))


def test_each_file_of_several_has_its_own_seed(muniment: Here, model: str, tmp_path: Path) -> None:
    command = ["generate", "image", "trouser", "-m", model]
    result = muniment(*command, "--seed", "7", "-n", "3", "-o", tmp_path / "out.png")
    assert result.code == 0, result.err
    files = [tmp_path / f"out-{number}.png" for number in (1, 2, 3)]
    stamps = [stamp(file) for file in files]
    assert stamps[0]["seed"] == "7"
    assert len({item["seed"] for item in stamps}) == 3
    assert len({item["id"] for item in stamps}) == 3
    for number, (file, facts) in enumerate(zip(files, stamps, strict=True)):
        alone = tmp_path / f"alone-{number}.png"
        assert muniment(*command, "--seed", facts["seed"], "-o", alone).code == 0
        assert (read_picture(alone.read_bytes()) == read_picture(file.read_bytes())).all()


def test_a_sheet_shows_several_images(muniment: Here, model: str, tmp_path: Path) -> None:
    command = ["generate", "image", "trouser", "-m", model, "--seed", "7", "-n", "4"]
    for option in ("--sheet", "--combine"):
        file = tmp_path / f"{option}.png"
        result = muniment(*command, option, "-o", file)
        assert result.code == 0, result.err
        height, width = read_picture(file.read_bytes()).shape[:2]
        assert min(height, width) > 2 * 96
    assert muniment(*command, "--sheet").code == 2


def test_a_repeated_request_keeps_its_values(muniment: Here, model: str, tmp_path: Path) -> None:
    file = tmp_path / "first.png"
    assert muniment("generate", "image", "trouser", "-m", model, "-o", file).code == 0
    (again,) = muniment("generate", "image", "--like", file, "--json").json("generation")
    (changed,) = muniment("generate", "image", "--like", "last", "--steps", "3", "--json").json(
        "generation"
    )
    assert again["parameters"] == {"guidance": 2.0, "steps": 2, "strength": None}
    assert changed["parameters"] == {"guidance": 2.0, "steps": 3, "strength": None}
    assert muniment("audit", "replay", "last").code == 0


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("sandal",), "no label 'sandal'"),
        (("sandal",), "muniment image words -m "),
        ((), "T-shirt/top"),
        (("trouser", "--steps", "0"), "steps"),
        (("trouser", "--strength", "0.5"), "strength"),
        (("trouser", "--guidance", "-1"), "guidance"),
        (("trouser", "--mask", "missing.png"), "mask"),
        (("trouser", "--system", "Draw well."), "system prompt"),
    ],
)
def test_a_mistake_is_one_line_and_records_nothing(
    muniment: Here, home: Path, model: str, arguments: tuple[str, ...], part: str
) -> None:
    result = muniment("generate", "image", *arguments, "-m", model)
    assert (result.code, result.err.count("\n")) == (2, 1), result.err
    assert part in result.err
    assert not (home / "muniment.db").exists()
