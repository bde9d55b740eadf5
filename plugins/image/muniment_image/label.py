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
    5 % of the shorter side high, as GB 45438-2025 asks of pictures. Raises ParameterError as
    `scaled` does.
    """
    scale = max(scale, _readable_scale(pixels, text))
    picture = scaled(pixels, scale)
    height, wide = picture.shape[:2]
    size = max(MIN_FONT, math.ceil(_PART_OF_SIDE * min(height, wide)))
    margin = math.ceil(_MARGIN * size)
    canvas = Image.new("L", (max(wide, width(text, size) + 2 * margin), size + 2 * margin), _PAPER)
    ImageDraw.Draw(canvas).text((margin, canvas.height / 2), text, _INK, font(size), anchor="lm")
    band = np.array(canvas.convert("RGB"))
    result = np.full((height + band.shape[0], band.shape[1], 3), _PAPER, np.uint8)
    result[:height, :wide] = picture
    result[height:] = band
    return result


def scaled(pixels: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Return a picture enlarged by a whole factor, so that each pixel becomes a square.

    Raises ParameterError for a result of more than `MAX_PIXELS`.
    """
    height, wide = pixels.shape[:2]
    if height * wide * scale * scale > MAX_PIXELS:
        raise muniment.ParameterError(
            "scale",
            f"a picture of {wide} x {height} pixels enlarged by {scale} has more than "
            f"{MAX_PIXELS:,} pixels; use a smaller scale",
        )
    return pixels if scale == 1 else pixels.repeat(scale, axis=0).repeat(scale, axis=1)


def _readable_scale(pixels: NDArray[np.uint8], text: str) -> int:
    """Return the factor by which a picture becomes as wide as a text, or the largest possible."""
    height, wide = pixels.shape[:2]
    needed = width(text, MIN_FONT) + 2 * math.ceil(_MARGIN * MIN_FONT)
    return max(1, min(math.ceil(needed / wide), math.isqrt(MAX_PIXELS // (height * wide))))
