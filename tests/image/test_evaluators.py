"""Evaluators of pictures, on pictures whose scores are known."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import muniment
from muniment.testing import EvaluatorContract, generation
from muniment_image import png
from muniment_image.classifier import ClassifierConfig, save_classifier, train_classifier
from muniment_image.evaluators import ImageSanity, ImageSimilarity, LabelConsistency, Novelty
from muniment_image.tensors import image_tensor

WHITE = np.full((16, 16), 255, np.uint8)
RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


def _output(pixels: np.ndarray) -> muniment.Output:
    return muniment.Output("image/png", png.encode(pixels))


def _model(path: Path) -> muniment.Model:
    return muniment.Model(path.name, "tree1-sha256:" + "0" * 64, str(path))


class TestImageSanity(EvaluatorContract):
    evaluator = ImageSanity
    undirected = ("contrast",)


class TestImageSimilarity(EvaluatorContract):
    evaluator = ImageSimilarity


class TestLabelConsistency(EvaluatorContract):
    evaluator = LabelConsistency
    parameters: ClassVar = {"classifier": "shades"}

    @pytest.fixture
    def models(self) -> dict[str, muniment.Model]:
        return {"classifier": _model(Path("shades"))}


class TestNovelty(EvaluatorContract):
    evaluator = Novelty
    parameters: ClassVar = {"data": "pictures"}

    @pytest.fixture
    def models(self) -> dict[str, muniment.Model]:
        return {"data": _model(Path("pictures"))}


# ---- image-sanity ----------------------------------------------------------------------------


def test_sanity_finds_a_blank_picture():
    half = np.where(np.arange(256).reshape(16, 16) < 128, 0, 255).astype(np.uint8)

    assert ImageSanity().evaluate(generation(_output(WHITE))) == {"blank": 1, "contrast": 0}
    assert ImageSanity().evaluate(generation(_output(half))) == {"blank": 0, "contrast": 0.5}
    assert ImageSanity().evaluate(generation(_output(WHITE), _output(half))) == {
        "blank": 0.5,
        "contrast": 0.25,
    }


def test_sanity_of_a_text_has_no_score():
    assert ImageSanity().evaluate(generation("a text")) == {}


# ---- image-similarity ------------------------------------------------------------------------


def _similarity(pixels: np.ndarray, other: np.ndarray, name: str = "reference") -> dict[str, float]:
    record = generation(
        _output(pixels), inputs=(muniment.Input(name, "image/png", png.encode(other)),)
    )
    return dict(ImageSimilarity().evaluate(record))


def test_similarity_of_equal_pictures_has_no_error():
    assert _similarity(RAMP, RAMP) == pytest.approx({"mse": 0, "ssim": 1})


def test_similarity_of_pictures_one_step_apart_has_the_known_error():
    scores = _similarity(RAMP // 2, RAMP // 2 + 1)

    assert scores["mse"] == pytest.approx((1 / 255) ** 2)
    assert scores["psnr"] == pytest.approx(20 * math.log10(255))
    assert 0.9 < scores["ssim"] < 1


def test_similarity_without_a_fitting_input_has_no_score():
    assert _similarity(RAMP, WHITE, "init") == {}
    assert _similarity(RAMP, WHITE[:8]) == {}
    assert ImageSimilarity().evaluate(generation(_output(RAMP))) == {}


def test_similarity_of_pictures_smaller_than_the_window_has_no_ssim():
    assert set(_similarity(RAMP[:8, :8], WHITE[:8, :8])) == {"mse", "psnr"}


# ---- label-consistency -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier") / "shades"
    levels = np.linspace(0, 255, 64).astype(np.uint8)
    pixels = np.broadcast_to(levels[:, None, None, None], (64, 8, 8, 1))
    images = image_tensor(pixels, 1)
    classes = (images.mean(dim=(1, 2, 3)) > 0).long()
    config = ClassifierConfig(("Dark", "Light"), size=8, channels=1, width=8)
    save_classifier(train_classifier(config, images, classes, steps=60, seed=1), folder)
    return folder


def test_label_consistency_compares_the_prompt_with_the_picture(classifier: Path):
    evaluator = LabelConsistency(models={"classifier": _model(classifier)})

    light = evaluator.evaluate(generation(_output(WHITE), prompt=" ＬIGHT "))
    wrong = evaluator.evaluate(generation(_output(WHITE), prompt="Dark"))

    assert light["label-match"] == 1
    assert light["label-confidence"] > 0.9
    assert wrong["label-match"] == 0
    assert light["label-confidence"] + wrong["label-confidence"] == pytest.approx(1)


def test_label_consistency_of_another_prompt_has_no_score(classifier: Path):
    evaluator = LabelConsistency(models={"classifier": _model(classifier)})

    assert evaluator.evaluate(generation(_output(WHITE), prompt="a cat")) == {}


def test_label_consistency_without_a_classifier_is_refused_before_a_picture():
    with pytest.raises(muniment.ParameterError, match="classifier=FOLDER"):
        LabelConsistency()


# ---- novelty ---------------------------------------------------------------------------------


def test_novelty_is_zero_for_a_copy_and_known_for_another_picture(tmp_path: Path):
    pictures = tmp_path / "data"
    pictures.mkdir()
    black = np.zeros((32, 32), np.uint8)
    (pictures / "black.png").write_bytes(png.encode(black))
    (pictures / "grey.png").write_bytes(png.encode(black + 102))
    evaluator = Novelty(models={"data": _model(pictures)})

    copy = evaluator.evaluate(generation(_output(black)))
    other = evaluator.evaluate(generation(_output(black + 153)))

    assert copy["novelty"] == pytest.approx(0, abs=1e-3)
    assert other["novelty"] == pytest.approx(51 / 255, rel=1e-3)


def test_novelty_without_data_is_refused_before_a_picture():
    with pytest.raises(muniment.ParameterError, match="data=FOLDER"):
        Novelty()


def test_the_plugin_and_its_evaluators_are_imported_without_numpy():
    code = (
        "import sys, muniment_image.plugin, muniment_image.evaluators\n"
        "print(sorted({'numpy', 'PIL', 'torch'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
