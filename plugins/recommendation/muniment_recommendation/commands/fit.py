"""The command `muniment recommendation fit`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import muniment
from muniment.command import emit_one, json_option, pass_session, progress, write_note

from .options import data_option, min_rating_option, new_folder_option

_COLUMNS = (
    ("folder", "folder"),
    ("family", "family"),
    ("users", "users"),
    ("items", "items"),
    ("interactions", "interactions"),
    ("parts", "shown_parts"),
)


@click.command
@click.option(
    "--model",
    "family",
    metavar="FAMILY",
    default="blend",
    show_default=True,
    help="Kind of model: blend, or one of its parts alone (popularity, item-knn, ease, "
    "transitions, als, text, next).",
)
@data_option
@new_folder_option("New folder for the model.")
@click.option(
    "--parts",
    metavar="A,B",
    help="Families of the blend. The default depends on the size of the catalogue.",
)
@click.option(
    "--set",
    "settings",
    metavar="NAME=VALUE",
    multiple=True,
    help="Option of a family, such as factors=128 (may be repeated).",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Seed of the first vectors and of drawn users.",
)
@min_rating_option
@json_option
@pass_session
def fit(
    session: muniment.Session,
    family: str,
    data: Path,
    out: Path,
    parts: str | None,
    settings: tuple[str, ...],
    seed: int,
    min_rating: float | None,
    as_json: bool,
) -> None:
    """Fit a recommendation model to data.

    The last item of each user decides between the values of the parts and their weights. The model
    is then fitted to all of the data. Equal data, options and seed give equal files.

    The training is recorded. The folder has the histories of all users.
    """
    from muniment_recommendation.data.reading import read_data
    from muniment_recommendation.fitted_folder import write_fitted
    from muniment_recommendation.fitting import fit as fit_model, options_from_texts

    options = options_from_texts(family, parts, settings, seed, min_rating)
    if out.exists():
        raise muniment.UsageError(f"{out} exists already; use the path of a new folder")
    with progress("reading data"):
        read = read_data(data, min_rating=min_rating)
    for note in read.notes:
        write_note(note)
    with progress("fitting", 100) as bar:
        done = 0

        def advance(step: str, share: float) -> None:
            nonlocal done
            percent = int(100 * share)
            bar.advance(percent - done)
            done = percent

        model = fit_model(
            read.interactions,
            read.catalogue,
            options,
            data_digest=read.digest,
            progress=advance,
        )
    training = write_fitted(model, out, data=data, files=read.files)
    session.record_training(training, plugin="muniment-recommendation")
    record: dict[str, Any] = {
        "folder": str(out),
        "family": family,
        "users": len(read.interactions.users),
        "items": len(read.catalogue),
        "interactions": len(read.interactions.items),
        "parts": model.tuned,
    }
    shown = ", ".join(f"{part['family']} {part['weight']:g}" for part in model.tuned)
    columns = _COLUMNS if not as_json else [(name, name) for name in record]
    emit_one(record if as_json else {**record, "shown_parts": shown}, columns, as_json)
