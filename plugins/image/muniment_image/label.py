"""The visible label that a picture is generated, on a band below it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

import muniment

from .fonts import font, width
from .pictures import MAX_PIXELS

MIN_FONT = 14
"""The smallest size of the font, in pixels, at which Chinese is readable."""

_PART_OF_SIDE = 0.08  # the height of capital letters is then above 5 % of the shorter side
_MARGIN = 0.4  # of the font size
_PAPER, _INK = 255, 0


def labelled(pixels: NDArray[np.uint8], text: str, scale: int = 1) -> NDArray[np.uint8]:
    """Return a picture [H, W, 3] that is enlarged by a whole factor, above a band with a text.

    The factor is `scale`, or more if the picture is narrower than the text. Letters are at least
    5 % of the shorter side high, as GB 45438-2025 asks of pictures. Raises ParameterError for a
    result of more than `MAX_PIXELS`.
    """
    height, wide = pixels.shape[:2]
    scale = max(scale, _readable_scale(height, wide, text))
    layout = _Layout(height * scale, wide * scale, text)
    if layout.pixels > MAX_PIXELS:
        raise _too_large(height, wide, scale, " with its label")
    size, margin = layout.font_size, layout.margin
    canvas = Image.new("L", (layout.width, layout.band_height), _PAPER)
    ImageDraw.Draw(canvas).text((margin, canvas.height / 2), text, _INK, font(size), anchor="lm")
    result = np.full((layout.height + layout.band_height, layout.width, 3), _PAPER, np.uint8)
    result[: layout.height, : wide * scale] = scaled(pixels, scale)
    result[layout.height :] = np.asarray(canvas.convert("RGB"))
    return result


def scaled(pixels: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Return a picture enlarged by a whole factor, so that each pixel becomes a square.

    Raises ParameterError for a result of more than `MAX_PIXELS`.
    """
    height, wide = pixels.shape[:2]
    if height * wide * scale * scale > MAX_PIXELS:
        raise _too_large(height, wide, scale)
    return pixels if scale == 1 else pixels.repeat(scale, axis=0).repeat(scale, axis=1)


class _Layout:
    """The sizes in pixels of a picture with a band below it, which can be wider than the picture.

    `height` is that of the picture, `width` that of both.
    """

    def __init__(self, height: int, wide: int, text: str) -> None:
        self.height = height
        self.font_size = max(MIN_FONT, math.ceil(_PART_OF_SIDE * min(height, wide)))
        self.margin = math.ceil(_MARGIN * self.font_size)
        self.band_height = self.font_size + 2 * self.margin
        self.width = max(wide, width(text, self.font_size) + 2 * self.margin)

    @property
    def pixels(self) -> int:
        """The number of pixels of the picture and the band."""
        return self.width * (self.height + self.band_height)


def _readable_scale(height: int, wide: int, text: str) -> int:
    """Return the factor by which a picture becomes as wide as a text, or the largest possible."""
    needed = width(text, MIN_FONT) + 2 * math.ceil(_MARGIN * MIN_FONT)
    largest = min(math.ceil(needed / wide), math.isqrt(MAX_PIXELS // (height * wide)))
    while largest > 1 and _Layout(height * largest, wide * largest, text).pixels > MAX_PIXELS:
        largest -= 1
    return max(1, largest)


def _too_large(height: int, wide: int, scale: int, part: str = "") -> muniment.ParameterError:
    return muniment.ParameterError(
        "scale",
        f"a picture of {wide} x {height} pixels enlarged by {scale}{part} has more than "
        f"{MAX_PIXELS:,} pixels; use a smaller scale or picture",
    )
