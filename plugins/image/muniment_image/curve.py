"""The training curve, drawn with Pillow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SIZE = (900, 540)
_LEFT, _TOP, _RIGHT, _BOTTOM = 80, 50, 850, 480  # the frame of the axes
_COLOURS = ("#1f5fa8", "#c4501b", "#2b8a3e", "#7b3fa0", "#a0760b", "#b02a5b")
_GRID, _TEXT = "#d8d8d8", "#202020"
_MOST_POINTS = 400
_LOGARITHMIC = 20  # the ratio of the largest to the smallest value at which the axis changes


def draw_curve(
    curves: Mapping[str, Sequence[float]], *, title: str, steps: int
) -> NDArray[np.uint8]:
    """Return a picture [H, W, 3] of curves by name, the values of which are spread over `steps`.

    Values that are not finite are left out. The axis of the values is logarithmic where they differ
    by more than a factor of 20 and are positive.
    """
    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)
    means = {name: _means(values) for name, values in curves.items()}
    finite = np.concatenate([np.empty(0), *means.values()])
    finite = finite[np.isfinite(finite)]
    axis = _Axis(finite)
    _draw_frame(draw, axis, title, steps)
    for number, (name, values) in enumerate(means.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [
            (_LEFT + (index + 1) / len(values) * (_RIGHT - _LEFT), axis.place(float(value)))
            for index, value in enumerate(values)
            if math.isfinite(value)
        ]
        if len(points) == 1:
            x, y = points[0]
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
        draw.line(points, fill=colour, width=2, joint="curve")
        _draw_key(draw, number, name, colour)
    return np.array(image)


class _Axis:
    """The vertical axis for some values."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
        self.is_logarithmic = low > 0 and high / low > _LOGARITHMIC
        if self.is_logarithmic:
            self.low, self.high = math.log10(low), math.log10(high)
        else:
            self.low, self.high = (0.0, high) if 0 <= low < high / 2 else (low, high)
        margin = (self.high - self.low) * 0.05 or max(abs(self.high), 1e-3) * 0.1
        self.high += margin
        if self.is_logarithmic or self.low != 0:
            self.low -= margin

    def place(self, value: float) -> float:
        """Return the vertical place of a value in pixels."""
        height = math.log10(value) if self.is_logarithmic else value
        return _BOTTOM - (height - self.low) / (self.high - self.low) * (_BOTTOM - _TOP)

    def ticks(self) -> list[float]:
        """Return the values of the ticks."""
        if not self.is_logarithmic:
            return _round_numbers(self.low, self.high)
        powers = range(math.floor(self.low), math.ceil(self.high) + 1)
        values = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
        return [value for value in values if self.low <= math.log10(value) <= self.high]


def _draw_frame(draw: ImageDraw.ImageDraw, axis: _Axis, title: str, steps: int) -> None:
    for value in axis.ticks():
        y = axis.place(value)
        draw.line((_LEFT, y, _RIGHT, y), fill=_GRID)
        draw.text((_LEFT - 8, y), f"{value:.3g}", fill=_TEXT, font=_font(14), anchor="rm")
    for value in _round_numbers(0, steps):
        x = _LEFT + value / max(steps, 1) * (_RIGHT - _LEFT)
        draw.line((x, _BOTTOM, x, _BOTTOM + 5), fill=_TEXT)
        draw.text((x, _BOTTOM + 8), f"{value:,.0f}", fill=_TEXT, font=_font(14), anchor="mt")
    draw.line((_LEFT, _TOP, _LEFT, _BOTTOM, _RIGHT, _BOTTOM), fill=_TEXT)
    middle = (_LEFT + _RIGHT) / 2
    draw.text((middle, 20), title, fill=_TEXT, font=_font(18), anchor="mm")
    draw.text((middle, SIZE[1] - 14), "step", fill=_TEXT, font=_font(16), anchor="mm")
    draw.text((10, 20), "loss", fill=_TEXT, font=_font(16), anchor="lm")


def _draw_key(draw: ImageDraw.ImageDraw, number: int, name: str, colour: str) -> None:
    y = _TOP + 14 + 20 * number
    draw.line((_RIGHT - 28, y, _RIGHT - 4, y), fill=colour, width=3)
    draw.text((_RIGHT - 34, y), name, fill=_TEXT, font=_font(14), anchor="rm")


def _means(values: Sequence[float]) -> NDArray[np.float64]:
    """Return the means of at most `_MOST_POINTS` ranges of the values."""
    array = np.asarray(values, np.float64)
    if len(array) <= _MOST_POINTS:
        return array
    return np.array([part.mean() for part in np.array_split(array, _MOST_POINTS)])


def _round_numbers(low: float, high: float) -> list[float]:
    """Return about six round numbers from `low` to `high`."""
    span = max(high - low, 1e-12)
    power = 10.0 ** math.floor(math.log10(span / 6))
    step = next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= 7)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step) + 1)]


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
