"""The command `muniment recommendation fit`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click

import muniment
from muniment.command import emit_one, json_option, pass_session, progress, write_note

from .fit_steps import data_to_fit, fit_with_progress
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
    metavar="N",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Seed of the first vectors and of drawn users.",
)
@min_rating_option
@click.option(
    "--feedback",
    is_flag=True,
    help="Recorded feedback as further data: likes, clicks, purchases and dislikes.",
)
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
    feedback: bool,
    as_json: bool,
) -> None:
    """Fit a recommendation model to data.

    The last item of each user decides between the values of the parts and their weights. The model
    is then fitted to all of the data. Equal data, options and seed give equal files.

    --feedback adds the recorded feedback on lists and generations. A click, like or
    purchase, and a rating of up, 4 or 5, is a positive row. A dislike, and a rating of down, 1 or
    2, excludes the item for the user. The user is the --user of the list, else the actor of the
    feedback. Feedback without --item is about the generation as an item. Erased and blocked
    generations do not count.

    The training is recorded. The folder has the histories of all users.
    """
    from muniment_recommendation.data.tables import read_tables
    from muniment_recommendation.fitting.options import options_from_texts
    from muniment_recommendation.model_folder.writing import write_fitted

    options = options_from_texts(family, parts, settings, seed, min_rating, feedback=feedback)
    if out.exists():
        raise muniment.UsageError(f"{out} exists already; use the path of a new folder")
    with progress("reading data"):
        read, added = data_to_fit(session, read_tables(data), options)
    if len(read.catalogue) == 1:
        raise muniment.UsageError(
            f"{data} has one item, so a model would recommend nothing; add rows of other items"
        )
    for note in read.notes:
        write_note(note)
    model = fit_with_progress(read, options)
    training = write_fitted(model, out, data=data, files=read.files, feedback=added)
    try:
        session.record_training(training, plugin="muniment-recommendation")
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)  # so that the command can be repeated
        raise
    session.release_models()  # an earlier model of this path may be loaded
    record: dict[str, Any] = {
        "folder": str(out),
        "family": family,
        "users": len(read.interactions.users),
        "items": len(read.catalogue),
        "interactions": len(read.interactions.items),
        "parts": model.tuned,
        **({} if added is None else {"feedback": added}),
    }
    shown = ", ".join(f"{part['family']} {part['weight']:g}" for part in model.tuned)
    columns = _COLUMNS if not as_json else [(name, name) for name in record]
    emit_one(record if as_json else {**record, "shown_parts": shown}, columns, as_json)
