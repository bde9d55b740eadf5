"""The font of captions and labels, which has ASCII, Latin-1, kana and the common Chinese."""

from __future__ import annotations

import math
from functools import cache
from importlib.resources import files
from io import BytesIO

from PIL import ImageFont

_PROBE = 12  # the size at which missing characters are told from others
_SPACES = " \u3000"


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return the font of the package. `size` is the height of an ideograph in pixels."""
    file = BytesIO((files(__name__) / "caption.otf").read_bytes())
    # The basic layout draws the same pixels with and without libraqm.
    return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)


def width(line: str, size: int) -> int:
    """Return the width of a line in pixels."""
    return math.ceil(font(size).getlength(line))


@cache
def has_glyph(character: str) -> bool:
    """Return whether the font can draw a character."""
    missing = font(_PROBE).getmask("\U0010ffff")
    mask = font(_PROBE).getmask(character)
    return character in _SPACES or (mask.size, bytes(mask)) != (missing.size, bytes(missing))
