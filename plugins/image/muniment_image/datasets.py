"""Data sets for training, as checked pixels in memory with their labels and captions.

A data set is a folder of pictures, in which each class can have a folder, or `metadata.jsonl` can
describe the pictures. The IDX files of MNIST and Fashion-MNIST are read, too. Every picture is
decoded before anything is trained, so that a damaged one is reported at once.
"""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import muniment

from . import idx, metadata
from .memory import physical_memory
from .pictures import PictureError, read_picture

ConditionKind = Literal["none", "label", "caption"]
METADATA = "metadata.jsonl"
WORDS = "words.txt"
"""The vocabulary of captions: words with one meaning in each line, such as `red 红 红色`."""
FASHION_MNIST = "fashion-mnist"
SUFFIXES = frozenset(
    (
        *(".apng", ".avif", ".bmp", ".gif", ".heic", ".jfif", ".jpeg", ".jpg", ".pbm"),
        *(".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"),
    )
)
"""Endings of files that are read as pictures, whether their format can be read or not."""
_SYSTEM_FILES = frozenset(("thumbs.db", "desktop.ini", "__macosx"))
_MOST_NAMES = 10  # in a message
_ELONGATED = 2  # the longer side divided by the shorter one


class DatasetError(muniment.UsageError):
    """A data set that cannot be trained on.

    `pictures` has the name and the reason of every picture that cannot be used.
    """

    def __init__(self, message: str, pictures: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(message)
        self.pictures = tuple(pictures)


class Item(NamedTuple):
    """A picture of a data set before it is decoded: its name, label and captions."""

    file: str
    label: str | None = None
    captions: tuple[str, ...] = ()


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
    files = _scan(folder)
    items, notes = _items(folder, files)
    _check_condition(folder, items, condition)
    pixels, fingerprints, cropped = _decode(folder, items, size)
    if cropped:
        notes.append(f"only the middle is used of long and narrow pictures: {_listed(cropped)}")
    classes = sorted({item.label for item in items if item.label is not None})
    if condition == "label":
        _check_classes(classes)
    return Dataset(
        pixels=pixels,
        items=tuple(items),
        classes=tuple(classes),
        folder=folder,
        files=tuple(item.file for item in items),
        fingerprints=fingerprints,
        notes=tuple(notes),
    )


# ---- folders ---------------------------------------------------------------------------------


@dataclass
class _Files:
    """The files of a folder by relative names with `/`."""

    pictures: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)


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


def _scan(folder: Path) -> _Files:
    """Return the files of a folder, without hidden ones and those of file managers."""
    files = _Files()
    failures: list[OSError] = []
    for current, directories, names in os.walk(folder, onerror=failures.append):
        directories[:] = sorted(filter(_is_visible, directories))
        for name in list(directories):
            if os.path.islink(os.path.join(current, name)):
                files.links.append(_relative(folder, current, name))
                directories.remove(name)
        for name in sorted(filter(_is_visible, names)):
            relative = _relative(folder, current, name)
            path = os.path.join(current, name)
            if os.path.islink(path) and not Path(os.path.realpath(path)).is_relative_to(folder):
                files.links.append(relative)
            elif os.path.splitext(name)[1].lower() in SUFFIXES:
                files.pictures.append(relative)
            elif relative not in (METADATA, WORDS):
                files.other.append(relative)
    if failures:
        error = failures[0]
        raise DatasetError(f"the folder {error.filename} cannot be read: {error.strerror}")
    files.empty = [
        name
        for name in sorted(filter(_is_visible, os.listdir(folder)))
        if os.path.isdir(folder / name)
        and name not in files.links
        and not any(picture.startswith(f"{name}/") for picture in files.pictures)
    ]
    files.pictures.sort()
    return files


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name.lower() not in _SYSTEM_FILES


def _relative(folder: Path, current: str, name: str) -> str:
    return Path(current, name).relative_to(folder).as_posix()


def _items(folder: Path, files: _Files) -> tuple[list[Item], list[str]]:
    """Return the pictures of a folder in a fixed order, and notes about what is ignored."""
    notes: list[str] = []
    if files.links:
        notes.append(f"ignored, because links can lead out of the data: {_listed(files.links)}")
    if (folder / METADATA).is_file():
        items = [Item(*line) for line in _read_metadata(folder)]
        unnamed = sorted(set(files.pictures) - {item.file for item in items})
        if unnamed:
            notes.append(f"ignored, because {METADATA} does not name them: {_listed(unnamed)}")
    else:
        items = [Item(name, _class_of(name)) for name in files.pictures]
        if files.empty:
            notes.append(f"no class, because there are no pictures in it: {_listed(files.empty)}")
    if files.other:
        notes.append(f"ignored, because the name is not that of a picture: {_listed(files.other)}")
    if not items:
        reason = f"; {'; '.join(notes)}" if notes else ""
        raise DatasetError(
            f"the data {folder} has no pictures; put PNG or JPEG files into a folder for each "
            f"class{reason}"
        )
    return items, notes


