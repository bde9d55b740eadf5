"""`muniment image classifier`, `measure` and `augment` on small pictures and a small real model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import muniment
from muniment.provenance import from_json
from muniment.testing import CommandContract, run_command
from muniment.testing.commands import CommandResult
from muniment_image import png
from muniment_image.commands.augment import augment
from muniment_image.commands.classifier import classifier
from muniment_image.commands.measure import measure
from muniment_image.conditions import LabelCondition
from muniment_image.datasets import read_dataset
from muniment_image.stamp import read_provenance
from support.images import make_image_model

LABELS = ("Dark/night", "Light")


@pytest.fixture(autouse=True)
def settings(home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text('policy = "none"\nactor = "tester"\n', encoding="utf-8")


def _write_shades(folder: Path, count: int) -> Path:
    """Write dark and light pictures of 8 x 8 pixels with their labels."""
    rng = np.random.default_rng(count)
    folder.mkdir()
    lines = []
    for label, level in zip(LABELS, (60, 180), strict=True):
        for index in range(count):
            pixels = (level + rng.integers(-40, 40, (8, 8))).astype(np.uint8)
            name = f"{level}-{index}.png"
            (folder / name).write_bytes(png.encode(pixels))
            lines.append(json.dumps({"file_name": name, "label": label}))
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give real pictures, test pictures, a classifier and a model with `training.json`."""
    root = tmp_path_factory.mktemp("measures")
    real = read_dataset(_write_shades(root / "real", 12), size=8, condition="label")
    _write_shades(root / "test", 10)
    _write_shades(root / "other", 5)
    model = make_image_model(root / "model", condition=LabelCondition(LABELS), channels=1)
    training = muniment.Training(
        model=model, counts={"examples": len(real)}, data_digest=real.digest
    )
    muniment.write_training_json(training)
    return root


def run(command: object, *arguments: str | int | Path) -> CommandResult:
    return run_command(command, *map(str, arguments))  # type: ignore[arg-type]


def _classifier(workspace: Path) -> Path:
    folder = workspace / "shades"
    if not folder.exists():
        result = run(
            classifier,
            *("--data", workspace / "real", "--test", workspace / "test"),
            *("--size", 8, "--steps", 40, "--out", folder, "--json"),
        )
        assert result.code == 0, result.stderr
        (record,) = result.json
        assert record["pictures"] == 24
        assert record["accuracy"] > 0.9
    return folder


class TestClassifier(CommandContract):
    command = classifier
    reads = False
    arguments: ClassVar = ()


class TestMeasure(CommandContract):
    command = measure
    reads = False
    arguments: ClassVar = ()


class TestAugment(CommandContract):
    command = augment
    reads = False
    arguments: ClassVar = ()


def test_a_classifier_is_recorded_and_never_replaced(workspace: Path, tmp_path: Path):
    out = tmp_path / "new"
    arguments = ("--data", workspace / "real", "--size", 8, "--steps", 2, "--out", out)

    assert run(classifier, *arguments).code == 0
    assert json.loads((out / "training.json").read_text())["counts"]["steps"] == 2
    refused = run(classifier, *arguments)

    assert refused.code == 2
    assert "exists" in refused.stderr


def test_a_classifier_is_not_tested_on_classes_that_it_does_not_know(
    workspace: Path, tmp_path: Path
):
    _write_shades(tmp_path / "test", 3)
    lines = (tmp_path / "test" / "metadata.jsonl").read_text().replace("Light", "Dusk")
    (tmp_path / "test" / "metadata.jsonl").write_text(lines)

    result = run(
        classifier,
        *("--data", workspace / "real", "--test", tmp_path / "test"),
        *("--size", 8, "--steps", 2, "--out", tmp_path / "new"),
    )

    assert result.code == 2
    assert "Dusk" in result.stderr


def test_a_model_and_its_run_have_the_same_measures(workspace: Path):
    common = ("--data", workspace / "test", "--classifier", _classifier(workspace), "--json")
    drawn = run(
        measure, "-m", workspace / "model", "-n", 12, "--training", workspace / "real", *common
    )
    assert drawn.code == 0, drawn.stderr
    with muniment.open() as session:
        generations = list(session.generations())
    assert [generation.prompt for generation in generations] == [*LABELS[::-1]] * 6
    assert sorted(generation.seed for generation in generations) == list(range(12))

    again = run(measure, "--run", generations[0].run_id, "--training", workspace / "real", *common)

    (record,) = drawn.json
    assert again.json == [record]
    assert record["pictures"] == 12
    assert record["compared"] == 10
    assert record["features"] == "shades"
    assert record["fd"] > record["fd_floor"] >= 0
    assert 0 <= record["label_consistency"]["low"] <= record["label_consistency"]["high"] <= 1
    assert 0 <= record["copied"]["value"] <= 1


def test_the_table_names_the_distance_after_its_features(workspace: Path):
    result = run(
        measure,
        *("-m", workspace / "model", "-n", 12, "--data", workspace / "test"),
        *("--classifier", _classifier(workspace)),
    )

    assert result.code == 0
    assert "FD-shades" in result.stdout
    assert "FID" not in result.stdout


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ((), "--run"),
        (("--run", "X", "-m", "Y"), "--run"),
        (("-m", "Y", "--prompt", "a", "--no-prompt"), "--no-prompt"),
    ],
)
def test_options_that_exclude_each_other_are_refused(
    workspace: Path, options: tuple[str, ...], named: str
):
    result = run(
        measure, *options, "--data", workspace / "test", "--classifier", _classifier(workspace)
    )

    assert result.code == 2
    assert named in result.stderr


