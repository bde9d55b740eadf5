"""Types of values and options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Decorator = Callable[[Any], Any]

data_option = click.option(
    "--data",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder with interactions.csv and items.csv, or with atomic files of RecBole.",
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
