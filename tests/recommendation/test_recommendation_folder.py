"""The folder of a fitted model, and the command that writes it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import safetensors.numpy

import muniment
from muniment.testing import CommandContract, run_command
from muniment_recommendation.commands import recommendation
from muniment_recommendation.commands.fit import fit as fit_command
from muniment_recommendation.data.writing import new_folder
from muniment_recommendation.errors import DataError
from muniment_recommendation.fitting.fit import fit
from muniment_recommendation.fitting.fitted_model import FittedModel
from muniment_recommendation.fitting.options import FitOptions
from muniment_recommendation.model_folder.files import (
    CATALOGUE,
    CONFIG,
    FILES,
    HISTORIES,
    USERS,
    WEIGHTS,
    read_user,
)
from muniment_recommendation.model_folder.reading import load
from muniment_recommendation.model_folder.writing import save, write_fitted
from muniment_recommendation.models.blend import Blend, Part
from muniment_recommendation.models.families import family_class
from muniment_recommendation.models.popularity import Popularity
from support import tables
from support.recommendation import catalogue_of, interactions_of

SIZE = 30
DATA = interactions_of(SIZE)


@pytest.fixture(scope="module", params=["blend", "als", "popularity"])
def model(request: pytest.FixtureRequest) -> FittedModel:
    return fit(DATA, catalogue_of(SIZE), FitOptions(request.param), data_digest="sha256:0")


@pytest.fixture
def folder(model: FittedModel, tmp_path: Path) -> Path:
    save(model, tmp_path)
    return tmp_path


def test_a_loaded_model_is_the_saved_one(model: FittedModel, folder: Path) -> None:
    loaded = load(folder)
    assert (loaded.options, loaded.catalogue) == (model.options, model.catalogue)
    assert (loaded.tuned, loaded.data_digest) == (model.tuned, model.data_digest)
    np.testing.assert_array_equal(
        loaded.blend.scores(DATA.histories()), model.blend.scores(DATA.histories())
    )


def test_equal_models_have_equal_files(model: FittedModel, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    save(load(folder), other)
    for name in FILES:
        assert (other / name).read_bytes() == (folder / name).read_bytes()


def test_a_user_is_read_alone(folder: Path) -> None:
    for number in (0, 3, len(DATA.users) - 1):
        history, disliked = read_user(folder, number)
        assert history.tolist() == DATA.history(number).tolist()
        assert disliked.tolist() == list(DATA.disliked.get(number, []))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_a_damaged_file_is_a_model_error(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:20] if damage == "cut" else b'{"format": 1}')
    with pytest.raises(muniment.ModelError):
        load(folder)


def test_a_changed_number_is_a_model_error(folder: Path) -> None:
    for name in FILES[1:]:
        content = bytearray((folder / name).read_bytes())
        content[-2] ^= 1
        (folder / name).write_bytes(content)
        with pytest.raises(muniment.ModelError, match=name):
            load(folder)
        content[-2] ^= 1
        (folder / name).write_bytes(content)
    load(folder)


# ---- folders whose digests are right, and whose contents are not --------------------------------


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a blend with a part of each kind."""
    folder = tmp_path_factory.mktemp("intact")
    options = FitOptions(options={"parts": ["ease", "item-knn", "transitions", "als"]})
    fitted = fit(DATA, catalogue_of(SIZE), options)
    parts = [Part(part.recommender, 0.25) for part in all_parts(fitted)]
    popularity = Popularity.fit(DATA, fitted.catalogue, {}, 0)
    blend = Blend(parts, popularity, DATA.counts() == 0, fitted.text)
    save(replace(fitted, model=blend), folder)
    return folder


def all_parts(fitted: FittedModel) -> list[Part]:
    """Return a part of each family of the options, also of those with the weight 0."""
    names = fitted.options.options["parts"]
    return [Part(family_class(name).fit(DATA, fitted.catalogue, {}, 0), 1.0) for name in names]


