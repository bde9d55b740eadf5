"""The batches of a training, each of which is a function of the data, the seed and the step.

Nothing depends on the batches before, so a resumed training reads the same ones. All have the same
size: the data is read again and again, in a new order each time, across the ends of epochs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .conditions import (
    Condition,
    ConditionError,
    LabelCondition,
    NoCondition,
    condition_of_captions,
    condition_of_words,
)
from .datasets import WORDS, Dataset, DatasetError
from .tensors import image_tensor

AUGMENTATIONS = ("flip", "shift")
"""Mirror images, and shifts by up to an eighth of the size."""


def derived_seed(seed: int, *names: object) -> int:
    """Return a seed of 64 bits for one purpose of a training, such as the noise of a step."""
    text = repr((seed, *names)).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little")


class Batches:
    """The batches of a data set: pictures in [-1, 1] and condition ids.

    Raises DatasetError for a picture whose caption has no content words or too many.
    """

    def __init__(
        self,
        dataset: Dataset,
        condition: Condition,
        *,
        batch: int,
        seed: int,
        augment: Sequence[str] = (),
    ) -> None:
        self.batch, self._seed = batch, seed
        self._augment = frozenset(augment)
        self._pixels = dataset.pixels
        self._ids = _condition_ids(dataset, condition)
        self._order = lru_cache(maxsize=2)(self._order_of)

    @property
    def count(self) -> int:
        """The number of pictures in an epoch."""
        return len(self._pixels)

    def indices(self, step: int) -> NDArray[np.int64]:
        """Return the indices of the pictures of a step."""
        positions = np.arange(step * self.batch, (step + 1) * self.batch)
        epochs, places = np.divmod(positions, self.count)
        return np.array(
            [self._order(int(epoch))[place] for epoch, place in zip(epochs, places, strict=True)]
        )

    def read(self, step: int) -> tuple[Tensor, Tensor | None]:
        """Return the pictures [B, C, H, W] and the condition ids [B, K] of a step, or None."""
        rng = _generator(self._seed, "pictures", step)
        indices = self.indices(step)
        pixels = self._augmented(self._pixels[indices], rng)
        return image_tensor(pixels, pixels.shape[3]), self._conditions(indices, rng)

    def _order_of(self, epoch: int) -> NDArray[np.int64]:
        return _generator(self._seed, "order", epoch).permutation(self.count)

    def _conditions(self, indices: NDArray[np.int64], rng: np.random.Generator) -> Tensor | None:
        if self._ids is None:
            return None
        choices = rng.random(len(indices))
        rows = [
            self._ids[index][int(choice * len(self._ids[index]))]
            for index, choice in zip(indices, choices, strict=True)
        ]
        return torch.tensor(rows, dtype=torch.int64)

    def _augmented(self, pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return pictures [B, H, W, C] with random changes."""
        rows, size = pixels.shape[:2]
        if "flip" in self._augment:
            flips = rng.random((rows, 1, 1, 1)) < 0.5
            pixels = np.where(flips, pixels[:, :, ::-1], pixels)
        if "shift" in self._augment:
            most = max(1, size // 8)
            shifts = rng.integers(-most, most + 1, (rows, 2))
            # Pixels at the border are repeated.
            places = np.clip(np.arange(size) + shifts[:, :, None], 0, size - 1)  # [B, 2, size]
            pixels = pixels[
                np.arange(rows)[:, None, None], places[:, 0, :, None], places[:, 1, None, :]
            ]
        return pixels


def condition_of(dataset: Dataset, kind: str) -> Condition:
    """Return the condition that a model of a data set learns. Raise DatasetError.

    The vocabulary of captions is that of the file `words.txt`, if the data has one.
    """
    if kind == "label":
        return LabelCondition(dataset.classes)
    if kind == "caption":
        captions = {caption: item.file for item in dataset.items for caption in item.captions}
        words = dataset.folder / WORDS
        try:
            if words.is_file():
                return condition_of_words(words.read_text(encoding="utf-8-sig"), list(captions))
            return condition_of_captions(list(captions))
        except ConditionError as error:
            file = captions.get(error.text, "")
            raise DatasetError(
                f"the captions cannot be used, such as that of {file}: {error}"
            ) from None
        except (ValueError, OSError) as error:
            source = f"the word list {words}" if words.is_file() else "the captions"
            raise DatasetError(f"{source} cannot be used: {error}") from None
    return NoCondition()


def _condition_ids(dataset: Dataset, condition: Condition) -> list[list[tuple[int, ...]]] | None:
    """Return the condition ids of each picture, one row for each of its captions."""
    if condition.length == 0:
        return None
    rows = []
    for item in dataset.items:
        is_label = isinstance(condition, LabelCondition)
        texts = [item.label or ""] if is_label else list(item.captions)
        try:
            rows.append([condition.encode(text) for text in texts])
        except ConditionError as error:
            raise DatasetError(
                f"the picture {item.file} cannot be used: {error}", [(item.file, str(error))]
            ) from None
        if not rows[-1]:
            raise DatasetError(f"the picture {item.file} has no caption; add one")
    return rows


def _generator(seed: int, *names: object) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=derived_seed(seed, *names)))