def _class_of(name: str) -> str | None:
    """Return the class of a picture: the name of the first folder of its path, or None."""
    folder, slash, _ = name.partition("/")
    if not slash:
        return None
    try:
        folder.encode()
    except UnicodeEncodeError:  # no JSON file could contain it
        raise DatasetError(
            f"the name of the class {folder!r} is not UTF-8; rename its folder"
        ) from None
    return unicodedata.normalize("NFC", folder)


def _read_metadata(folder: Path) -> Iterable[metadata.Line]:
    try:
        return metadata.read(folder / METADATA)
    except metadata.MetadataError as error:
        raise DatasetError(f"{folder / METADATA} {error}") from None


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
        raise DatasetError(
            f"the data {folder} has no {condition}s; {advice}, or use another --condition"
        )
    if lacking:
        raise DatasetError(
            f"{_listed(lacking)} of {folder} have no {condition}; {advice}",
            [(name, f"it has no {condition}") for name in lacking],
        )


def _check_classes(classes: Sequence[str]) -> None:
    """Raise DatasetError for classes that one label would name, as a label's case is ignored."""
    seen: dict[str, str] = {}
    for name in classes:
        key = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        if key in seen:
            raise DatasetError(
                f"the classes {seen[key]!r} and {name!r} differ only in case or spaces; "
                "rename one of them or merge them"
            )
        seen[key] = name


# ---- pictures --------------------------------------------------------------------------------


def _decode(
    folder: Path, items: Sequence[Item], size: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint64], list[str]]:
    """Return resized pixels, fingerprints, and the names of elongated pictures."""
    pixels = _allocate(len(items), size)
    fingerprints = np.zeros(len(items), np.uint64)
    bad: list[tuple[str, str]] = []
    elongated: list[str] = []
    is_grey = True
    for index, item in enumerate(items):
        try:
            picture = read_picture(_read_file(folder, item.file))
        except (PictureError, MemoryError) as error:
            bad.append((item.file, str(error) or "it is too large for the memory"))
        else:
            is_grey = is_grey and _is_grey(picture)
            fingerprints[index] = fingerprint(picture)
            pixels[index] = square(picture, size)
            if max(picture.shape[:2]) > _ELONGATED * min(picture.shape[:2]):
                elongated.append(item.file)
    if bad:
        raise DatasetError(_bad_pictures(folder, bad, len(items)), bad)
    return (pixels[..., :1].copy() if is_grey else pixels), fingerprints, elongated


def _allocate(count: int, size: int) -> NDArray[np.uint8]:
    """Return memory for pictures. Raise DatasetError if the machine has not enough of it."""
    needed = count * size * size * 3
    try:
        # Linux gives more memory than there is, and ends the process when it is used.
        if needed > physical_memory():
            raise MemoryError
        return np.zeros((count, size, size, 3), np.uint8)
    except MemoryError:
        raise DatasetError(
            f"{count:,} pictures of {size} x {size} pixels need {needed / 1e9:.1f} GB of memory; "
            "use a smaller --image-size or fewer pictures"
        ) from None


def _read_file(folder: Path, name: str) -> bytes:
    """Return the content of a file of the data, or raise PictureError."""
    path = folder / name
    try:
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(folder):
            raise PictureError("it is outside the folder of the data")
        if not stat.S_ISREG(real.stat().st_mode):  # opening a pipe would wait
            raise PictureError("it is not a regular file")
        return real.read_bytes()
    except FileNotFoundError:
        raise PictureError("it does not exist") from None
    except OSError as error:
        raise PictureError(f"it cannot be read: {error.strerror}") from None


def square(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Return the square around the middle of a picture, [size, size] or [size, size, 3]."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = picture[top : top + side, left : left + side]
    if side == size:
        return middle
    image = Image.fromarray(np.ascontiguousarray(middle))
    return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS))


def fingerprint(picture: NDArray[np.uint8]) -> int:
    """Return 64 bits of the SHA-256 of a picture's pixels, equal for a grey picture in RGB."""
    plane = picture[..., 0] if picture.ndim == 3 and _is_grey(picture) else picture
    digest = hashlib.sha256(repr(plane.shape).encode())
    digest.update(np.ascontiguousarray(plane).data)
    return int.from_bytes(digest.digest()[:8], "little")


def _is_grey(picture: NDArray[np.uint8]) -> bool:
    first = picture[..., :1]
    return bool((picture[..., 1:] == first).all())


def _bad_pictures(folder: Path, bad: Sequence[tuple[str, str]], count: int) -> str:
    """Return the message that names the pictures that cannot be used."""
    lines = [f"{name} ({reason})" for name, reason in bad[:_MOST_NAMES]]
    more = f", and {len(bad) - _MOST_NAMES:,} more" if len(bad) > _MOST_NAMES else ""
    return (
        f"{len(bad):,} of {count:,} pictures in {folder} cannot be used: {', '.join(lines)}{more}; "
        "replace or remove them"
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES:,} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


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
    pixels = np.zeros((len(pictures), size, size, 1), np.uint8)
    for index, picture in enumerate(pictures):
        pixels[index, ..., 0] = square(picture, size)
    items = tuple(Item(f"{index:05d}", names[label]) for index, label in enumerate(labels))
    fingerprints = np.array([fingerprint(picture) for picture in pictures], np.uint64)
    folder = images.parent.resolve()
    return Dataset(pixels, items, names, folder, (images.name,), fingerprints)
