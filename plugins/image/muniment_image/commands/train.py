"""The command `muniment image train`."""

from __future__ import annotations

import math
from typing import Any, get_args

import click

import muniment
from muniment.command import json_option, pass_session
from muniment_image.conditions import ConditionKind
from muniment_image.model_config import FAMILIES
from muniment_image.training_options import AUGMENTATIONS, Precision

from .options import FOLDER, count, seed


class _Number(click.FloatRange):
    """A number in a range, in which click would allow NaN."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


@click.command
@click.option(
    "--data",
    metavar="FOLDER|DATASET",
    help="Folder of pictures, IDX file of pictures, or the word fashion-mnist.",
)
@click.option(
    "--out",
    metavar="FOLDER",
    required=True,
    type=FOLDER,
    help="New folder for the model, or that of the training to resume.",
)
@click.option(
    "--family",
    type=click.Choice(FAMILIES),
    default="flow",
    show_default=True,
    help="Kind of model.",
)
@click.option(
    "--condition",
    type=click.Choice(get_args(ConditionKind)),
    help="Text that the model draws from. The default is what the data has.",
)
@click.option(
    "--image-size",
    metavar="N",
    type=int,
    default=32,
    show_default=True,
    help="Width and height of pictures in pixels.",
)
@click.option("--epochs", type=count(), metavar="N", help="Number of passes over the data.")
@click.option(
    "--steps",
    type=count(),
    metavar="N",
    help="Number of updates of the weights, 10,000 by default.",
)
@click.option(
    "--seed",
    type=seed(),
    metavar="N",
    help="0 to 2^64-1, random if omitted.",
)
@click.option(
    "--batch",
    type=count(2),
    metavar="N",
    default=64,
    show_default=True,
    help="Number of pictures in a step.",
)
@click.option(
    "--learning-rate",
    type=_Number(0, 1, min_open=True),
    metavar="RATE",
    help="Highest learning rate. The default depends on the family.",
)
@click.option(
    "--ema",
    type=_Number(0, 1, max_open=True),
    metavar="DECAY",
    default=0.999,
    show_default=True,
    help="Decay of the moving average of the weights.",
)
@click.option(
    "--clip",
    type=_Number(0, 1e9),
    metavar="NORM",
    default=1.0,
    show_default=True,
    help="Maximum norm of the gradients, 0 for none.",
)
@click.option(
    "--augment",
    type=click.Choice(AUGMENTATIONS),
    multiple=True,
    help="Random change of the pictures (may be repeated).",
)
@click.option(
    "--network",
    metavar="NAME=N",
    multiple=True,
    help="Size of the network, such as width=32 (may be repeated).",
)
@click.option(
    "--precision",
    type=click.Choice(get_args(Precision)),
    help="Numbers in the layers. The default is bfloat16 where the device has it.",
)
@click.option(
    "--sampler-steps",
    type=count(1, 1000),
    metavar="N",
    default=10,
    show_default=True,
    help="Default of --steps for generations with the model.",
)
@click.option(
    "--guidance",
    type=_Number(0, 100),
    metavar="G",
    help="Default of --guidance for generations with the model.",
)
@click.option(
    "--device",
    type=click.Choice(("cpu", "cuda")),
    help="Processor. The default is cuda where there is one.",
)
@click.option(
    "--samples",
    type=count(0, 1024),
    metavar="N",
    default=32,
    show_default=True,
    help="Number of pictures in the grid of each epoch.",
)
@click.option(
    "--checkpoint-steps",
    type=count(),
    metavar="N",
    default=200,
    show_default=True,
    help="Number of steps between checkpoints.",
)
@click.option(
    "--tensorboard",
    metavar="FOLDER",
    type=FOLDER,
    help="Folder for logs that TensorBoard shows.",
)
@click.option("--resume", is_flag=True, help="Continue the training in --out.")
@json_option
@pass_session
def train(session: muniment.Session, as_json: bool, **values: Any) -> None:
    """Train an image model on your own pictures.

    The data is a folder with one folder of pictures for each class, or a folder with
    `metadata.jsonl`. The lines of that file have `file_name`, and `label` or `caption`. All
    pictures are checked first, cut to a square and resized. A file `words.txt` in the folder makes
    the words in each of its lines synonyms, and captions have no other words.

    Ctrl-C writes a checkpoint and ends the training. `--resume --out FOLDER` continues it with the
    options and the data that it was started with, and the result is that of an uninterrupted one.

    The training is recorded. The folder has the model, its losses and samples.
    """
    from .train_run import run

    run(session, click.get_current_context(), values, as_json=as_json)
