"""Types of values and options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import muniment
from muniment.command import write_note

if TYPE_CHECKING:
    from muniment_recommendation.fitting.fitted_model import FittedModel
    from muniment_recommendation.fitting.options import FitOptions

Decorator = Callable[[Any], Any]

data_option = click.option(
    "--data",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder with interactions.csv and items.csv, or with atomic files of RecBole.",
)
model_option = click.option(
    "-m",
    "--model",
    metavar="MODEL",
    required=True,
    help="Folder of a fitted model, or name of an added one.",
)
family_or_folder_option = click.option(
    "-m",
    "--model",
    metavar="MODEL",
    required=True,
    help="Name of a family, or name or folder of a model whose family and explicit options are "
    "used. Of a folder named like a family, the path ./NAME.",
)
min_rating_option = click.option(
    "--min-rating",
    metavar="X",
    type=float,
    help="Lowest rating of a positive row. Every row is positive by default.",
)


def new_folder_option(help: str) -> Decorator:
    """Return the option `--out`, whose folder must not exist."""
    return click.option(
        "--out", metavar="FOLDER", type=click.Path(path_type=Path), required=True, help=help
    )


def load_model(session: muniment.Session, reference: str) -> FittedModel:
    """Return the model of a folder or a name. Raise ModelError or UnknownNameError."""
    from muniment_recommendation.model_folder.reading import load

    return load(model_folder_of(session, reference))


def model_folder_of(session: muniment.Session, reference: str) -> Path:
    """Return the folder of a model by its path or name. Raise ModelError or UnknownNameError."""
    from muniment_recommendation.generator import RecommendationGenerator

    return Path(session.models.resolve(reference, RecommendationGenerator()).path)


def fit_options_of(session: muniment.Session, model: str, seed: int | None) -> FitOptions:
    """Return the options of a family's name, or the explicit options of a model's fit.

    Raises ModelError, or UsageError for an unknown name.
    """
    from muniment_recommendation.fitting.options import FitOptions
    from muniment_recommendation.model_folder.files import read_config
    from muniment_recommendation.models import blend
    from muniment_recommendation.models.families import FAMILIES

    families = (blend.FAMILY, *FAMILIES)
    if model in families:
        if Path(model).is_dir():
            write_note(f"{model} is read as the family; use ./{model} for the folder")
        return FitOptions(model, seed or 0)
    try:
        folder = model_folder_of(session, model)
    except muniment.UnknownNameError as error:
        names = ", ".join(families)
        raise muniment.UsageError(f"{error}, or the name of a family: {names}") from None
    options = read_config(folder).fit_options
    return options if seed is None else replace(options, seed=seed)
