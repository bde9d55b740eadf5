"""Types of values and options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import muniment

FOLDER = click.Path(file_okay=False, path_type=Path)

Decorator = Callable[[Any], Any]


def count(minimum: int = 1, maximum: int = 2**31 - 1) -> click.IntRange:
    """Return the type of a number of things."""
    return click.IntRange(minimum, maximum)


def seed(bits: int = 64) -> click.IntRange:
    """Return the type of a seed."""
    return click.IntRange(0, 2**bits - 1)


def first_seed_option(first: str) -> Decorator:
    """Return the option `--seed` of a command that draws pictures with consecutive seeds."""
    return click.option(
        "--seed",
        type=seed(),
        metavar="N",
        default=0,
        show_default=True,
        help=f"Seed of {first}. The next ones have the next seeds.",
    )


def steps_option(default: int, help: str) -> Decorator:
    """Return the option `--steps` of a command that trains classifiers."""
    return click.option(
        "--steps",
        type=count(1, 1_000_000),
        metavar="N",
        default=default,
        show_default=True,
        help=help,
    )


def classifier_option(help: str) -> Decorator:
    """Return the option `--classifier`, which becomes the argument `classifier_folder`."""
    return click.option(
        "--classifier",
        "classifier_folder",
        metavar="FOLDER",
        type=FOLDER,
        required=True,
        help=help,
    )


def new_folder_option(help: str) -> Decorator:
    """Return the option `--out`, whose folder must not exist."""
    return click.option(
        "--out", metavar="FOLDER", type=FOLDER, required=True, callback=_check_new, help=help
    )


def _check_new(ctx: click.Context, option: click.Parameter, folder: Path) -> Path:
    if folder.exists():
        raise muniment.UsageError(f"{folder} exists; use the path of a new folder")
    return folder
