"""The files of a training: grids of samples, the curve, losses, logs and weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from muniment_image import checkpoints, curve, progress_files
from muniment_image.model_folder import load_model
from muniment_image.progress_files import is_grid_due, losses_table
from muniment_image.training import new_family, train
from muniment_image.training_options import Options
from muniment_image.training_records import finish
from support.trainings import config_of, make_data, run, weights


def test_a_grid_of_samples_is_written_at_the_end_of_each_epoch(tmp_path: Path) -> None:
    run(tmp_path, steps=5, batch=6)  # two steps an epoch
    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert names == ["epoch-0001.png", "epoch-0002.png", "epoch-0003.png"]
    with Image.open(tmp_path / "samples" / names[0]) as grid:
        assert 3 * 96 < grid.width < 4 * 96
        assert 96 < grid.height < 2 * 96


@pytest.mark.parametrize(("steps", "batch"), [(5, 6), (130, 2), (10_000, 5), (3, 40), (1, 2)])
def test_grids_are_spread_over_the_training_and_at_most_fifty(steps: int, batch: int) -> None:
    pictures = 2 if steps > 5 else 12
    options = Options(steps=steps, seed=1, batch=batch)
    due = [step for step in range(1, steps + 1) if is_grid_due(step, options, pictures)]
    assert due[-1] == steps
    assert min(steps, 3) <= len(due) <= 51


@pytest.mark.parametrize(
    ("classes", "columns"), [(1, 8), (2, 8), (3, 6), (8, 8), (10, 10), (16, 16), (17, 8)]
)
def test_a_column_of_samples_has_one_class_if_there_are_few(classes: int, columns: int) -> None:
    data = make_data(classes, classes=classes)
    assert progress_files._columns(config_of(data), 32) == columns
    assert progress_files._columns(config_of(data), 3) == 3


def test_samples_change_nothing_in_the_training(tmp_path: Path) -> None:
    data = make_data()
    config = config_of(data, "dcgan")
    states = []
    for samples in (0, 5):
        out = tmp_path / str(samples)
        out.mkdir()
        options = Options(steps=6, seed=7, batch=5)
        outcome = train(new_family(config, 7), data, options, out, samples=samples)
        states.append(weights(outcome))
    assert states[0] == states[1]
    assert not (tmp_path / "0" / "samples").exists()


def test_the_curve_is_a_picture_with_axes_and_the_losses_a_table(tmp_path: Path) -> None:
    outcome = run(tmp_path, family="dcgan")
    with Image.open(tmp_path / "curve.png") as picture:
        pixels = np.array(picture.convert("RGB"))
    assert pixels.shape == (curve.SIZE[1], curve.SIZE[0], 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 4
    lines = (tmp_path / "losses.csv").read_text().splitlines()
    assert lines[0] == "step,discriminator loss,generator loss"
    assert len(lines) == 7
    last = [values[-1] for values in outcome.losses.values()]
    assert [float(cell) for cell in lines[-1].split(",")[1:]] == pytest.approx(last, rel=1e-4)


@pytest.mark.parametrize(
    "curves",
    [
        {},
        {"loss": []},
        {"loss": [0.0]},
        {"loss": [1.0, 1.0]},
        {"loss": [float("nan"), 1.0]},
        {"loss": [-3.0, 2e9]},
        {"a": [1e-9, 5.0], "b": list(np.linspace(1, 2, 5000))},
        {"loss": [float("inf")]},
    ],
)
def test_a_curve_is_drawn_for_any_losses(curves: dict[str, list[float]]) -> None:
    pixels = curve.draw_curve(curves, title="Training", steps=5000)
    assert pixels.shape == (curve.SIZE[1], curve.SIZE[0], 3)


def test_a_long_table_of_losses_has_means(tmp_path: Path) -> None:
    lines = losses_table({"loss": [float(step % 2) for step in range(4000)]}).splitlines()
    assert len(lines) == 1001
    assert lines[1] == "4,0.5"
    assert lines[-1] == "4000,0.5"


def test_losses_and_samples_are_logged(tmp_path: Path) -> None:
    class Log:
        def __init__(self) -> None:
            self.steps: list[int] = []
            self.grids: list[int] = []

        def losses(self, step: int, losses: dict[str, float]) -> None:
            assert set(losses) == {"loss"}
            self.steps.append(step)

        def samples(self, step: int, pixels: np.ndarray) -> None:
            self.grids.append(step)

    log = Log()
    run(tmp_path, log=log, steps=4, batch=6)
    assert (log.steps, log.grids) == ([1, 2, 3, 4], [2, 4])


def test_a_checkpoint_has_no_pickle_and_its_options_are_json(tmp_path: Path) -> None:
    run(tmp_path)
    content = (tmp_path / checkpoints.FILE).read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    description = json.loads(header["__metadata__"]["muniment"])
    assert description["step"] == 6
    assert description["options"]["seed"] == 7


def test_weights_beyond_float16_are_written_as_float32(tmp_path: Path) -> None:
    outcome = run(tmp_path, steps=1)
    assert outcome.model is not None
    with torch.no_grad():
        outcome.model.network.enter.weight[0, 0, 0, 0] = 1e5
    finish(outcome, outcome.model, make_data(), Options(steps=1, seed=7, batch=5), tmp_path)
    assert load_model(tmp_path).network.enter.weight[0, 0, 0, 0] == 1e5