def test_an_unknown_run_is_refused(workspace: Path):
    with muniment.open() as session:
        session.generate("Light", generator="image", model=str(workspace / "model"))
    result = run(
        measure,
        *("--run", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "--data", workspace / "test"),
        *("--classifier", _classifier(workspace)),
    )

    assert result.code == 2
    assert "01ARZ3NDEKTSV4RRFFQ69G5FAV" in result.stderr


def test_a_model_that_is_no_classifier_is_refused(workspace: Path):
    result = run(
        measure,
        *("--run", "X", "--data", workspace / "test", "--classifier", workspace / "model"),
    )

    assert result.code == 1
    assert "classifier" in result.stderr


def test_kept_pictures_become_a_data_set_that_leads_back_to_the_records(
    workspace: Path, tmp_path: Path
):
    out = tmp_path / "more"
    result = run(
        augment,
        *("-m", workspace / "model", "--per-class", 3, "--classifier", _classifier(workspace)),
        *("--data", workspace / "real", "--keep", "novelty>0.01", "--out", out, "--json"),
    )

    assert result.code == 0, result.stderr
    data = read_dataset(out, size=8, condition="label")
    assert len(data) == 6
    assert data.classes == LABELS
    lines = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    with muniment.open() as session:
        for line in lines:
            assert line["synthetic"] is True
            record = session.generation(line["generation"])
            assert record.prompt == line["label"]
            assert str(record.seed) == line["seed"]
            assert line["scores"]["novelty"] > 0.01
            text = read_provenance((out / line["file_name"]).read_bytes())
            assert from_json(text or "") == (record.provenance,)
            assert session.find_file(out / line["file_name"]).id == record.id


def test_rejected_pictures_have_reasons_and_the_attempts_end(workspace: Path, tmp_path: Path):
    out = tmp_path / "none"
    result = run(
        augment,
        *("-m", workspace / "model", "--per-class", 1, "--classifier", _classifier(workspace)),
        *("--keep", "contrast>0.6", "--out", out, "--json"),
    )

    assert result.code == 1
    assert "Light" in result.stderr
    assert (out / "metadata.jsonl").read_text() == ""
    lines = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    assert len(lines) == 10
    assert all(reason.startswith("contrast is") for line in lines for reason in line["reasons"])
    (record,) = result.json
    assert record["rejected"] == {"Dark/night": 5, "Light": 5}


def test_the_benefit_is_measured_for_three_kinds_of_data(workspace: Path, tmp_path: Path):
    result = run(
        augment,
        *("-m", workspace / "model", "--per-class", 2, "--classifier", _classifier(workspace)),
        *("--out", tmp_path / "more", "--evaluate", "--real", workspace / "real"),
        *("--test", workspace / "test", "--steps", 3, "--seeds", 2, "--json"),
    )

    assert result.code == 0, result.stderr
    assert [line["data"] for line in result.json] == ["real", "real and synthetic", "synthetic"]
    assert [line["pictures"] for line in result.json] == [24, 28, 4]
    assert result.json[1]["gain"]["low"] <= result.json[1]["gain"]["high"]
    with muniment.open() as session:
        assert next(session.generations()).run_id in result.stderr
    assert str(tmp_path / "more") in result.stderr


@pytest.mark.parametrize(
    ("real", "test", "named"),
    [
        ("other", "test", "--real"),
        ("real", "real", "180-0.png"),
        ("real", "dusk", "Dusk"),
        ("nowhere", "test", "nowhere"),
    ],
)
def test_data_of_no_use_are_refused_before_a_picture_is_drawn(
    workspace: Path, tmp_path: Path, home: Path, real: str, test: str, named: str
):
    classifier = _classifier(workspace)
    (home / "muniment.db").unlink(missing_ok=True)
    if not (workspace / "dusk").exists():
        metadata = _write_shades(workspace / "dusk", 3) / "metadata.jsonl"
        metadata.write_text(metadata.read_text().replace("Light", "Dusk"))

    result = run(
        augment,
        *("-m", workspace / "model", "--per-class", 2, "--classifier", classifier),
        *("--out", tmp_path / "more", "--evaluate", "--real", workspace / real),
        *("--test", workspace / test),
    )

    assert result.code == 2
    assert named in result.stderr
    assert not (tmp_path / "more").exists()
    assert not (home / "muniment.db").exists()


def test_too_few_real_pictures_are_refused_before_a_picture_is_drawn(workspace: Path, home: Path):
    classifier = _classifier(workspace)
    (home / "muniment.db").unlink(missing_ok=True)

    result = run(
        measure,
        *("-m", workspace / "model", "--data", workspace / "other", "--classifier", classifier),
    )

    assert result.code == 2
    assert "at least 10" in result.stderr
    assert not (home / "muniment.db").exists()


def test_a_refused_augmentation_leaves_no_folder(workspace: Path, tmp_path: Path):
    result = run(
        augment,
        *("-m", tmp_path, "--per-class", 2, "--classifier", _classifier(workspace)),
        *("--out", tmp_path / "more"),
    )

    assert result.code == 1
    assert "model.json" in result.stderr
    assert not (tmp_path / "more").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--keep", "novelty>1"), "--data"),
        (("--keep", "beauty>1"), "beauty"),
        (("--evaluate",), "--real"),
        (("--real", "X"), "--evaluate"),
    ],
)
def test_incomplete_options_of_augment_are_refused(
    workspace: Path, tmp_path: Path, options: tuple[str, ...], named: str
):
    result = run(
        augment,
        *("-m", workspace / "model", "--per-class", 2, "--classifier", _classifier(workspace)),
        *("--out", tmp_path / "more", *options),
    )

    assert result.code == 2
    assert named in result.stderr
    assert not (tmp_path / "more").exists()
