"""Trainings in `models add`, `models show`, `audit lineage` and `audit erase --event`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import muniment as api
from support.commands import Here, check_shape
from support.plugins import PluginFolder

COPIES = """
import shutil
from pathlib import Path
import muniment

class Copies(muniment.Generator):
    name, media_type, determinism, uses_model = "copies", "text/plain", "exact", True

    def generate(self, requests):
        for request in requests:
            yield request.reply(muniment.Text(request.prompt))

    def packaged_models(self):
        source = Path(__file__).parents[2] / "packaged"
        return [muniment.PackagedModel("packaged", str(source))] if source.exists() else []

    def add_model(self, source, into, progress):
        shutil.copytree(source, into, dirs_exist_ok=True)
        return {}

    def find_model(self, source):
        raise muniment.ModelError(source, f"{source} is not on this machine")

@muniment.hookimpl
def muniment_generators(register):
    register(Copies)
"""


@pytest.fixture
def copies(muniment: Here, plugin_folder: PluginFolder) -> Here:
    """The command line with a generator that copies the models that are added."""
    plugin_folder.add(COPIES, distribution="test-copies")
    return muniment


def write_model(folder: Path, **fields: Any) -> api.Training:
    """Write a trained model with its `training.json`."""
    folder.mkdir()
    (folder / "weights.bin").write_text(folder.name)
    values: dict[str, Any] = {
        "counts": {"epochs": 2},
        "parameters": {"rate": 0.5, "optimizer": "adam"},
        "losses": [0.75, 0.5, 0.25],
        "data_digest": "sha256:1234",
        "data_folder": "/data/猫",
    }
    training = api.Training(model=folder, **values | fields)
    check_shape(json.loads(api.write_training_json(training).read_bytes()), "training_json")
    return training


def record(training: api.Training, plugin: str | None = "test-copies") -> str:
    """Record a training in the home of the tests, and return the digest of the model."""
    with api.open() as session:
        return str(session.record_training(training, plugin=plugin).entry.result)


def shown(here: Here, name: str = "mine") -> dict[str, Any]:
    (model,) = here("models", "show", name, "--json").json("model")
    return dict(model)


ADD = ("models", "add", "--generator", "copies", "--name", "mine")


def test_an_added_model_keeps_the_training_that_was_recorded(copies: Here, tmp_path: Path) -> None:
    digest = record(write_model(tmp_path / "m"))
    (added,) = copies(*ADD, tmp_path / "m", "--json").json("model")
    assert added["digest"] == digest
    (training,) = shown(copies)["trainings"]
    assert (training["claimed"], training["status"]) == (False, "completed")
    assert (training["result"], training["base"]) == (digest, None)
    assert [plugin["distribution"] for plugin in training["plugins"]] == ["muniment", "test-copies"]
    assert training["counts"] == {"epochs": 2}
    assert training["data_folder"] == "/data/猫"
    text = copies("models", "show", "mine").out
    for part in (digest, "completed · recorded here", "epochs = 2", "0.75 … 0.25 (3)", "adam"):
        assert part in text
    assert "sha256:1234 · /data/猫" in text
    assert copies("audit", "verify", "--all").code == 0


@pytest.mark.parametrize("isolate", ["false", "true"], ids=["in-process", "isolated"])
def test_a_model_trained_elsewhere_is_claimed_once(
    copies: Here, tmp_path: Path, isolate: str
) -> None:
    copies("config", "set", "plugin.test-copies.isolate", isolate)
    write_model(tmp_path / "m")
    for _ in range(2):
        assert copies(*ADD, tmp_path / "m").code == 0
        (training,) = shown(copies)["trainings"]
        copies("models", "remove", "mine", "--yes")
    assert training["claimed"]
    assert (training["plugins"], training["environment"], training["data_folder"]) == (
        [],
        None,
        None,
    )
    assert training["losses"] == [0.75, 0.5, 0.25]
    assert copies("audit", "verify", "--all").code == 0


def test_a_packaged_model_claims_its_training(
    copies: Here, plugin_folder: PluginFolder, home: Path
) -> None:
    write_model(plugin_folder.folder.parent / "packaged")
    assert copies("generate", "copies", "oh").code == 0
    (training,) = shown(copies, "packaged")["trainings"]
    assert training["claimed"]


def test_a_malformed_file_adds_and_records_nothing(copies: Here, tmp_path: Path) -> None:
    training = write_model(tmp_path / "m")
    (tmp_path / "m" / "training.json").write_text('{"format": "muniment-training/9"}')
    result = copies(*ADD, tmp_path / "m")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "the training.json of model mine does not describe" in result.err
    assert "/models/" not in result.err
    assert copies("models", "list").out == ""
    kinds = "SELECT kind FROM v_event WHERE kind IN ('model', 'training')"
    assert copies("db", "sql", kinds).out == ""
    api.write_training_json(training)
    assert copies(*ADD, tmp_path / "m").code == 0


def test_a_model_with_the_training_json_of_another_program_is_added(
    copies: Here, tmp_path: Path
) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "training.json").write_text('{"epoch": 3, "format": "trainer/1"}')
    result = copies(*ADD, tmp_path / "m")
    assert result.code == 0
    assert "training.json of model mine is not muniment-training/1" in result.err
    assert shown(copies)["trainings"] == []


def test_base_models_follow(copies: Here, tmp_path: Path) -> None:
    first = record(write_model(tmp_path / "first"))
    second = record(write_model(tmp_path / "second", base=tmp_path / "first", status="stopped"))
    record(write_model(tmp_path / "third", base=second))
    copies(*ADD, tmp_path / "third")
    trainings = shown(copies)["trainings"]
    assert [training["base"] for training in trainings] == [second, first, None]
    assert [training["status"] for training in trainings] == ["completed", "stopped", "completed"]
    assert copies("models", "show", "mine").out.count("\ntraining ") == 3

    copies("generate", "copies", "oh", "-m", "mine")
    (lineage,) = copies("audit", "lineage", "last", "--json").json("lineage")
    assert lineage["trainings"] == trainings
    assert lineage["generations"][0]["model"]["name"] == "mine"
    text = copies("audit", "lineage", "last").out
    for digest in (first, second):
        assert digest in text


def test_the_lineage_has_the_trainings_of_adapters(
    copies: Here, plugin_folder: PluginFolder, tmp_path: Path
) -> None:
    source = COPIES.replace('"copies"', '"adapts"')
    source = source.replace("determinism, uses_model =", "determinism =")
    source = source.replace('"exact", True', '"exact"')
    source = source.replace(
        "    def generate(",
        "    class Parameters(muniment.Parameters):\n"
        "        adapter: str | None = muniment.param(None, model=True)\n\n"
        "    def generate(",
    )
    plugin_folder.add(source, distribution="test-adapts")
    digest = record(write_model(tmp_path / "adapter"), plugin=None)
    copies("models", "add", "--generator", "adapts", "--name", "mine", tmp_path / "adapter")
    assert copies("generate", "adapts", "oh", "--adapter", "mine").code == 0
    (lineage,) = copies("audit", "lineage", "last", "--json").json("lineage")
    assert [training["result"] for training in lineage["trainings"]] == [digest]


def test_the_texts_of_a_training_can_be_erased(copies: Here, tmp_path: Path) -> None:
    training = write_model(tmp_path / "m")
    with api.open() as session:
        number = session.record_training(training).number
    copies(*ADD, tmp_path / "m")
    assert copies("audit", "erase", "--event", str(number), "--yes").code == 0
    (erased,) = shown(copies)["trainings"]
    assert erased["losses"] is None
    assert erased["data_folder"] is None
    assert erased["counts"] == {"epochs": 2}
    text = copies("models", "show", "mine").out
    assert "its texts were erased" in text
    assert "adam" not in text
    assert copies("audit", "verify", "--all").code == 0
    assert copies("db", "rebuild").code == 0
    assert shown(copies)["trainings"] == [erased]


def test_the_erased_name_of_an_actor_is_marked_in_the_record_of_a_model(
    copies: Here, tmp_path: Path
) -> None:
    write_model(tmp_path / "m")
    copies(*ADD, tmp_path / "m")
    assert copies("generate", "copies", "x", "-m", "mine").code == 0
    (made,) = copies("audit", "list", "--json").json("generation")
    assert copies("audit", "erase", "--actor", made["actor"], "--yes").code == 0
    shown = copies("models", "show", "mine").fields
    for name in ("history", "training"):
        assert "[erased]" in shown[name][0], shown


def test_control_characters_of_a_claim_stay_on_their_line(copies: Here, tmp_path: Path) -> None:
    write_model(tmp_path / "m", classes=["cat\nresult faked\x1b[2J"])
    copies(*ADD, tmp_path / "m")
    text = copies("models", "show", "mine").out
    assert not any(line.strip().startswith("result faked") for line in text.splitlines())
    assert json.loads(copies("models", "show", "mine", "--json").out)["trainings"]
