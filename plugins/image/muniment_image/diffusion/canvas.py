"""The pixels of inputs on the canvas of a picture, and the picture cut out of the canvas.

A model draws pictures whose sides are multiples of a number, often 8. The canvas is the next
larger size. The pictures of inputs are continued to the right and below with their last pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import muniment
from muniment_image.pictures import PictureError, read_picture

_WHITE = 128  # shades from here on are white in a mask

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Canvas:
    """The size of a picture, and the multiple that the sides of its canvas must be of."""

    width: int
    height: int
    multiple: int

    @property
    def outer(self) -> tuple[int, int]:
        """The width and the height of the canvas."""
        return _round_up(self.width, self.multiple), _round_up(self.height, self.multiple)

    def place(self, pixels: Pixels) -> Image.Image:
        """Return pixels [H, W] or [H, W, 3] on the canvas, scaled to the size of the picture."""
        width, height = self.outer
        fitted = self.fit(pixels)
        margins = [(0, height - self.height), (0, width - self.width), (0, 0)][: fitted.ndim]
        return Image.fromarray(np.pad(fitted, margins, mode="edge"))

    def fit(self, pixels: Pixels) -> Pixels:
        """Return pixels scaled to the size of the picture. Equal sizes change nothing."""
        if pixels.shape[:2] == (self.height, self.width):
            return pixels
        size = (self.width, self.height)
        return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))

    def cut(self, pixels: Pixels) -> Pixels:
        """Return the picture on a canvas [H, W, 3]."""
        return pixels[: self.height, : self.width]


def read_inputs(inputs: Mapping[str, muniment.Input]) -> dict[str, Pixels]:
    """Return the pixels of all inputs by name. Raise InputError for one that does not fit.

    A mask is [H, W] of 0 and 255, and has the size of init. The others are [H, W, 3].
    """
    pixels: dict[str, Pixels] = {}
    for name, item in inputs.items():
        try:
            pixels[name] = read_picture(item.data, grey=name == "mask")
        except PictureError as error:
            message = f"the input {name} cannot be used: {error}"
            raise muniment.InputError(name, message) from None
    if "mask" in pixels:
        _check_mask(pixels)
    return pixels


def paste(drawn: Pixels, init: Pixels, mask: Pixels) -> Pixels:
    """Return init [H, W, 3] with the drawn pixels where the mask [H, W] is white."""
    return np.where(mask[:, :, np.newaxis] >= _WHITE, drawn, init)


def _check_mask(pixels: dict[str, Pixels]) -> None:
    """Make the mask black and white. Raise InputError if it does not fit."""
    if "init" not in pixels:
        raise muniment.InputError(
            "mask", "the input mask needs the input init, of which it marks a part; add --init FILE"
        )
    mask, init = pixels["mask"], pixels["init"]
    if mask.shape != init.shape[:2]:
        sizes = [f"{shape[1]} x {shape[0]}" for shape in (mask.shape, init.shape)]
        raise muniment.InputError(
            "mask", f"the input mask has {sizes[0]} pixels and init {sizes[1]}; use equal sizes"
        )
    pixels["mask"] = np.where(mask >= _WHITE, 255, 0).astype(np.uint8)
    if not pixels["mask"].any():
        raise muniment.InputError(
            "mask", "the input mask has no white pixel, so nothing would be drawn; use another one"
        )


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple


def shape_of(pixels: Any) -> tuple[int, int]:
    """Return the width and the height of pixels."""
    return int(pixels.shape[1]), int(pixels.shape[0])
