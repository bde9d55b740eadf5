"""Folders of image models: written and read, and every kind of damage refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import muniment
from muniment_image.conditions import CaptionCondition, LabelCondition
from muniment_image.families import family_class
from muniment_image.families.base import Family, Noise
from muniment_image.model_config import FAMILIES, ModelConfig
from muniment_image.model_folder import load_model, read_config, save_model

SIZES = {
    "flow": {"width": 8, "blocks": 1, "embedding": 8},
    "vae": {"width": 8, "latent": 4, "embedding": 8},
    "dcgan": {"width": 8, "latent": 4, "embedding": 8},
}
WEIGHTS, CONFIG, CARD = "model.safetensors", "model.json", "README.md"


def make(family: str = "flow") -> Family:
    torch.manual_seed(5)
    condition = LabelCondition(("cat", "dog"))
    return family_class(family)(ModelConfig(family, 8, 1, condition, SIZES[family], steps=2)).eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(make(), tmp_path / "model", card="# A model\n")
    return tmp_path / "model"


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("half", [True, False])
def test_model_samples_as_before_it_was_written(tmp_path: Path, family: str, half: bool) -> None:
    model = make(family)
    if half:
        model.half().float()  # the written precision
    save_model(model, tmp_path, half=half)
    copy = load_model(tmp_path)
    assert copy.config == model.config
    assert not copy.training
    assert all(
        tensor.dtype != torch.float16 and not tensor.requires_grad for tensor in copy.parameters()
    )
    conditions = torch.ones(2, 1, dtype=torch.int64)
    assert torch.equal(
        model.sample(conditions, Noise([1, 2])), copy.sample(conditions, Noise([1, 2]))
    )


def test_folder_has_three_files_with_half_precision(folder: Path) -> None:
    assert sorted(file.name for file in folder.iterdir()) == [CARD, CONFIG, WEIGHTS]
    assert (folder / CARD).read_text() == "# A model\n"
    assert {tensor.dtype for tensor in load_file(folder / WEIGHTS).values()} == {torch.float16}


def test_save_of_equal_models_writes_equal_bytes(tmp_path: Path, folder: Path) -> None:
    save_model(make(), tmp_path / "again", card="# A model\n")
    for name in (CARD, CONFIG, WEIGHTS):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


def test_configuration_keeps_chinese_words_readable(tmp_path: Path) -> None:
    config = ModelConfig("flow", 8, 3, CaptionCondition((("红", "red"),), 2), SIZES["flow"])
    save_model(family_class("flow")(config), tmp_path)
    assert "红" in (tmp_path / CONFIG).read_text(encoding="utf-8")
    assert read_config(tmp_path) == config


def test_read_config_imports_no_torch(folder: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from muniment_image.model_folder import read_config\n"
        "print(read_config(Path(sys.argv[1])).family, 'torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["flow", "False"]


# ---- what is refused ------------------------------------------------------------------------


def refused(folder: Path, name: str, *, family: str | None = None) -> str:
    """Return the message of the refusal of a folder, which names a file of it."""
    with pytest.raises(muniment.ModelError) as raised:
        load_model(folder, family=family)
    path = folder / name if name else folder
    assert raised.value.model == str(path)
    assert str(path) in str(raised.value)
    return str(raised.value)


def test_folder_that_is_absent_or_empty_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "absent", "")
    assert CONFIG in refused(tmp_path, "")


@pytest.mark.parametrize("name", ["model.pt", "pytorch_model.bin", "epoch-3.ckpt"])
def test_pickled_weights_are_refused(folder: Path, name: str) -> None:
    (folder / WEIGHTS).unlink()
    torch.save({"weight": torch.zeros(1)}, folder / name)
    assert "pickle" in refused(folder, "")
    (folder / CONFIG).unlink()
    assert "pickle" in refused(folder, "")


def test_a_name_that_is_too_long_for_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(muniment.ModelError, match="is not a folder"):
        read_config(tmp_path / ("x" * 300))


def test_pickle_under_the_name_of_safetensors_is_refused(folder: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, folder / WEIGHTS)
    refused(folder, WEIGHTS)


def test_weights_that_are_missing_are_refused(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    assert WEIGHTS in refused(folder, "")


@pytest.mark.parametrize("size", [0, 7, 100, -1])
def test_weights_that_are_truncated_are_refused(folder: Path, size: int) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[:size])
    refused(folder, WEIGHTS)


def test_weights_with_nan_are_refused(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    name = sorted(tensors)[3]
    tensors[name].view(-1)[0] = float("nan")
    save_file(tensors, folder / WEIGHTS)
    assert name in refused(folder, WEIGHTS)


def test_weights_without_a_tensor_are_refused(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    name = sorted(tensors)[3]
    del tensors[name]
    save_file(tensors, folder / WEIGHTS)
    assert name in refused(folder, WEIGHTS)


def test_weights_with_an_unknown_tensor_are_refused(folder: Path) -> None:
    save_file({**load_file(folder / WEIGHTS), "adapter.weight": torch.zeros(1)}, folder / WEIGHTS)
    assert "adapter.weight" in refused(folder, WEIGHTS)


@pytest.mark.parametrize("change", ["shape", "type"])
def test_weights_of_another_shape_or_type_are_refused(folder: Path, change: str) -> None:
    tensors = load_file(folder / WEIGHTS)
    name = sorted(tensors)[3]
    tensors[name] = (
        tensors[name].to(torch.int64) if change == "type" else torch.zeros(*tensors[name].shape, 2)
    )
    save_file(tensors, folder / WEIGHTS)
    assert name in refused(folder, WEIGHTS)


def test_weights_of_another_family_are_refused(folder: Path, tmp_path: Path) -> None:
    save_model(make("vae"), tmp_path / "vae")
    (folder / WEIGHTS).write_bytes((tmp_path / "vae" / WEIGHTS).read_bytes())
    refused(folder, WEIGHTS)


def test_model_of_another_family_than_wanted_is_refused(folder: Path) -> None:
    message = refused(folder, "", family="dcgan")
    assert "flow" in message
    assert "dcgan" in message


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00", "[" * 100_000])
def test_configuration_that_is_no_object_is_refused(folder: Path, text: str) -> None:
    (folder / CONFIG).write_text(text)
    refused(folder, CONFIG)


def test_configuration_that_is_not_utf8_is_refused(folder: Path) -> None:
    (folder / CONFIG).write_bytes(b'{"format": "\xff"}')
    refused(folder, CONFIG)


@pytest.mark.parametrize(
    "fields",
    [
        {"format": "muniment-image/0"},
        {"format": None},
        {"family": "wgan"},
        {"family": 3},
        {"image_size": "8"},
        {"image_size": 8.5},
        {"image_size": True},
        {"channels": 2},
        {"condition": {"kind": "sound"}},
        {"condition": "label"},
        {"network": {"width": "wide"}},
        {"network": {"width": 0}},
        {"network": {"depth": 3}},
        {"network": []},
        {"steps": 0},
        {"guidance": "strong"},
        {"guidance": None},
        {"batch": 0},
        {"batch": 10**9},
        {"steps": 10**9},
        {"network": {"width": 10**9}},
        {"condition": CaptionCondition((("red",),), 2).to_json() | {"length": 10**12}},
    ],
    ids=str,
)
def test_configuration_with_an_invalid_field_is_refused(
    folder: Path, fields: dict[str, Any]
) -> None:
    change(folder / CONFIG, **fields)
    refused(folder, CONFIG)


def test_configuration_with_huge_layers_is_refused_without_memory_for_them(folder: Path) -> None:
    change(folder / CONFIG, network={**SIZES["flow"], "width": 4096, "blocks": 8})
    began = time.process_time()
    refused(folder, WEIGHTS)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("name", ["family", "image_size", "condition", "network", "steps"])
def test_configuration_without_a_field_is_refused(folder: Path, name: str) -> None:
    value = json.loads((folder / CONFIG).read_text())
    del value[name]
    (folder / CONFIG).write_text(json.dumps(value))
    assert name in refused(folder, CONFIG)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e6])
def test_save_of_weights_that_float16_cannot_hold_changes_nothing(
    folder: Path, number: float
) -> None:
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    model = make()
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = number
    with pytest.raises(muniment.ModelError):
        save_model(model, folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_save_that_fails_keeps_the_previous_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="space"):
        save_model(make(), folder)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
