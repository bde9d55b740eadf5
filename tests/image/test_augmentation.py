"""Choice of synthetic pictures, and the measure of their benefit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import muniment
from muniment.testing import generation
from muniment_image import png
from muniment_image.augmentation import ScoreCondition, parse_conditions
from muniment_image.benefit import (
    check_disjoint,
    check_training_data,
    measure_benefit,
)
from muniment_image.datasets import Dataset, read_dataset
from muniment_image.intervals import mean_interval, share_interval
from muniment_image.quality import PictureSet, measure_quality, picture_set

# ---- conditions ------------------------------------------------------------------------------


def test_conditions_are_read_with_either_spelling_of_a_score():
    scores = ("label-confidence", "novelty")

    assert parse_conditions("label_confidence>0.8, novelty>=5e-2", scores) == (
        ScoreCondition("label-confidence", ">", 0.8),
        ScoreCondition("novelty", ">=", 0.05),
    )


@pytest.mark.parametrize(
    "text", ["", "novelty", "novelty>", "novelty>1e", "novelty=1", "novelty>1,", ">1"]
)
def test_a_malformed_condition_is_refused(text: str):
    with pytest.raises(muniment.UsageError, match="not a condition"):
        parse_conditions(text, ("novelty",))


def test_a_condition_on_an_unknown_score_names_the_known_ones():
    with pytest.raises(muniment.UsageError, match="label-confidence, novelty"):
        parse_conditions("confidence>1", ("novelty", "label-confidence"))


# ---- the benefit of synthetic pictures --------------------------------------------------------


def _shades(folder: Path, count: int, *, shift: int = 0) -> Dataset:
    """Write dark and light pictures, and read them as a data set."""
    rng = np.random.default_rng(count + shift)
    for label, level in (("dark", 60), ("light", 180)):
        (folder / label).mkdir(parents=True)
        for index in range(count):
            pixels = level + shift + rng.integers(-40, 40, (8, 8))
            (folder / label / f"{index}.png").write_bytes(png.encode(pixels.astype(np.uint8)))
    return read_dataset(folder, size=8, condition="label")


def test_benefit_compares_three_kinds_of_data_over_seeds(tmp_path: Path):
    real = _shades(tmp_path / "real", 12)
    synthetic = _shades(tmp_path / "synthetic", 8, shift=5)
    test = _shades(tmp_path / "test", 10)
    trainings = []

    found = measure_benefit(real, synthetic, test, steps=15, seeds=2, advance=trainings.append)

    assert [(benefit.data, benefit.pictures) for benefit in found] == [
        ("real", 24),
        ("real and synthetic", 40),
        ("synthetic", 16),
    ]
    assert len(trainings) == 6
    assert found[0].gain is None
    for benefit in found[1:]:
        assert benefit.gain is not None
        assert benefit.gain.value == pytest.approx(benefit.accuracy.value - found[0].accuracy.value)
        assert benefit.gain.low <= benefit.gain.value <= benefit.gain.high
    assert found[2].to_json()["accuracy"]["n"] == 2


def test_benefit_of_classes_that_the_real_data_lack_is_refused(tmp_path: Path):
    real, test = _shades(tmp_path / "real", 4), _shades(tmp_path / "test", 4)
    (tmp_path / "test" / "light").rename(tmp_path / "test" / "bright")
    other = read_dataset(tmp_path / "test", size=8, condition="label")

    with pytest.raises(muniment.UsageError, match="bright"):
        measure_benefit(real, test, other, steps=1, seeds=2)


@pytest.mark.parametrize("seeds", [0, 1, 12])
def test_benefit_of_a_number_of_seeds_without_an_interval_is_refused(tmp_path: Path, seeds: int):
    data = _shades(tmp_path / "real", 4)

    with pytest.raises(muniment.UsageError, match="2 to 11"):
        measure_benefit(data, data, data, steps=1, seeds=seeds)


def test_mean_interval_is_that_of_student():
    interval = mean_interval([1.0, 2.0, 3.0])

    assert interval.value == 2
    assert interval.high - 2 == pytest.approx(4.303 / 3**0.5, rel=1e-3)


def _model(folder: Path, data: Dataset, **changes: object) -> Path:
    """Write the two files of a model that the check of its training data reads."""
    from muniment_image.conditions import LabelCondition
    from muniment_image.model_config import ModelConfig

    folder.mkdir()
    config = ModelConfig("flow", 8, 1, LabelCondition(("dark", "light")))
    (folder / "model.json").write_text(json.dumps(config.to_json()), encoding="utf-8")
    claim = {"counts": {"examples": len(data)}, "data_digest": data.digest, **changes}
    (folder / "training.json").write_text(json.dumps(claim), encoding="utf-8")
    return folder


def test_a_model_of_the_real_data_or_of_their_beginning_is_accepted(tmp_path: Path):
    data = _shades(tmp_path / "real", 6)

    check_training_data(_model(tmp_path / "all", data), str(tmp_path / "real"))
    part = _model(tmp_path / "part", data.subset(range(5)))
    check_training_data(part, str(tmp_path / "real"))


def test_a_model_of_more_than_the_real_data_is_refused(tmp_path: Path):
    more = _shades(tmp_path / "more", 6)
    _shades(tmp_path / "real", 3)

    with pytest.raises(muniment.UsageError, match="--real"):
        check_training_data(_model(tmp_path / "model", more), str(tmp_path / "real"))


@pytest.mark.parametrize("claim", ["", "[]", "{}", '{"counts": {"examples": null}}'])
def test_a_model_of_unknown_training_data_is_refused(tmp_path: Path, claim: str):
    data = _shades(tmp_path / "real", 3)
    model = _model(tmp_path / "model", data)
    (model / "training.json").write_text(claim, encoding="utf-8")

    with pytest.raises(muniment.UsageError, match=r"training\.json"):
        check_training_data(model, str(tmp_path / "real"))


def test_test_pictures_that_are_also_real_ones_are_refused(tmp_path: Path):
    real, test = _shades(tmp_path / "real", 4), _shades(tmp_path / "test", 5)
    copy = (tmp_path / "real" / "dark" / "2.png").read_bytes()
    (tmp_path / "test" / "dark" / "copy.png").write_bytes(copy)

    check_disjoint(real, test)
    with pytest.raises(muniment.UsageError, match=r"dark/copy\.png"):
        check_disjoint(real, read_dataset(tmp_path / "test", size=8, condition="label"))


# ---- the quality of a set --------------------------------------------------------------------


def test_quality_of_real_pictures_is_near_the_floor_and_that_of_others_is_not(tmp_path: Path):
    from muniment_image.classifier import ClassifierConfig, examples, train_classifier

    real = _shades(tmp_path / "real", 40)
    config = ClassifierConfig(real.classes, 8, 1, width=8)
    classifier = train_classifier(config, *examples(real, config), steps=20, seed=0)
    same = _shades(tmp_path / "same", 20, shift=1)
    labels = tuple(str(item.label) for item in same.items)

    good = measure_quality(PictureSet(same.pixels, labels), real, classifier, same)
    white = PictureSet(np.full_like(same.pixels, 255), ("dark",) * len(same))
    bad = measure_quality(white, real, classifier)

    assert good.fd < 20 * good.fd_floor
    assert bad.fd > 10 * good.fd
    assert good.compared == 40
    assert good.label_consistency is not None
    assert good.label_consistency.value > 0.9
    assert good.copied is not None
    assert good.copied.value == 1  # they are the training pictures
    assert good.blank == 0
    assert bad.blank == 40
    assert bad.recall == 0
    assert bad.label_consistency is not None
    assert bad.label_consistency.value == 0
    assert good.to_json()["label_consistency"]["n"] == 40


def test_generations_without_a_picture_are_counted():
    picture = muniment.Output("image/png", png.encode(np.zeros((8, 8), np.uint8)))
    damaged = muniment.Output("image/png", b"")
    generations = [
        generation(picture, prompt="dark"),
        generation(damaged, prompt="dark"),
        generation("a text", prompt="dark"),
    ]

    pictures = picture_set(generations, 8)

    assert pictures.pixels.shape == (1, 8, 8, 3)
    assert pictures.prompts == ("dark",)
    assert (pictures.unreadable, pictures.missing) == (1, 1)


def test_quality_of_too_few_pictures_is_refused(tmp_path: Path):
    from muniment_image.classifier import ClassifierConfig, examples, train_classifier

    real = _shades(tmp_path / "real", 4)
    config = ClassifierConfig(real.classes, 8, 1, width=8)
    classifier = train_classifier(config, *examples(real, config), steps=1, seed=0)

    with pytest.raises(muniment.UsageError, match="at least 10"):
        measure_quality(PictureSet(real.pixels, ("dark",) * 8), real, classifier)


def test_share_has_an_interval_that_is_never_empty():
    assert share_interval(0.0, 20).high == pytest.approx(0.161, abs=0.001)
    assert share_interval(0.5, 100).low == pytest.approx(0.404, abs=0.001)
    assert share_interval(1.0, 20) == (1.0, pytest.approx(0.839, abs=0.001), 1.0, 20)
