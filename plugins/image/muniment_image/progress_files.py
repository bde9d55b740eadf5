"""The files from which a user follows a training: losses, their curve and grids of samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from .conditions import CaptionCondition, LabelCondition
from .curve import draw_curve
from .datasets import Dataset
from .families.base import Family, Noise
from .files import write_file
from .model_config import ModelConfig
from .sheet import contact_sheet
from .tensors import pixels_of
from .training_options import Options

CURVE = "curve.png"
LOSSES = "losses.csv"
SAMPLES = "samples"
_MOST_GRIDS = 50
_MOST_ROWS = 1000  # of losses.csv
_COLUMNS = 8
_MOST_CHARACTERS = 40  # of a caption under a sample
_MOST_CLASSES = 16  # that have columns of their own


class ProgressFiles:
    """The files of one training in a folder. `samples` is the number of pictures in a grid."""

    def __init__(self, folder: Path, dataset: Dataset, config: ModelConfig, samples: int) -> None:
        self._folder, self._config = folder, config
        self._texts = _sample_texts(dataset, config, samples)

    def write(
        self, epoch: int, losses: Mapping[str, Sequence[float]], model: Family
    ) -> NDArray[np.uint8] | None:
        """Write all files and return the grid, or None without samples. Raises OSError."""
        write_file(self._folder / LOSSES, losses_table(losses).encode())
        steps = max(map(len, losses.values()), default=0)
        curve = draw_curve(losses, title=f"Training of a {self._config.family} model", steps=steps)
        write_file(self._folder / CURVE, _compressed(curve))
        if not self._texts:
            return None
        grid = self._grid(model)
        path = self._folder / SAMPLES / f"epoch-{epoch:04d}.png"
        path.parent.mkdir(exist_ok=True)
        write_file(path, _compressed(grid))
        return grid

    def _grid(self, model: Family) -> NDArray[np.uint8]:
        """Return samples in rows. Sample k has seed k in every grid."""
        rows = self._config.batch
        pictures: list[NDArray[np.uint8]] = []
        for start in range(0, len(self._texts), rows):
            numbers = [min(start + row, len(self._texts) - 1) for row in range(rows)]
            noise = Noise(numbers, model.device)
            images = model.sample(self._ids(numbers, model), noise)
            pictures += pixels_of(images)
        return contact_sheet(
            pictures[: len(self._texts)],
            [[text[:_MOST_CHARACTERS]] for text in self._texts],
            columns=_columns(self._config, len(self._texts)),
        )

    def _ids(self, numbers: Sequence[int], model: Family) -> Tensor | None:
        if self._config.condition.length == 0:
            return None
        ids = [self._config.condition.encode(self._texts[number]) for number in numbers]
        return torch.tensor(ids, dtype=torch.int64, device=model.device)


def is_grid_due(step: int, options: Options, count: int) -> bool:
    """Return whether a grid is written after a step of a training on `count` pictures.

    An epoch ends there, or one of 50 parts of a training of more epochs.
    """

    def epochs(step: int) -> int:
        return step * options.batch // count

    every = max(1, math.ceil(epochs(options.steps) / _MOST_GRIDS))
    return epochs(step) // every > epochs(step - 1) // every or step == options.steps


def losses_table(losses: Mapping[str, Sequence[float]]) -> str:
    """Return the losses as CSV of at most 1,000 rows, which are means of equal numbers of steps."""
    steps = max(map(len, losses.values()), default=0)
    every = max(1, math.ceil(steps / _MOST_ROWS))
    lines = [",".join(["step", *losses])]
    for start in range(0, steps, every):
        means = [float(np.mean(values[start : start + every])) for values in losses.values()]
        lines.append(",".join([str(min(start + every, steps)), *(f"{mean:.6g}" for mean in means)]))
    return "\n".join(lines) + "\n"


def _compressed(pixels: NDArray[np.uint8]) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _columns(config: ModelConfig, samples: int) -> int:
    """Return the number of columns, which have one class each if the classes are few."""
    condition = config.condition
    classes = len(condition.labels) if isinstance(condition, LabelCondition) else 1
    columns = classes * max(1, _COLUMNS // classes) if classes <= _MOST_CLASSES else _COLUMNS
    return min(columns, samples)


def _sample_texts(dataset: Dataset, config: ModelConfig, samples: int) -> list[str]:
    """Return the labels or captions of the samples, or empty texts without a condition."""
    match config.condition:
        case LabelCondition(labels):
            return [labels[number % len(labels)] for number in range(samples)]
        case CaptionCondition():
            captions = [item.captions[0] for item in dataset.items if item.captions]
            return [captions[number * len(captions) // samples] for number in range(samples)]
    return [""] * samples
