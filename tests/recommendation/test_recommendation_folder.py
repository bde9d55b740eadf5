"""The folder of a fitted model, and the command that writes it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import muniment
from muniment.testing import CommandContract, run_command
from muniment_recommendation import model_folder
from muniment_recommendation.commands import recommendation
from muniment_recommendation.commands.fit import fit as fit_command
from muniment_recommendation.fitting import FitOptions, FittedModel, fit
from support import tables
from support.recommendation import catalogue_of, interactions_of

SIZE = 30
DATA = interactions_of(SIZE)


@pytest.fixture(scope="module", params=["blend", "als", "popularity"])
def model(request: pytest.FixtureRequest) -> FittedModel:
    return fit(DATA, catalogue_of(SIZE), FitOptions(request.param), data_digest="sha256:0")


@pytest.fixture
def folder(model: FittedModel, tmp_path: Path) -> Path:
    model_folder.save(model, tmp_path)
    return tmp_path


def test_a_loaded_model_is_the_saved_one(model: FittedModel, folder: Path) -> None:
    loaded = model_folder.load(folder)
    assert (loaded.options, loaded.catalogue) == (model.options, model.catalogue)
    assert (loaded.tuned, loaded.data_digest) == (model.tuned, model.data_digest)
    np.testing.assert_array_equal(
        loaded.blend.scores(DATA.histories()), model.blend.scores(DATA.histories())
    )


def test_equal_models_have_equal_files(model: FittedModel, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    model_folder.save(model_folder.load(folder), other)
    for name in model_folder.FILES:
        assert (other / name).read_bytes() == (folder / name).read_bytes()


def test_a_user_is_read_alone(folder: Path) -> None:
    for number in (0, 3, len(DATA.users) - 1):
        history, disliked = model_folder.read_user(folder, number)
        assert history.tolist() == DATA.history(number).tolist()
        assert disliked.tolist() == list(DATA.disliked.get(number, []))


@pytest.mark.parametrize("name", model_folder.FILES)
@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_a_damaged_file_is_a_model_error(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:20] if damage == "cut" else b'{"format": 1}')
    with pytest.raises(muniment.ModelError):
        model_folder.load(folder)


def test_a_history_outside_the_catalogue_is_a_model_error(folder: Path) -> None:
    items = json.loads((folder / model_folder.CATALOGUE).read_text())
    (folder / model_folder.CATALOGUE).write_text(json.dumps(items[:3]))
    with pytest.raises(muniment.ModelError, match="catalogue"):
        model_folder.load(folder)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tables.write_titles(tmp_path / "data")


@pytest.fixture
def session(home: Path) -> Iterator[muniment.Session]:
    with muniment.Session(home) as session:
        yield session


class TestFit(CommandContract):
    command = fit_command
    arguments: ClassVar = ("--data", "data", "--out", "model")

    @pytest.fixture(autouse=True)
    def _data(self, data: Path) -> None:
        """Write the data into the current folder."""


def test_a_fit_is_recorded_and_found_by_the_model(data: Path, session: muniment.Session) -> None:
    result = run_command(
        recommendation, "fit", "--data", "data", "--out", "m", "--json", session=session
    )
    assert result.code == 0
    assert json.loads(Path("m/model.json").read_text())["family"] == "blend"
    claim = json.loads(Path("m/training.json").read_text())
    assert claim["parameters"]["family"] == "blend"
    assert str(data) not in Path("m/training.json").read_text()


def test_an_existing_folder_is_not_replaced(data: Path, session: muniment.Session) -> None:
    Path("m").mkdir()
    arguments = ("fit", "--data", "data", "--out", "m")
    result = run_command(recommendation, *arguments, session=session)
    assert result.code == 2
    assert list(Path("m").iterdir()) == []


def test_the_order_of_rows_does_not_change_the_model(data: Path, session: muniment.Session) -> None:
    shutil.copytree(data, "reversed")
    header, *rows = Path("data/interactions.csv").read_text().splitlines()
    Path("reversed/interactions.csv").write_text("\n".join([header, *reversed(rows)]) + "\n")
    digests = []
    for name in ("data", "reversed"):
        arguments = ("fit", "--data", name, "--out", f"model-{name}")
        assert run_command(recommendation, *arguments, session=session).code == 0
        digests.append(muniment.model_digest(f"model-{name}"))
    assert digests[0] == digests[1]
