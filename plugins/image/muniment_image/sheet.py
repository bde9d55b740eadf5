"""Contact sheets, which show pictures in rows with captions under them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .fonts import font, has_glyph, width
from .pictures import MAX_PIXELS

MIN_SIDE = 96
"""A smaller picture is enlarged towards it by a whole factor."""
MAX_SIDE = 512
"""A larger picture is reduced to it."""

_MARGIN = 8
_FONT_SIZE = 12
_LINE = 16
_BASELINE = 12  # from the top of a line
_INK = (0, 0, 0)


class _Grid(NamedTuple):
    """The places of the cells of a sheet, in pixels."""

    columns: int
    rows: int
    left: int
    top: int
    cell_width: int
    cell_height: int

    @property
    def size(self) -> tuple[int, int]:
        """The width and the height of the sheet."""
        return self.place(self.columns, 0)[0], self.place(0, self.rows)[1]

    def place(self, column: int, row: int) -> tuple[int, int]:
        """Return the upper left corner of a cell."""
        return self.left + column * self.cell_width, self.top + row * self.cell_height


def contact_sheet(
    pictures: Sequence[NDArray[np.uint8]],
    captions: Sequence[Sequence[str]],
    *,
    columns: int = 0,
    scale: int = 0,
    column_titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
) -> NDArray[np.uint8]:
    """Return the pixels [H, W, 3] of a sheet of pictures [H, W] or [H, W, 3].

    `captions` are the lines under each picture, of which the last one is never shortened. A line
    with a character that the font lacks is left out. `columns`, and the factor `scale` of the
    pictures, are chosen if they are 0. Raises ValueError for a sheet of more than `MAX_PIXELS`, or
    for no picture.
    """
    if not pictures:
        raise ValueError("a sheet needs at least one picture")
    sizes = [_shown_size(picture, scale) for picture in pictures]
    lines = [[line for line in map(printable, caption) if line] for caption in captions]
    columns = min(columns or math.ceil(math.sqrt(len(pictures))), len(pictures))
    widths = [width for width, _ in sizes] + [_width(caption[-1]) for caption in lines if caption]
    picture_height = max(height for _, height in sizes)
    grid = _Grid(
        columns=columns,
        rows=math.ceil(len(pictures) / columns),
        left=_MARGIN + max((_width(title) + _MARGIN for title in row_titles), default=0),
        top=_MARGIN + (_LINE if column_titles else 0),
        cell_width=max([*widths, *map(_width, column_titles)]) + _MARGIN,
        cell_height=picture_height + max(map(len, lines)) * _LINE + _MARGIN,
    )
    if math.prod(grid.size) > MAX_PIXELS:
        raise ValueError(
            f"a sheet of {len(pictures)} pictures is larger than {MAX_PIXELS:,} pixels; use fewer "
            "pictures or a smaller scale"
        )
    sheet = Image.new("RGB", grid.size, "white")
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(column_titles):
        _write(draw, (grid.place(column, 0)[0], _MARGIN), printable(title))
    for row, title in enumerate(row_titles):
        _write(draw, (_MARGIN, grid.place(0, row)[1]), printable(title))
    for number, (picture, size, caption) in enumerate(zip(pictures, sizes, lines, strict=True)):
        x, y = grid.place(number % columns, number // columns)
        sheet.paste(_resized(picture, size), (x, y))
        for index, line in enumerate(caption):
            text = _shortened(line, grid.cell_width - _MARGIN)
            _write(draw, (x, y + picture_height + index * _LINE), text)
    return np.array(sheet)


def printable(text: str) -> str:
    """Return a text as one line, or an empty text if the font lacks a character of it."""
    line = " ".join(text.split())
    return line if all(has_glyph(character) for character in line) else ""


def _shortened(line: str, width: int) -> str:
    """Return a line, or the longest beginning of it that fits a width in pixels."""
    if len(line) <= width and _width(line) <= width:
        return line
    end = min(len(line), width)  # a character is at least a pixel wide
    while end and _width(f"{line[:end]}…") > width:
        end -= 1
    return f"{line[:end]}…"


def _shown_size(picture: NDArray[np.uint8], scale: int) -> tuple[int, int]:
    """Return the width and the height of a picture on a sheet."""
    height, width = picture.shape[:2]
    longest = max(height, width)
    if scale or longest <= MAX_SIDE:
        factor = scale or max(1, MIN_SIDE // longest)
        return width * factor, height * factor
    return max(1, width * MAX_SIDE // longest), max(1, height * MAX_SIDE // longest)


def _resized(picture: NDArray[np.uint8], size: tuple[int, int]) -> Image.Image:
    image = Image.fromarray(picture).convert("RGB")
    enlarged = size[0] >= image.width
    return image.resize(size, Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX)


def _write(draw: ImageDraw.ImageDraw, place: tuple[int, int], line: str) -> None:
    """Draw a line of text below and to the right of a place."""
    x, y = place
    draw.text((x, y + _BASELINE), line, _INK, font(_FONT_SIZE), anchor="ls")


def _width(line: str) -> int:
    return width(line, _FONT_SIZE)