def change_json(folder: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Replace the content of a JSON file by what `change` returns, or changed in place."""
    content = json.loads((folder / name).read_bytes())
    changed = change(content)
    (folder / name).write_text(json.dumps(content if changed is None else changed))
    if name != CONFIG:
        change_json(folder, CONFIG, lambda config: config["files"].update(digest(folder, name)))


def digest(folder: Path, name: str) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest()}


def part(config: Any, family: str) -> Any:
    """Return the record of a part in model.json."""
    return next(one for one in config["tuned"] if one["family"] == family)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (CONFIG, lambda config: config.pop("data") and None),
        (CONFIG, lambda config: config.update(format="muniment-recommendation-9")),
        (CONFIG, lambda config: config.update(family="als")),
        (CONFIG, lambda config: config.update(seed="x")),
        (CONFIG, lambda config: config.update(options=[1])),
        (CONFIG, lambda config: config.update(options={"parts": 5})),
        (CONFIG, lambda config: config.update(options={"factors": [5]})),
        (CONFIG, lambda config: config.update(files={})),
        (CONFIG, lambda config: config.update(tuned=[])),
        (CONFIG, lambda config: config.update(tuned=None)),
        (CONFIG, lambda config: config.update(tuned=["ease"])),
        (CONFIG, lambda config: config["tuned"].append(config["tuned"][0])),
        (CONFIG, lambda config: part(config, "als").update(family="nope")),
        (CONFIG, lambda config: part(config, "als").update(family="text")),
        (CONFIG, lambda config: part(config, "als").update(weight="1")),
        (CONFIG, lambda config: part(config, "als").update(weight=float("nan"))),
        (CONFIG, lambda config: part(config, "als").update(weight=0)),
        (CONFIG, lambda config: part(config, "als")["values"].pop("regularization") and None),
        (CONFIG, lambda config: part(config, "ease").update(values={})),
        (CONFIG, lambda config: part(config, "ease")["values"].update(half_life=0)),
        (CONFIG, lambda config: part(config, "ease")["values"].update(half_life=-1)),
        (CONFIG, lambda config: part(config, "ease")["values"].update(half_life="3")),
        (CATALOGUE, lambda items: 5),
        (CATALOGUE, lambda items: items[:3]),
        (CATALOGUE, lambda items: [*items, {"id": "z", "title": "", "text": "", "tags": []}]),
        (CATALOGUE, lambda items: items[0].update(title=5)),
        (CATALOGUE, lambda items: items[0].update(tags="abc")),
        (CATALOGUE, lambda items: items[0].update(id=items[1]["id"])),
        (CATALOGUE, lambda items: items[0].pop("id") and None),
        (USERS, lambda users: "abcd"),
        (USERS, lambda users: users[:-1]),
        (USERS, lambda users: [users[0]] * len(users)),
    ],
)
def test_json_that_does_not_fit_is_a_model_error(
    intact: Path, tmp_path: Path, name: str, change: Callable[[Any], Any]
) -> None:
    folder = Path(shutil.copytree(intact, tmp_path / "model"))
    change_json(folder, name, change)
    with pytest.raises(muniment.ModelError):
        load(folder)


@pytest.mark.parametrize("name", [CONFIG, CATALOGUE, USERS])
def test_deep_json_is_a_model_error(intact: Path, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(intact, tmp_path / "model"))
    deep = "[" * 100_000
    (folder / name).write_text(f'{{"other": {deep}' if name == CONFIG else deep)
    if name != CONFIG:
        change_json(folder, CONFIG, lambda config: config["files"].update(digest(folder, name)))
    with pytest.raises(muniment.ModelError):
        load(folder)


@pytest.mark.parametrize(
    ("name", "array", "change"),
    [
        (WEIGHTS, "ease.matrix", lambda matrix: matrix[:5, :5]),
        (WEIGHTS, "ease.matrix", lambda matrix: matrix[:5]),
        (WEIGHTS, "ease.matrix", lambda matrix: matrix * np.nan),
        (WEIGHTS, "ease.matrix", lambda matrix: None),
        (WEIGHTS, "als.vectors", lambda vectors: vectors[:5]),
        (WEIGHTS, "als.vectors", lambda vectors: vectors + np.inf),
        (WEIGHTS, "als.vectors", lambda vectors: vectors[0]),
        (WEIGHTS, "transitions.offsets", lambda offsets: np.array([0, offsets[-1]])),
        (WEIGHTS, "item-knn.offsets", lambda offsets: np.array([0, offsets[-1]])),
        (WEIGHTS, "item-knn.offsets", lambda offsets: offsets[::-1]),
        (WEIGHTS, "item-knn.indices", lambda indices: indices + SIZE),
        (WEIGHTS, "item-knn.indices", lambda indices: indices - SIZE),
        (WEIGHTS, "item-knn.data", lambda values: values[:-1]),
        (WEIGHTS, "wish.offsets", lambda offsets: np.array([0, offsets[-1]])),
        (WEIGHTS, "wish.offsets", lambda offsets: None),
        (WEIGHTS, "wish.vocabulary", lambda letters: letters | 0x80),
        (WEIGHTS, "wish.vocabulary", lambda letters: letters[:1]),
        (WEIGHTS, "wish.frequencies", lambda numbers: numbers[:, None]),
        (WEIGHTS, "wish.frequencies", lambda numbers: numbers * np.nan),
        (HISTORIES, "items", lambda items: items * 0),
        (HISTORIES, "items", lambda items: items + SIZE),
        (HISTORIES, "items", lambda items: items - SIZE),
        (HISTORIES, "items", lambda items: items.astype(np.float64)),
        (HISTORIES, "offsets", lambda offsets: offsets[:, None]),
        (HISTORIES, "offsets", lambda offsets: offsets[:-1]),
        (HISTORIES, "offsets", lambda offsets: offsets[::-1]),
        (HISTORIES, "times", lambda times: times[:-1]),
        (HISTORIES, "disliked", lambda items: None),
        (HISTORIES, "disliked", lambda items: items + SIZE),
    ],
)
def test_an_array_that_does_not_fit_is_a_model_error(
    intact: Path, tmp_path: Path, name: str, array: str, change: Callable[[Any], Any]
) -> None:
    folder = Path(shutil.copytree(intact, tmp_path / "model"))
    arrays = safetensors.numpy.load_file(folder / name)
    changed = change(arrays.pop(array))
    if changed is not None:
        arrays[array] = np.ascontiguousarray(changed)
    safetensors.numpy.save_file(arrays, folder / name)
    change_json(folder, CONFIG, lambda config: config["files"].update(digest(folder, name)))
    with pytest.raises(muniment.ModelError):
        load(folder)


def test_the_intact_folder_loads(intact: Path) -> None:
    assert len(load(intact).parts) == 4


def test_a_damaged_model_is_not_evaluated(data: Path, session: muniment.Session) -> None:
    Path("m").mkdir()
    Path("m/model.json").write_text('{"format": "muniment-recommendation-1"}')
    result = run_command(recommendation, "evaluate", "-m", "m", "--data", "data", session=session)
    assert result.code == 1
    assert "model.json" in result.stderr


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


def test_data_of_one_item_is_refused(tmp_path: Path, session: muniment.Session) -> None:
    data = tables.write_folder(tmp_path / "one", [("u", "a", 1), ("v", "a", 2)])
    arguments = ("fit", "--data", str(data), "--out", str(tmp_path / "m"))
    result = run_command(recommendation, *arguments, session=session)
    assert result.code == 2
    assert "one item" in result.stderr
    assert not (tmp_path / "m").exists()


@pytest.mark.skipif(os.name != "posix", reason="limit of file sizes")
def test_a_full_disk_leaves_no_folder(model: FittedModel, tmp_path: Path) -> None:
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        with pytest.raises(DataError, match="cannot be written"):
            write_fitted(model, tmp_path / "parent" / "m", data=tmp_path, files=[])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "parent").iterdir()) == []


def test_a_folder_that_appears_meanwhile_is_not_changed(tmp_path: Path) -> None:
    out = tmp_path / "m"

    def write() -> None:
        with new_folder(out) as temporary:
            (temporary / "mine").touch()
            out.mkdir()
            (out / "other").touch()

    with pytest.raises(DataError):
        write()
    assert [path.name for path in tmp_path.rglob("*")] == ["m", "other"]


def test_a_fit_that_is_not_recorded_leaves_no_folder(
    data: Path, session: muniment.Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise muniment.UsageError("no training can be recorded")

    arguments = ("fit", "--data", "data", "--out", "m", "--model", "popularity")
    with monkeypatch.context() as patch:
        patch.setattr(muniment.Session, "record_training", refuse)
        assert run_command(recommendation, *arguments, session=session).code == 2
    assert sorted(path.name for path in Path().iterdir() if "m" in path.name) == []
    assert run_command(recommendation, *arguments, session=session).code == 0


def test_files_have_the_same_permissions(model: FittedModel, tmp_path: Path) -> None:
    write_fitted(model, tmp_path / "m", data=tmp_path, files=[])
    modes = {path.stat().st_mode for path in (tmp_path / "m").iterdir()}
    assert len(modes) == 1


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
