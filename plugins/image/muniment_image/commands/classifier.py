"""The command `muniment image classifier`."""

from __future__ import annotations

from pathlib import Path

import click

import muniment
from muniment.command import emit_one, json_option, pass_session, progress

from . import options


@click.command
@click.option(
    "--data",
    metavar="FOLDER|DATASET",
    required=True,
    help="Pictures with labels, in a folder or the word fashion-mnist.",
)
@click.option(
    "--test", metavar="FOLDER|DATASET", help="Other pictures with labels, for the accuracy."
)
@click.option(
    "--size",
    type=options.count(8, 256),
    metavar="N",
    default=28,
    show_default=True,
    help="Width and height of the pictures that it reads, in pixels.",
)
@options.steps_option(3000, "Number of training steps.")
@click.option(
    "--seed",
    type=options.seed(bits=32),
    metavar="N",
    default=0,
    show_default=True,
    help="Seed of the first weights and of the order of the pictures.",
)
@options.new_folder_option("New folder for the classifier.")
@json_option
@pass_session
def classifier(
    session: muniment.Session,
    data: str,
    test: str | None,
    size: int,
    steps: int,
    seed: int,
    out: Path,
    as_json: bool,
) -> None:
    """Train a classifier of pictures, which measures need.

    `muniment image measure`, `muniment image augment` and the evaluator `label-consistency` use it.
    The training is put on record.
    """
    from muniment_image.classifier import (
        ClassifierConfig,
        examples,
        save_classifier,
        train_classifier,
    )
    from muniment_image.datasets import read_dataset

    with progress("reading pictures"):
        pictures = read_dataset(data, size=size, condition="label")
        tested = None if test is None else read_dataset(test, size=size, condition="label")
    unknown = set() if tested is None else set(tested.classes) - set(pictures.classes)
    if unknown:
        raise muniment.UsageError(
            f"the class {min(unknown)!r} of {test} is not a class of {data}; remove it"
        )
    config = ClassifierConfig(pictures.classes, size, pictures.pixels.shape[-1])
    images, classes = examples(pictures, config)
    with progress("training the classifier", steps) as bar:
        trained = train_classifier(
            config, images, classes, steps=steps, seed=seed, progress=lambda step: bar.advance(1)
        )
    save_classifier(trained, out)
    training = muniment.Training(
        model=out,
        counts={"steps": steps, "examples": len(pictures), "classes": len(pictures.classes)},
        parameters={"seed": seed, "size": size},
        data_digest=pictures.digest,
        data_folder=pictures.folder,
        classes=pictures.classes,
    )
    muniment.write_training_json(training)
    session.record_training(training, plugin="muniment-image")
    record = {"folder": str(out), "pictures": len(pictures), "classes": len(pictures.classes)}
    if tested is not None:
        record["accuracy"] = trained.accuracy(*examples(tested, config))
    emit_one(record, [(name, name) for name in record], as_json)
