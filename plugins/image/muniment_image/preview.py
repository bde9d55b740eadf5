"""Previews of pictures on a terminal. Each character is a half block, which shows two pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_LINES = 32
MIN_COLUMNS = 4

_RESET = "\x1b[0m"


def half_blocks(pixels: NDArray[np.uint8], columns: int) -> str | None:
    """Return the lines that show RGB pixels [H, W, 3], or None on a terminal that is too narrow.

    A picture is not enlarged. It is reduced to the columns and to `MAX_LINES`.
    """
    if columns < MIN_COLUMNS:
        return None
    height, width = pixels.shape[:2]
    share = min(1, columns / width, 2 * MAX_LINES / height)
    if share < 1:
        size = max(1, int(width * share)), max(1, int(height * share))
        resized = Image.fromarray(pixels).resize(size, Image.Resampling.BOX)
        pixels = np.asarray(resized)
    return "\n".join(
        _line(pixels[row], pixels[row + 1] if row + 1 < len(pixels) else None)
        for row in range(0, len(pixels), 2)
    )


def _line(upper: NDArray[np.uint8], lower: NDArray[np.uint8] | None) -> str:
    """Return a line of two rows of pixels. A colour is written where it changes."""
    parts = []
    last = ""
    for column, top in enumerate(upper):
        colours = _code(38, top) if lower is None else _code(38, top) + _code(48, lower[column])
        parts.append("▀" if colours == last else f"{colours}▀")
        last = colours
    return "".join([*parts, _RESET])


def _code(layer: int, colour: NDArray[np.uint8]) -> str:
    red, green, blue = colour.tolist()
    return f"\x1b[{layer};2;{red};{green};{blue}m"
