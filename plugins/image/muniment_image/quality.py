"""The quality of a set of generated pictures, compared with real ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import muniment

from .classifier import Classifier
from .datasets import Dataset
from .intervals import Interval, share_interval, to_json
from .measures import copied_share, frechet_distance, precision_and_recall
from .pictures import PictureError, read_picture
from .pixels import square
from .tensors import image_tensor

LEAST = 10
"""The minimum of generated pictures. Twice as many real ones are needed."""
_MOST_NEIGHBOURS = 10_000  # pictures of each kind for precision and recall


@dataclass(frozen=True)
class PictureSet:
    """Generated pictures.

    Attributes:
        pixels: uint8 [N, S, S, 3].
        prompts: The prompt of each picture.
        unreadable: The number of outputs that are no readable pictures.
        missing: The number of generations without a picture, such as failed and blocked ones.
    """

    pixels: NDArray[np.uint8]
    prompts: tuple[str, ...]
    unreadable: int = 0
    missing: int = 0


def picture_set(generations: Iterable[muniment.Generation], size: int) -> PictureSet:
    """Return the pictures of generations, cut to their middle square and resized to `size`.

    They are ordered by seed and prompt, so that a repeated run has the same measures.
    """
    pictures: list[tuple[int, str, NDArray[np.uint8]]] = []
    unreadable = missing = 0
    for generation in generations:
        outputs = [output for output in generation.outputs if _is_picture(output)]
        missing += not outputs
        for output in outputs:
            try:
                pixels = square(read_picture(output.data), size)
            except PictureError:
                unreadable += 1
            else:
                pictures.append((generation.seed, generation.prompt, pixels))
    pictures.sort(key=lambda item: item[:2])
    stacked = np.zeros((len(pictures), size, size, 3), np.uint8)
    for index, (_, _, pixels) in enumerate(pictures):
        stacked[index] = pixels
    prompts = tuple(prompt for _, prompt, _ in pictures)
    return PictureSet(stacked, prompts, unreadable, missing)


def _is_picture(output: muniment.Output) -> bool:
    return output.media_type.startswith("image/")


@dataclass(frozen=True)
class Quality:
    """Measures of a set of generated pictures.

    Attributes:
        pictures: The number of generated pictures.
        compared: The number of pictures of each kind that `fd` and `fd_floor` compare.
        fd: The Fréchet distance of generated and real pictures.
        fd_floor: The same distance of real pictures and other real ones, which `fd` approaches.
        precision: The share of generated pictures that lie among the real ones.
        recall: The share of real pictures that lie among the generated ones.
        blank: The number of generated pictures of one colour.
        unreadable: The number of outputs that are no readable pictures.
        missing: The number of generations without a picture. No other measure counts them.
        label_consistency: The share of pictures that the classifier recognises as their prompt.
            None if no prompt is a label.
        copied: The share of pictures nearer to training pictures than to as many unseen ones. About
            one half without copies. None without training data.
    """

    pictures: int
    compared: int
    fd: float
    fd_floor: float
    precision: float
    recall: float
    blank: int
    unreadable: int
    missing: int
    label_consistency: Interval | None
    copied: Interval | None

    def to_json(self) -> dict[str, Any]:
        """Return the fields, with intervals as objects."""
        return to_json(self)


def check_counts(generated: int, real: int) -> None:
    """Raise UsageError for too few generated or real pictures."""
    if generated < LEAST or real < 2 * LEAST:
        raise muniment.UsageError(
            f"there are {generated:,} generated and {real:,} real pictures; "
            f"use at least {LEAST} generated and {2 * LEAST} real ones"
        )


def measure_quality(
    generated: PictureSet, real: Dataset, classifier: Classifier, training: Dataset | None = None
) -> Quality:
    """Return the quality of generated pictures, over the features of a classifier.

    `real` has pictures that no model was trained on. Its halves give the floor, and one of them is
    compared with the generated pictures. The choice of pictures is fixed. `training` has the
    pictures that the generator was trained on. Raises UsageError for too few pictures.
    """
    check_counts(len(generated.pixels), len(real))
    compared = min(len(generated.pixels), len(real) // 2)
    channels = classifier.config.channels
    images = image_tensor(generated.pixels, channels)
    real_images = image_tensor(real.pixels, channels)[_order(len(real))]
    features, real_features = classifier.features(images), classifier.features(real_images)
    half, other_half = real_features[:compared], real_features[compared : 2 * compared]
    few = slice(min(compared, _MOST_NEIGHBOURS))
    chosen = features[_order(len(features))[:compared]]
    precision, recall = precision_and_recall(half[few], chosen[few])
    pixels = generated.pixels
    return Quality(
        pictures=len(pixels),
        compared=compared,
        fd=frechet_distance(chosen, half),
        fd_floor=frechet_distance(other_half, half),
        precision=precision,
        recall=recall,
        blank=int((pixels == pixels[:, :1, :1]).all(axis=(1, 2, 3)).sum()),
        unreadable=generated.unreadable,
        missing=generated.missing,
        label_consistency=_label_consistency(classifier, images, generated.prompts),
        copied=None if training is None else _copied(images, real_images, training, channels),
    )


def _order(count: int) -> Tensor:
    """Return a fixed permutation of positions, so that sorted data are mixed."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))


def _label_consistency(
    classifier: Classifier, images: Tensor, prompts: Sequence[str]
) -> Interval | None:
    wanted = {
        row: position
        for row, prompt in enumerate(prompts)
        if (position := classifier.config.position(prompt)) is not None
    }
    if not wanted:
        return None
    rows, classes = list(wanted), torch.tensor(list(wanted.values()))
    return share_interval(classifier.accuracy(images[rows], classes), len(rows))


def _copied(images: Tensor, unseen: Tensor, training: Dataset, channels: int) -> Interval:
    """Return the share of copies, measured by the differences of pixels."""
    count = min(len(training), len(unseen))
    known = image_tensor(training.pixels, channels)[_order(len(training))[:count]]
    value = copied_share(images.flatten(1), known.flatten(1), unseen[:count].flatten(1))
    return share_interval(value, len(images))
