"""Functions of the pixels of a picture, [H, W] or [H, W, C] with values uint8."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image


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
    plane = picture[..., 0] if picture.ndim == 3 and is_grey(picture) else picture
    digest = hashlib.sha256(repr(plane.shape).encode())
    digest.update(np.ascontiguousarray(plane).data)
    return int.from_bytes(digest.digest()[:8], "little")


def is_grey(picture: NDArray[np.uint8]) -> bool:
    """Return whether all channels of a picture [H, W, C] are equal."""
    first = picture[..., :1]
    return bool((picture[..., 1:] == first).all())
