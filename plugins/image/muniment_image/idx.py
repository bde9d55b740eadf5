"""The IDX files of MNIST and Fashion-MNIST, compressed with gzip or not."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_IMAGES, _LABELS = 0x803, 0x801  # unsigned bytes in three dimensions and in one
_NAMES = ("{part}-images-idx3-ubyte", "{part}-images.idx3-ubyte")
_CLASSES = "classes.txt"
FASHION_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
# The SHA-256 of the labels of Fashion-MNIST, for training and for testing. The files of MNIST have
# the same names.
_FASHION_LABELS = frozenset(
    (
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    )
)


class IdxError(ValueError):
    """An IDX file that cannot be read, or that does not fit the other one."""


def find(folder: Path, part: str) -> Path | None:
    """Return the file of pictures of a part, `train` or `t10k`, or None if there is none."""
    for name in _NAMES:
        for suffix in ("", ".gz"):
            path = folder / (name.format(part=part) + suffix)
            if path.is_file():
                return path
    return None


def is_images(path: Path) -> bool:
    """Return whether a file begins as an IDX file of pictures."""
    try:
        with _open(path) as file:
            return file.read(4) == struct.pack(">I", _IMAGES)
    except (OSError, EOFError, zlib.error):
        return False


def read(images: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8], tuple[str, ...]]:
    """Return pictures [N, H, W], labels [N] and the names of the classes.

    The labels are in the file that is named `labels` instead of `images`. The names are those of
    Fashion-MNIST for its labels, else the lines of `classes.txt`, else numbers. Raises IdxError.
    """
    pictures = _read_array(images, _IMAGES)
    name = images.name.replace("images", "labels").replace("idx3", "idx1")
    base = images.with_name(name.removesuffix(".gz"))
    other = base if base.is_file() else base.with_name(f"{base.name}.gz")
    labels = _read_array(other, _LABELS)
    if len(pictures) != len(labels) or not len(labels):
        raise IdxError(
            f"{images} has {len(pictures):,} pictures and {other.name} has {len(labels):,} labels; "
            "use two files of the same data"
        )
    if not pictures.size:
        raise IdxError(f"{images} has pictures without pixels; use other data")
    names = _class_names(images.parent, labels)
    if int(labels.max()) >= len(names):
        raise IdxError(
            f"{other} has the label {labels.max()}, and {_CLASSES} has {len(names)} names; "
            "add the missing names"
        )
    return pictures, labels, names


def _class_names(folder: Path, labels: NDArray[np.uint8]) -> tuple[str, ...]:
    file = struct.pack(">II", _LABELS, len(labels)) + labels.tobytes()
    if hashlib.sha256(file).hexdigest() in _FASHION_LABELS:
        return FASHION_CLASSES
    path = folder / _CLASSES
    if path.is_file():
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, ValueError) as error:
            raise IdxError(f"{path} cannot be read: {error}; use UTF-8") from None
        return tuple(line.strip() for line in lines if line.strip())
    return tuple(str(number) for number in range(int(labels.max()) + 1))


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        is_compressed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if is_compressed else path.open("rb")  # type: ignore[return-value]


def _read_array(path: Path, magic: int) -> NDArray[np.uint8]:
    dimensions = magic & 0xFF
    try:
        with _open(path) as file:
            header = file.read(4 + 4 * dimensions)
            if len(header) < 4 + 4 * dimensions or header[:4] != struct.pack(">I", magic):
                raise IdxError(f"{path} is not an IDX file of {_content(magic)}; copy it again")
            shape = struct.unpack_from(f">{dimensions}I", header, 4)
            size = int(np.prod(shape, dtype=np.float64))
            # A compressed file is never a thousand times smaller than this much content.
            if size > max(os.path.getsize(path), 1000) * 1100:
                raise IdxError(f"{path} is truncated; copy it again")
            data = file.read(size + 1)
    except FileNotFoundError:
        raise IdxError(f"{path} does not exist; add the file of {_content(magic)}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise IdxError(f"{path} cannot be read: {error}; copy it again") from None
    if len(data) != size:
        problem = "is truncated" if len(data) < size else "is longer than its header says"
        raise IdxError(f"{path} {problem}; copy it again")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _content(magic: int) -> str:
    return "pictures" if magic == _IMAGES else "labels"
