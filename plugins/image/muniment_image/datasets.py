"""Data sets for training, as checked pixels in memory with their labels and captions.

A data set is a folder of pictures, in which each class can have a folder, or `metadata.jsonl` can
describe the pictures. The IDX files of MNIST and Fashion-MNIST are read, too. Every picture is
decoded before anything is trained, so that a damaged one is reported at once.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import idx
from .conditions import ConditionKind, LabelCondition
from .dataset_folder import (
    MAX_NAMES,
    METADATA,
    DatasetError,
    Item,
    listed,
    read_file,
    read_items,
)
from .memory import physical_memory
from .pictures import PictureError, read_picture
from .pixels import fingerprint, is_grey, square

FASHION_MNIST = "fashion-mnist"
_ELONGATED = 2  # the longer side divided by the shorter one


@dataclass(frozen=True)
class Dataset:
    """Pictures of one size with their labels and captions.

    Attributes:
        pixels: The pictures, uint8 [N, H, W, C]. C is 1 if all pictures are grey, else 3.
        items: The name, label and captions of each picture.
        classes: The names of the classes, sorted or in the order of an IDX file.
        folder: The folder that the pictures are from.
        files: The names of the files that were read, without those of labels and captions.
        fingerprints: A number for each picture that depends on its original pixels, uint64.
        notes: Facts that a user should know, such as the files that were ignored.
    """

    pixels: NDArray[np.uint8]
    items: tuple[Item, ...]
    classes: tuple[str, ...]
    folder: Path
    files: tuple[str, ...]
    fingerprints: NDArray[np.uint64]
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.items)

    @cached_property
    def digest(self) -> str:
        """The digest of pixels, names, labels and captions in their order."""
        digest = hashlib.sha256(repr(self.pixels.shape).encode())
        digest.update(np.ascontiguousarray(self.pixels).data)
        for item in self.items:
            texts = (item.file, item.label or "", *item.captions)
            digest.update(repr(texts).encode("utf-8", "surrogatepass"))
        return f"sha256:{digest.hexdigest()}"

    def subset(self, indices: Sequence[int] | NDArray[np.int64]) -> Dataset:
        """Return the data set with the pictures of these indices."""
        return Dataset(
            pixels=self.pixels[indices],
            items=tuple(self.items[index] for index in indices),
            classes=self.classes,
            folder=self.folder,
            files=self.files,
            fingerprints=self.fingerprints[indices],
        )


def read_dataset(
    source: str | Path,
    *,
    size: int,
    condition: ConditionKind = "none",
) -> Dataset:
    """Return a data set with pictures of `size` by `size` pixels.

    `source` is a folder, an IDX file of pictures, or the word `fashion-mnist` or
    `fashion-mnist-test`. Pictures are cut to a square around their middle and resized. Raises
    DatasetError for an empty data set, for pictures that cannot be used, and for missing labels or
    captions.
    """
    if images := _idx_images(source):
        return _read_idx(images, size, condition)
    folder = _folder(source)
    items, notes = read_items(folder)
    _check_condition(folder, items, condition)
    pixels, fingerprints, cropped = _decode(folder, items, size)
    if cropped:
        notes.append(f"only the middle is used of long and narrow pictures: {listed(cropped)}")
    classes = sorted({item.label for item in items if item.label is not None})
    if condition == "label":
        label_condition(classes)
    return Dataset(
        pixels=pixels,
        items=tuple(items),
        classes=tuple(classes),
        folder=folder,
        files=tuple(item.file for item in items),
        fingerprints=fingerprints,
        notes=tuple(notes),
    )


def _folder(source: str | Path) -> Path:
    path = Path(os.path.expanduser(source))
    if not path.exists():
        raise DatasetError(
            f"the data {str(source)!r} does not exist; use the path of a folder of pictures, "
            f"or {FASHION_MNIST}"
        )
    if not path.is_dir():
        raise DatasetError(f"the data {source} is not a folder; use a folder of pictures")
    return path.resolve()


def _check_condition(folder: Path, items: Sequence[Item], condition: ConditionKind) -> None:
    """Raise DatasetError unless every picture has what the condition needs."""
    if condition == "label":
        lacking = [item.file for item in items if item.label is None]
        advice = "put every picture into the folder of its class"
    elif condition == "caption":
        lacking = [item.file for item in items if not item.captions]
        advice = f"add a caption to the line of each picture in {METADATA}"
    else:
        return
    if len(lacking) == len(items):
        raise DatasetError(f"the data {folder} has no {condition}s; {advice}")
    if lacking:
        raise DatasetError(
            f"{listed(lacking)} of {folder} have no {condition}; {advice}",
            [(name, f"it has no {condition}") for name in lacking],
        )


def label_condition(classes: Sequence[str]) -> LabelCondition:
    """Return the condition of classes. Raise DatasetError for classes that one label would name."""
    try:
        return LabelCondition(tuple(classes))
    except ValueError as error:
        raise DatasetError(
            f"the classes cannot be used: {error}; rename one of them, or merge them"
        ) from None


# ---- pictures --------------------------------------------------------------------------------


def _decode(
    folder: Path, items: Sequence[Item], size: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint64], list[str]]:
    """Return resized pixels, fingerprints, and the names of elongated pictures."""
    pixels = _allocate(len(items), size, channels=3)
    fingerprints = np.zeros(len(items), np.uint64)
    bad: list[tuple[str, str]] = []
    elongated: list[str] = []
    all_grey = True
    for index, item in enumerate(items):
        try:
            picture = read_picture(read_file(folder, item.file))
        except (PictureError, MemoryError) as error:
            bad.append((item.file, str(error) or "it is too large for the memory"))
        else:
            all_grey = all_grey and is_grey(picture)
            fingerprints[index] = fingerprint(picture)
            pixels[index] = square(picture, size)
            if max(picture.shape[:2]) > _ELONGATED * min(picture.shape[:2]):
                elongated.append(item.file)
    if bad:
        raise DatasetError(_bad_pictures(folder, bad, len(items)), bad)
    return (pixels[..., :1].copy() if all_grey else pixels), fingerprints, elongated


def _allocate(count: int, size: int, channels: int) -> NDArray[np.uint8]:
    """Return memory for pictures. Raise DatasetError if the machine has not enough of it."""
    shape = (count, size, size, channels)
    needed = math.prod(shape)
    try:
        # Linux gives more memory than there is, and ends the process when it is used.
        if needed > physical_memory():
            raise MemoryError
        return np.zeros(shape, np.uint8)
    except MemoryError:
        raise DatasetError(
            f"{count:,} pictures of {size} x {size} pixels need {needed / 1e9:.1f} GB of memory; "
            "use a smaller --image-size or fewer pictures"
        ) from None


def _bad_pictures(folder: Path, bad: Sequence[tuple[str, str]], count: int) -> str:
    """Return the message that names the pictures that cannot be used."""
    lines = [f"{name} ({reason})" for name, reason in bad[:MAX_NAMES]]
    more = f", and {len(bad) - MAX_NAMES:,} more" if len(bad) > MAX_NAMES else ""
    return (
        f"{len(bad):,} of {count:,} pictures in {folder} cannot be used: {', '.join(lines)}{more}; "
        "replace or remove them"
    )


# ---- IDX files -------------------------------------------------------------------------------


def _idx_images(source: str | Path) -> Path | None:
    """Return the IDX file of pictures that a source means, or None for a source without one."""
    if source in (FASHION_MNIST, f"{FASHION_MNIST}-test"):
        part = "t10k" if str(source).endswith("-test") else "train"
        for folder in os.environ.get("XDG_DATA_DIRS", "/usr/local/share:/usr/share").split(":"):
            if images := idx.find(Path(folder, "datasets", FASHION_MNIST), part):
                return images
        raise DatasetError(
            "Fashion-MNIST is not installed; install the package dataset-fashion-mnist of Debian, "
            "or use the path of a folder with its IDX files"
        )
    path = Path(os.path.expanduser(source))
    if path.is_dir():
        return idx.find(path, "train")
    return path if path.is_file() and idx.is_images(path) else None


def _read_idx(images: Path, size: int, condition: ConditionKind) -> Dataset:
    if condition == "caption":
        raise DatasetError(f"the data {images} has no captions; use --condition label or none")
    try:
        pictures, labels, names = idx.read(images)
    except idx.IdxError as error:
        raise DatasetError(str(error)) from None
    if condition == "label":
        label_condition(names)
    pixels = _allocate(len(pictures), size, channels=1)
    for index, picture in enumerate(pictures):
        pixels[index, ..., 0] = square(picture, size)
    items = tuple(Item(f"{index:05d}", names[label]) for index, label in enumerate(labels))
    fingerprints = np.array([fingerprint(picture) for picture in pictures], np.uint64)
    folder = images.parent.resolve()
    return Dataset(pixels, items, names, folder, (images.name,), fingerprints)
