"""A vector of a picture whose angles and distances follow the arrangement of its colours.

It is a layout of colours as in MPEG-7 (ISO/IEC 15938-3, Color Layout Descriptor). The colour
space is Oklab (Ottosson 2020), whose distances follow those that people see. No model is used, so
pictures of all generators can be compared.

    pixels [H, W, 3]
      └─ linear light, means over a grid ─→ [32, 32, 3]
      └─ Oklab, lightness from the middle ─→ [32, 32, 3]
      └─ cosine transform, lowest 8 x 8 ──→ 192 numbers
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GRID = 32
"""The rows and columns of the regions whose mean colour is read."""
FREQUENCIES = 8
"""The frequencies that are read in each direction, of which 0 is the mean of the picture."""
LENGTH = 3 * FREQUENCIES**2

_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def _linear_light() -> NDArray[np.float32]:
    """Return the linear light of each value of sRGB (IEC 61966-2-1)."""
    values = np.arange(256) / 255
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


def _cosines() -> NDArray[np.float64]:
    """Return the lowest rows [FREQUENCIES, GRID] of the orthonormal cosine transform (DCT-II)."""
    frequencies, places = np.arange(FREQUENCIES)[:, None], np.arange(GRID)
    rows = np.cos(np.pi * frequencies * (2 * places + 1) / (2 * GRID)) * np.sqrt(2 / GRID)
    rows[0] /= np.sqrt(2)
    return np.asarray(rows)


_LIGHT, _COSINES = _linear_light(), _cosines()


def describe_picture(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the vector [192] of a picture [H, W, 3].

    The picture is stretched to a square. The distance of two vectors is at most the root mean
    square difference of the colours of the grid, and equal for smooth pictures.
    """
    light = np.stack([_means(_LIGHT[pixels[..., channel]]) for channel in range(3)], axis=-1)
    colours = np.cbrt(light.astype(np.float64) @ _TO_CONES.T) @ _TO_OKLAB.T
    colours[..., 0] -= 0.5  # otherwise all pictures point to white, and have small angles
    # Divided by the size of the grid, so that distances are those of one place.
    lowest = np.einsum("fy,gx,yxc->cfg", _COSINES, _COSINES, colours) / GRID
    return np.asarray(lowest.reshape(LENGTH))


def _means(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the means of a plane [H, W] over a grid. A small plane is enlarged."""
    image = Image.fromarray(plane)
    return np.asarray(image.resize((GRID, GRID), Image.Resampling.BOX))
