"""Measure a model with labels at several settings of its sampler, to choose the published one."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray

from muniment_image.classifier import load_classifier
from muniment_image.conditions import LabelCondition
from muniment_image.datasets import read_dataset
from muniment_image.families.base import Family, Noise
from muniment_image.model_folder import load_model
from muniment_image.quality import PictureSet, measure_quality
from muniment_image.tensors import pixels_of

ROWS = 50
"""Rows of a batch. Measures do not depend on it, but single bits of pictures do."""


@click.command
@click.argument("model", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--data", required=True, help="Pictures that no model was trained on.")
@click.option("--training", help="Pictures that the model was trained on.")
@click.option("--classifier", type=click.Path(path_type=Path), required=True)
@click.option("-n", "--number", type=int, default=5000, show_default=True)
@click.option("--steps", type=int, multiple=True, default=(10,), show_default=True)
@click.option("--guidance", type=float, multiple=True, default=(1.0,), show_default=True)
def main(
    model: Path,
    data: str,
    training: str | None,
    classifier: Path,
    number: int,
    steps: tuple[int, ...],
    guidance: tuple[float, ...],
) -> None:
    """Print one JSON line for each number of steps and each guidance."""
    family, judge = load_model(model), load_classifier(classifier)
    size = family.config.image_size
    real = read_dataset(data, size=size, condition="label")
    trained = read_dataset(training, size=size, condition="label") if training else None
    for count in steps:
        for strength in guidance:
            start = time.perf_counter()
            pixels, prompts = draw(family, number, count, strength)
            seconds = time.perf_counter() - start
            quality = measure_quality(PictureSet(pixels, prompts), real, judge, trained)
            settings = {"steps": count, "guidance": strength, "seconds": round(seconds)}
            click.echo(json.dumps(settings | quality.to_json()))


def draw(
    family: Family, number: int, steps: int, guidance: float
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Return pictures [N, H, W, 3] of all labels by turns, with seeds from 0, and their labels."""
    condition = family.config.condition
    if not isinstance(condition, LabelCondition):
        raise click.UsageError("the model has no labels")
    prompts = tuple(condition.labels[seed % len(condition.labels)] for seed in range(number))
    pictures: list[NDArray[np.uint8]] = []
    for first in range(0, number, ROWS):
        ids = torch.tensor([condition.encode(prompt) for prompt in prompts[first : first + ROWS]])
        noise = Noise(range(first, first + len(ids)))
        pictures += pixels_of(family.sample(ids, noise, steps=steps, guidance=guidance))
    pixels = np.stack(pictures).reshape(number, *pictures[0].shape[:2], -1)
    return np.repeat(pixels, 3 // pixels.shape[-1], axis=-1), prompts


if __name__ == "__main__":
    main()
