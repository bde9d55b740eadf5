"""The command `muniment image sheet`, which draws a grid of images along one or two axes."""

from __future__ import annotations

import difflib
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import muniment
from muniment.command import (
    OutputFile,
    json_option,
    new_run,
    overwrite_option,
    pass_session,
    progress,
    write_json,
    write_note,
)
from muniment_image.diffusion.parameters import DiffusersParameters
from muniment_image.parameters import ImageParameters

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_CELLS = 200
"""The maximum number of cells, with which the pixels of a sheet are below its limit."""

_LONGEST_TITLE = 40  # characters
_FIELDS = ("prompt", "model", "seed")
"""Axes that are no parameters of the generator."""
_PARAMETERS: Mapping[str, type[muniment.Parameters]] = {
    "image": ImageParameters,
    "diffusers": DiffusersParameters,
}
_EXIT_CODES = {"completed": 0, "blocked": 3}


@dataclass(frozen=True)
class Axis:
    """The values of one field or parameter, as texts between commas, also full-width ones."""

    name: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Axis:
        """Return the axis of a text such as `guidance=1,2,4`. Raise UsageError."""
        name, _, listed = text.partition("=")
        name = name.strip().replace("-", "_")
        values = tuple(value.strip() for value in re.split("[,，]", listed))
        if not name or not all(values):
            raise muniment.UsageError(
                f"{text!r} is not an axis; use a name and values, as in guidance=1,2,4"
            )
        if repeated := [value for value in values if values.count(value) > 1]:
            raise muniment.UsageError(f"{name} has the value {repeated[0]} twice; remove one")
        return cls(name, values)

    @property
    def titles(self) -> list[str]:
        """The titles of the values. One with a character that the font lacks has a number."""
        from muniment_image.sheet import printable

        shown = [Path(value).name if self.name == "model" else value for value in self.values]
        titles = [
            value if len(value) <= _LONGEST_TITLE else f"{value[: _LONGEST_TITLE - 1]}…"
            for value in shown
        ]
        return [
            printable(f"{self.name} {title}") or f"{self.name} #{number}"
            for number, title in enumerate(titles, 1)
        ]


_ONCE = Axis("", ("",))  # in place of the second axis


def _pairs(ctx: click.Context, option: click.Parameter, texts: tuple[str, ...]) -> dict[str, str]:
    """Return texts of the form NAME=VALUE as a mapping."""
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name or not value:
            raise click.BadParameter(f"{text!r} is not of the form name=value.")
        if name in pairs:
            raise click.BadParameter(f"{name} is given twice; remove one.")
        pairs[name] = value
    return pairs


