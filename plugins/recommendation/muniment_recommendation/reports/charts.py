"""The bar charts of a report, drawn with Pillow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

SIZE = (900, 540)
_LEFT, _TOP, _RIGHT, _BOTTOM = 80, 60, 860, 460  # the frame of the axes
_COLOURS = ("#1f5fa8", "#c4501b", "#2b8a3e", "#7b3fa0")
_GRID, _TEXT = "#d8d8d8", "#202020"
_LINES = 5  # of the grid, at most, above 0


def draw_bars(
    groups: Sequence[str], series: Mapping[str, Sequence[float]], *, title: str
) -> Image.Image:
    """Return a picture with a bar for each group and series, from 0 to the largest value.

    Each of `series` has a value for each group. Values are at least 0.
    """
    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)
    largest = max((value for values in series.values() for value in values), default=0) or 1.0
    height = (_BOTTOM - _TOP) / (largest * 1.1)  # pixels of the value 1
    _draw_frame(draw, largest, height, title)
    group_width = (_RIGHT - _LEFT) / max(len(groups), 1)
    width = group_width * 0.8 / max(len(series), 1)
    for place, group in enumerate(groups):
        start = _LEFT + (place + 0.1) * group_width
        for number, values in enumerate(series.values()):
            x, y = start + number * width, _BOTTOM - values[place] * height
            draw.rectangle((x, y, x + width - 4, _BOTTOM), fill=_COLOURS[number % len(_COLOURS)])
            draw.text(
                (x + width / 2, y - 4),
                f"{values[place]:.3g}",
                fill=_TEXT,
                font=_font(14),
                anchor="mb",
            )
        draw.text(
            (_LEFT + (place + 0.5) * group_width, _BOTTOM + 10),
            group,
            fill=_TEXT,
            font=_font(16),
            anchor="mt",
        )
    for number, name in enumerate(series):
        _draw_key(draw, number, name)
    return image


def _draw_frame(draw: ImageDraw.ImageDraw, largest: float, height: float, title: str) -> None:
    power = 10.0 ** math.floor(math.log10(largest / _LINES))
    step = next(factor * power for factor in (1, 2, 5, 10) if largest <= factor * power * _LINES)
    for line in range(math.floor(largest / step + 1e-9) + 1):
        value = line * step
        y = _BOTTOM - value * height
        draw.line((_LEFT, y, _RIGHT, y), fill=_GRID)
        draw.text((_LEFT - 8, y), f"{value:.3g}", fill=_TEXT, font=_font(14), anchor="rm")
    draw.line((_LEFT, _TOP, _LEFT, _BOTTOM, _RIGHT, _BOTTOM), fill=_TEXT)
    draw.text(((_LEFT + _RIGHT) / 2, 26), title, fill=_TEXT, font=_font(18), anchor="mm")


def _draw_key(draw: ImageDraw.ImageDraw, number: int, name: str) -> None:
    x, y = _LEFT + 200 * number, SIZE[1] - 26
    draw.rectangle((x, y - 7, x + 14, y + 7), fill=_COLOURS[number % len(_COLOURS)])
    draw.text((x + 22, y), name, fill=_TEXT, font=_font(16), anchor="lm")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
