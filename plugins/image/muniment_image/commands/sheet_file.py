"""The pixels and the file of a sheet of recorded generations."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import muniment
from muniment.command import FileFormat

from .sheet_axes import Axis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MEDIA_TYPE = "image/png"

Cells = Sequence[muniment.Generation | None]
"""The generations of the cells, row by row, and None for a cell without one."""


def has_picture(cell: muniment.Generation | None) -> bool:
    """Return whether a cell has a picture that can be shown. An erased or altered one has no data.

    An incomplete or blocked picture must not be shown.
    """
    if cell is None or cell.status != "completed" or not cell.outputs:
        return False
    return cell.outputs[0].media_type == MEDIA_TYPE and bool(cell.outputs[0].data)


def sheet_file(file: FileFormat, cells: Cells, x: Axis, y: Axis, *, private: bool) -> bytes:
    """Return the file of a sheet, with the provenance of each picture.

    Raises MunimentError if it cannot be made.
    """
    from muniment_image.media import encode_sheet

    def draw(provenances: Sequence[muniment.Provenance], suffix: str, options: Any) -> bytes:
        pixels = _pixels(cells, x, y, options, private=private)
        return encode_sheet(pixels, provenances, suffix, options)

    outputs = [(cell, cell.outputs[0]) for cell in cells if cell and has_picture(cell)]
    return file.combined(outputs, draw)


def sheet_command(run: str, x: Axis, y: Axis, output: str, file_options: Mapping[str, Any]) -> str:
    """Return the command that draws a sheet from the recorded pictures of a run."""
    words = ["muniment", "image", "sheet", "--run", run]
    for option, axis in (("--x", x), ("--y", y)):
        words += [option, axis.name] if axis.name else []
    words += ["--private"] if file_options["private"] else []
    values = {"visible_label": file_options["visible_label"], **file_options["options"]}
    for name, value in values.items():
        words += [f"--{name.replace('_', '-')}", str(value)] if value is not None else []
    return shlex.join([*words, "-o", output])


def _pixels(cells: Cells, x: Axis, y: Axis, options: Any, *, private: bool) -> NDArray[np.uint8]:
    """Return the pixels of a sheet. Raise MunimentError if it would have too many."""
    from muniment_image.pictures import read_picture
    from muniment_image.sheet import contact_sheet

    pictures = [
        read_picture(cell.outputs[0].data) if cell and has_picture(cell) else None for cell in cells
    ]
    height, width = next(pixels.shape[:2] for pixels in pictures if pixels is not None)
    empty = _crossed_out(height, width)
    try:
        return contact_sheet(
            [empty if pixels is None else pixels for pixels in pictures],
            [caption(cell, x, y, private=private) for cell in cells],
            columns=len(x.values) if x.name else options.sheet_columns,
            scale=options.sheet_scale,
            column_titles=x.titles(private=private),
            row_titles=y.titles(private=private),
        )
    except ValueError as error:
        raise muniment.MunimentError(str(error)) from None


def caption(
    cell: muniment.Generation | None, x: Axis, y: Axis, *, private: bool = False
) -> list[str]:
    """Return the lines under a cell: the prompt, the status, the end of the id, and the seed.

    The status is left out of a completed cell, and the prompt and the seed if they are axes. With
    `private`, the prompt is left out, too.
    """
    if cell is None:
        return ["not recorded"]
    lines = [cell.id[-8:]]
    if cell.status != "completed":
        lines.insert(0, cell.status)
    elif not has_picture(cell):
        lines.insert(0, "altered" if cell.altered else "erased" if cell.erased else "no picture")
    if "prompt" not in (x.name, y.name) and not private:
        lines.insert(0, cell.prompt)
    if "seed" not in (x.name, y.name):
        lines.append(f"seed {cell.seed}")
    return lines


def _crossed_out(height: int, width: int) -> NDArray[np.uint8]:
    """Return a light picture with two dark diagonals."""
    import numpy as np

    pixels = np.full((height, width), 230, np.uint8)
    place = np.arange(max(height, width))
    rows, columns = place * height // len(place), place * width // len(place)
    pixels[rows, columns] = pixels[rows, width - 1 - columns] = 90
    return pixels
