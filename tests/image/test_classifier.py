"""The classifier learns, repeats its training, and refuses folders that it cannot use."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import muniment
from muniment_image.classifier import (
    CONFIG,
    WEIGHTS,
    Classifier,
    ClassifierConfig,
    load_classifier,
    save_classifier,
    train_classifier,
)

CONFIG_OF_TWO = ClassifierConfig(("dark", "light"), size=8, channels=1, width=8)


def _pictures() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    classes = torch.arange(64) % 2
    noise = 0.3 * torch.randn(64, 1, 8, 8, generator=generator)
    return noise + (classes * 1.0 - 0.5)[:, None, None, None], classes


def _trained(steps: int = 40) -> Classifier:
    images, classes = _pictures()
    return train_classifier(CONFIG_OF_TWO, images, classes, steps=steps, seed=3)


def test_training_learns_two_classes():
    images, classes = _pictures()

    assert _trained().accuracy(images, classes) > 0.95


def test_training_repeats_bit_for_bit_and_leaves_the_global_generator_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    one = _trained(5)
    assert torch.equal(torch.rand(3), expected)

    other = _trained(5)

    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


def test_a_saved_classifier_is_loaded_again(tmp_path: Path):
    images, _ = _pictures()
    classifier = _trained(5)
    save_classifier(classifier, tmp_path / "c")

    loaded = load_classifier(tmp_path / "c")

    assert loaded.config == CONFIG_OF_TWO
    assert torch.equal(loaded.features(images), classifier.features(images))
    assert loaded.features(images).shape == (64, 128)
    assert loaded.probabilities(images).sum(dim=1).allclose(torch.ones(64))


def test_a_full_disk_keeps_the_classifier_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    save_classifier(_trained(5), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_classifier(_trained(6), tmp_path)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_one_class_only_is_refused():
    config = ClassifierConfig(("dark",), size=8, channels=1)

    with pytest.raises(muniment.UsageError, match="two classes"):
        train_classifier(config, *_pictures(), steps=1, seed=0)


def test_an_empty_data_set_is_refused():
    with pytest.raises(muniment.UsageError, match="empty"):
        train_classifier(
            CONFIG_OF_TWO, torch.empty(0, 1, 8, 8), torch.empty(0).long(), steps=1, seed=0
        )


def test_pictures_that_are_not_numbers_stop_the_training():
    images, classes = _pictures()

    with pytest.raises(muniment.UsageError, match="not a number"):
        train_classifier(CONFIG_OF_TWO, images * torch.inf, classes, steps=2, seed=0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_classifier(_trained(1), tmp_path / "classes")
    return tmp_path / "classes"


def test_a_folder_without_a_classifier_is_refused(tmp_path: Path):
    with pytest.raises(muniment.ModelError, match=CONFIG):
        load_classifier(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other/1"},
        {"labels": ["one"]},
        {"labels": [1, 2]},
        {"size": 4},
        {"size": 10**9},
        {"channels": 2},
        {"width": 0},
        {"width": 10**6},
        {"width": None},
    ],
)
def test_a_configuration_beyond_the_limits_is_refused(folder: Path, change: dict[str, object]):
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    (folder / CONFIG).write_text(json.dumps({**config, **change}), encoding="utf-8")

    with pytest.raises(muniment.ModelError):
        load_classifier(folder)


@pytest.mark.parametrize("text", ["", "[]", "{", "\ud800".encode("utf-8", "surrogatepass")])
def test_a_damaged_configuration_is_refused(folder: Path, text: str | bytes):
    (folder / CONFIG).write_bytes(text if isinstance(text, bytes) else text.encode())

    with pytest.raises(muniment.ModelError):
        load_classifier(folder)


def test_damaged_or_missing_weights_are_refused(folder: Path):
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:100])
    with pytest.raises(muniment.ModelError):
        load_classifier(folder)

    (folder / WEIGHTS).unlink()
    with pytest.raises(muniment.ModelError):
        load_classifier(folder)


def test_weights_of_another_shape_or_without_numbers_are_refused(folder: Path):
    weights = load_file(folder / WEIGHTS)
    save_file({**weights, "output.bias": torch.zeros(3)}, folder / WEIGHTS)
    with pytest.raises(muniment.ModelError):
        load_classifier(folder)

    save_file({**weights, "output.bias": torch.full((2,), torch.nan)}, folder / WEIGHTS)
    with pytest.raises(muniment.ModelError, match="not numbers"):
        load_classifier(folder)