@click.command
@click.argument("prompt", required=False)
@click.option("--x", "across", metavar="NAME=VALUES", required=True, help="Axis of the columns.")
@click.option("--y", "down", metavar="NAME=VALUES", help="Axis of the rows.")
@click.option("-m", "--model", metavar="MODEL", help="Name of an added or packaged model, or path.")
@click.option("--seed", metavar="N", help="Seed of all cells, random if omitted.")
@click.option(
    "-p",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_pairs,
    help="Parameter of all cells (may be repeated).",
)
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=FILE",
    callback=_pairs,
    help="File, or id of a generation, for an input of all cells (may be repeated).",
)
@click.option(
    "--generator",
    type=click.Choice(list(_PARAMETERS)),
    default="image",
    show_default=True,
    help="Generator of the images.",
)
@click.option("--policy", metavar="FILE", help="Policy file, or name of an installed policy.")
@click.option("-o", "--output", metavar="FILE.png", required=True, help="New PNG file to write.")
@overwrite_option
@json_option
@pass_session
def sheet(
    session: muniment.Session,
    prompt: str | None,
    across: str,
    down: str | None,
    model: str | None,
    seed: str | None,
    parameters: dict[str, str],
    inputs: dict[str, str],
    generator: str,
    policy: str | None,
    output: str,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Draw a sheet that compares the values of one or two axes.

    An axis is prompt, model, seed or a parameter of the generator, with values between commas:
    `muniment image sheet "red heart" --x guidance=1,2,4 --y seed=1,2,3 -o sheet.png`. Each cell is
    a recorded generation, and all of them are one run. Without an axis of seeds, all cells have the
    same seed. A cell that was blocked or failed is crossed out.
    """
    x, y = Axis.parse(across), _ONCE if down is None else Axis.parse(down)
    _check_names((x.name, y.name), generator)
    _check_values(x, y, {"prompt": prompt, "model": model, "seed": seed, **parameters})
    if not output.lower().endswith(".png"):
        raise muniment.UsageError(f"cannot write {output}: a sheet is written to a .png file")
    files = [path for path in (model, policy, *inputs.values()) if path]
    target = OutputFile(output, overwrite=overwrite, inputs=files)
    session.media.signer.check(".png")
    common = {
        "prompt": prompt,
        "model": model,
        "seed": secrets.randbits(64) if seed is None else seed,
    }
    specs = [
        _spec(common, parameters, {x.name: column, y.name: row}, generator, inputs)
        for row in y.values
        for column in x.values
    ]
    # One batch, so that an invalid value of the last cell is refused before the first is drawn.
    with new_run(session) as run:
        with progress(f"drawing {len(specs)} images"):
            running = session.run(specs, policy=policy, batch_size=len(specs), run_id=run)
            cells = [cell for cell in running if isinstance(cell, muniment.Generation)]
        write_note(f"run {run}")
        for cell, title in zip(cells, _titles(x, y), strict=True):
            _report(cell, title, as_json)
        if any(cell.status == "completed" for cell in cells):
            target.write(_file(session, cells, x, y), (), "image/png")
        else:
            write_note("no sheet was written, because no cell has an image")
    return max((_EXIT_CODES.get(cell.status, 1) for cell in cells), key=(0, 3, 1).index)


def _check_names(names: Sequence[str], generator: str) -> None:
    """Raise UsageError for an axis that is neither a field nor a parameter of the generator."""
    known = [*_FIELDS, *_PARAMETERS[generator].fields()]
    for name in filter(None, names):
        if name not in known:
            similar = difflib.get_close_matches(name, known)
            hint = f"did you mean {' or '.join(similar)}?" if similar else "use another one"
            raise muniment.UsageError(
                f"{name!r} is not an axis of generator {generator}, which has {', '.join(known)}; "
                f"{hint}"
            )


def _check_values(x: Axis, y: Axis, given: Mapping[str, str | None]) -> None:
    """Raise UsageError for axes of the same name, values given twice and too many cells."""
    if x.name == y.name:
        raise muniment.UsageError(f"both axes are {x.name}; use another one for --y")
    for axis in (x, y):
        if given.get(axis.name) is not None:
            raise muniment.UsageError(
                f"{axis.name} is an axis and has another value, too; remove that value"
            )
    count = len(x.values) * len(y.values)
    if count > MAX_CELLS:
        raise muniment.UsageError(f"the sheet would have {count:,} cells; use at most {MAX_CELLS}")


def _spec(
    common: Mapping[str, Any],
    parameters: Mapping[str, str],
    values: Mapping[str, str],
    generator: str,
    inputs: dict[str, str],
) -> muniment.GenerationSpec:
    """Return the request of a cell. `values` has its values of the axes by name."""
    fields = {**common, **{name: values[name] for name in _FIELDS if name in values}}
    others = {name: value for name, value in values.items() if name and name not in _FIELDS}
    return muniment.GenerationSpec(
        generator=generator, parameters={**parameters, **others}, inputs=inputs, **fields
    )


def _titles(x: Axis, y: Axis) -> Iterator[str]:
    """Yield the values of each cell, such as `guidance=2, seed=1`."""
    for row in y.values:
        for column in x.values:
            yield f"{x.name}={column}" + (f", {y.name}={row}" if y.name else "")


def _report(cell: muniment.Generation, title: str, as_json: bool) -> None:
    """Print the record of a cell, and the reason why it has no image."""
    if as_json:
        write_json(cell)
    if cell.status != "completed":
        reason = f": {cell.failure.message}" if cell.failure else ""
        write_note(
            f"the cell {title} was {cell.status}{reason}; `muniment audit show {cell.id}` has more"
        )


def _file(
    session: muniment.Session, cells: Sequence[muniment.Generation], x: Axis, y: Axis
) -> bytes:
    """Return the PNG file of a sheet, with the provenance of each image, and signed.

    Raises MunimentError if it would have too many pixels.
    """
    from muniment_image import formats
    from muniment_image.pictures import read_picture
    from muniment_image.sheet import contact_sheet

    drawn = [cell for cell in cells if cell.status == "completed"]
    pictures = {cell.id: read_picture(cell.outputs[0].data) for cell in drawn}
    height, width = next(iter(pictures.values())).shape[:2]
    empty = _crossed_out(height, width)
    try:
        pixels = contact_sheet(
            [pictures.get(cell.id, empty) for cell in cells],
            [_caption(cell, x, y) for cell in cells],
            columns=len(x.values),
            column_titles=x.titles,
            row_titles=y.titles if y.name else (),
        )
    except ValueError as error:
        raise muniment.MunimentError(
            f"{error}; run `muniment audit list --run {cells[0].run_id}` for the images"
        ) from None
    signer = session.media.signer
    provenances = [signer.provenance(cell) for cell in drawn]
    file = formats.encode(pixels, ".png", provenances)
    return signer.sign(file, ".png", provenances, drawn, write_note)


def _caption(cell: muniment.Generation, x: Axis, y: Axis) -> list[str]:
    """Return the lines under a cell: the prompt, the status, the end of the id, and the seed.

    The status is left out of a completed cell, and the prompt and the seed if they are axes.
    """
    lines = [cell.id[-8:]]
    if cell.status != "completed":
        lines.insert(0, cell.status)
    if "prompt" not in (x.name, y.name):
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
