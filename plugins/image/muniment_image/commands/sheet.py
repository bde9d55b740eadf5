"""The command `muniment image sheet`, which draws a grid of images along one or two axes."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

import click

import muniment
from muniment.command import (
    FileFormat,
    OutputFile,
    file_options,
    json_option,
    new_run,
    overwrite_option,
    pass_session,
    progress,
    write_json,
    write_note,
)
from muniment_image.diffusion.parameters import DiffusersParameters
from muniment_image.media import Png
from muniment_image.parameters import ImageParameters

from .sheet_axes import FIELDS, Axis, check_count, check_name, check_values, placed
from .sheet_file import MEDIA_TYPE, Cells, has_picture, sheet_command, sheet_file

_PARAMETERS: Mapping[str, type[muniment.Parameters]] = {
    "image": ImageParameters,
    "diffusers": DiffusersParameters,
}
_EXIT_CODES = {"completed": 0, "blocked": 3}
_ALTERED = 4  # the exit code of texts or pictures that were changed after they were recorded


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
@click.option("--x", "across", metavar="NAME=VALUES", help="Axis of the columns.")
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
    show_default="image",
    help="Generator of the images.",
)
@click.option("--policy", metavar="FILE", help="Policy file, or name of an installed policy.")
@click.option(
    "--run", metavar="RUN", help="Run whose recorded images are shown, instead of new ones."
)
@click.option("-o", "--output", metavar="FILE", required=True, help="New file to write.")
@overwrite_option
@file_options(Png.Export)
@json_option
@pass_session
def sheet(
    session: muniment.Session,
    prompt: str | None,
    across: str | None,
    down: str | None,
    model: str | None,
    seed: str | None,
    parameters: dict[str, str],
    inputs: dict[str, str],
    generator: str | None,
    policy: str | None,
    run: str | None,
    output: str,
    overwrite: bool,
    file_options: dict[str, Any],
    as_json: bool,
) -> int:
    """Draw a sheet that compares the values of one or two axes.

    An axis is prompt, model, seed or a parameter of the generator, with values between commas:
    `muniment image sheet "red heart" --x guidance=1,2,4 --y seed=1,2,3 -o sheet.png`. Each cell is
    a recorded generation, and all of them are one run. Without an axis of seeds, all cells have the
    same seed. A cell that was blocked or failed is crossed out.

    --run shows the recorded images of a run, for example of a sheet that was ended early. An axis
    is then only a name, as in `--run last --x guidance --y seed`. Without axes, the sheet has all
    images in their order.
    """
    given = {"prompt": prompt, "model": model, "seed": seed, **parameters}
    protected = [path for path in (model, policy, *inputs.values()) if path]
    target = OutputFile(output, overwrite=overwrite, inputs=protected)
    if as_json and target.stdout:
        raise click.UsageError("--json and the sheet both go to standard output; use -o FILE.")
    if across is not None and "sheet_columns" in file_options["options"]:
        raise click.UsageError("--sheet-columns has no effect with --x; remove one.")
    file = FileFormat(lambda: session.media, MEDIA_TYPE, target, combine=True, **file_options)
    private = file_options["private"]
    if run is not None:
        options = {"PROMPT": prompt, "-m": model, "--seed": seed, "-p": parameters}
        options |= {"--input": inputs, "--generator": generator, "--policy": policy}
        for name in filter(options.get, options):
            raise click.UsageError(f"{name} has no effect with --run; remove one.")
        run = session.store.find_run(run)
        cells, x, y = _recorded(session, run, across, down)
        _print_records(cells, as_json)
        if not any(map(has_picture, cells)):
            raise muniment.MunimentError(
                f"run {run} has no image to show; `muniment audit list --run {run}` has its status"
            )
        _write(target, file, cells, x, y, private)
        return max(_ALTERED if cell and cell.altered else 0 for cell in cells)
    if across is None:
        raise click.UsageError("Missing option '--x'; use an axis, as in --x seed=1,2,3.")
    generator = generator or "image"
    x, y = Axis.parse(across), Axis() if down is None else Axis.parse(down)
    for name in filter(None, (x.name, y.name)):
        check_name(name, (*FIELDS, *_PARAMETERS[generator].fields()), f"generator {generator}")
    check_values(x, y, given)
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
    with (
        new_run(session) as new,
        _naming(session, new, sheet_command(new, x, y, output, file_options)),
    ):
        # One batch, so that an invalid value is refused before the first cell is drawn.
        with progress(f"drawing {len(specs)} images"):
            running = session.run(specs, policy=policy, batch_size=len(specs), run_id=new)
            drawn = [cell for cell in running if isinstance(cell, muniment.Generation)]
        write_note(f"run {new}")
        _print_records(drawn, as_json)
        for cell, title in zip(drawn, _titles(x, y), strict=True):
            _report(cell, title)
        if any(map(has_picture, drawn)):
            _write(target, file, drawn, x, y, private)
        else:
            write_note("no sheet was written, because no cell has an image")
    return max((_EXIT_CODES.get(cell.status, 1) for cell in drawn), key=(0, 3, 1).index)


@contextlib.contextmanager
def _naming(session: muniment.Session, run: str, command: str) -> Iterator[None]:
    """Print the command that draws the sheet if the block ends early and images are recorded."""
    try:
        yield
    except (KeyboardInterrupt, muniment.MunimentError):
        query = muniment.Query(run=run, status="completed", limit=1)
        with contextlib.suppress(muniment.MunimentError):  # there is no store yet
            if list(session.generations(query)):
                write_note(f"`{command}` draws the sheet of the recorded images")
        raise


def _recorded(
    session: muniment.Session, run: str, across: str | None, down: str | None
) -> tuple[Cells, Axis, Axis]:
    """Return the generations of a run, in their cells, and the axes. Raise UsageError."""
    if across is None and down is not None:
        raise click.UsageError("--y needs --x, too.")
    generations = list(session.generations(muniment.Query(run=run)))[::-1]  # the oldest first
    if across is None:
        check_count(len(generations))
        return generations, Axis(), Axis()
    x = Axis.recorded(across, generations)
    y = Axis() if down is None else Axis.recorded(down, generations)
    check_values(x, y)
    return placed(generations, x, y), x, y


def _write(
    target: OutputFile, file: FileFormat, cells: Cells, x: Axis, y: Axis, private: bool
) -> None:
    """Write the file of a sheet."""
    content = sheet_file(file, cells, x, y, private=private)
    shown = next(cell for cell in cells if cell and has_picture(cell))
    target.write(content, (), file.written_type(shown.outputs[0]))


def _print_records(cells: Cells, as_json: bool) -> None:
    """Print the records of the cells as JSON, if that is wanted."""
    for cell in filter(None, cells if as_json else ()):
        write_json(cell)


def _spec(
    common: Mapping[str, Any],
    parameters: Mapping[str, str],
    values: Mapping[str, str],
    generator: str,
    inputs: dict[str, str],
) -> muniment.GenerationSpec:
    """Return the request of a cell. `values` has its values of the axes by name."""
    fields = {**common, **{name: values[name] for name in FIELDS if name in values}}
    others = {name: value for name, value in values.items() if name and name not in FIELDS}
    return muniment.GenerationSpec(
        generator=generator, parameters={**parameters, **others}, inputs=inputs, **fields
    )


def _titles(x: Axis, y: Axis) -> Iterator[str]:
    """Yield the values of each cell, such as `guidance=2, seed=1`."""
    for row in y.values:
        for column in x.values:
            yield f"{x.name}={column}" + (f", {y.name}={row}" if y.name else "")


def _report(cell: muniment.Generation, title: str) -> None:
    """Print the reason why a cell has no image."""
    if cell.status != "completed":
        reason = f": {cell.failure.message}" if cell.failure else ""
        write_note(
            f"the cell {title} was {cell.status}{reason}; `muniment audit show {cell.id}` has more"
        )
