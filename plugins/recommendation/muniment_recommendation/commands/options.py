"""Types of values and options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import muniment

if TYPE_CHECKING:
    from muniment_recommendation.fitting import FittedModel

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
min_rating_option = click.option(
    "--min-rating",
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
    from muniment_recommendation.generator import RecommendationGenerator
    from muniment_recommendation.model_folder import load

    return load(Path(session.models.resolve(reference, RecommendationGenerator()).path))
