"""The command `muniment image augment`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import muniment
from muniment.command import (
    emit,
    emit_one,
    headers_option,
    json_option,
    pass_session,
    progress,
    write_note,
)

from .options import (
    classifier_option,
    count,
    first_seed_option,
    new_folder_option,
    steps_option,
)

if TYPE_CHECKING:
    from muniment_image.classifier import ClassifierConfig
    from muniment_image.datasets import Dataset
    from muniment_image.intervals import Interval

_SCORES = ("blank", "contrast", "label-match", "label-confidence", "novelty")


@click.command
@click.option("-m", "--model", metavar="MODEL", required=True, help="Model that draws.")
@click.option(
    "--per-class",
    type=count(1, 1_000_000),
    metavar="N",
    required=True,
    help="Number of pictures of each label to keep.",
)
@click.option(
    "--keep",
    metavar="CONDITIONS",
    default="blank<1",
    show_default=True,
    help="Conditions that a picture must meet, such as label-confidence>0.8,novelty>0.05.",
)
@classifier_option(
    "Folder of the classifier whose labels are drawn, and which scores label-confidence."
)
@click.option("--data", metavar="FOLDER|DATASET", help="Pictures from which novelty is measured.")
@first_seed_option("the first picture")
@new_folder_option("New folder.")
@click.option("--evaluate", is_flag=True, help="Measure whether the pictures help a classifier.")
@click.option(
    "--real", metavar="FOLDER|DATASET", help="Data of --evaluate that the model was trained on."
)
@click.option(
    "--test", metavar="FOLDER|DATASET", help="Data of --evaluate that no model was trained on."
)
@steps_option(1500, "Training steps of each classifier of --evaluate.")
@click.option(
    "--seeds",
    type=count(2, 11),
    metavar="N",
    default=3,
    show_default=True,
    help="Number of trainings of --evaluate on each kind of data.",
)
@headers_option
@json_option
@pass_session
def augment(
    session: muniment.Session,
    model: str,
    per_class: int,
    keep: str,
    classifier_folder: Path,
    data: str | None,
    seed: int,
    out: Path,
    evaluate: bool,
    real: str | None,
    test: str | None,
    steps: int,
    seeds: int,
    as_json: bool,
) -> int:
    """Draw labelled pictures for a training set, and keep those that meet conditions.

    The folder can be used as data for training. `metadata.jsonl` marks every picture as synthetic
    and names its record. `rejected.jsonl` has the other pictures and the reasons. If no picture is
    kept, the exit code is 1.

    With --evaluate, classifiers are trained on the real, on both and on the synthetic pictures
    alone. A gain whose interval includes 0 is no evidence of a benefit.
    """
    from muniment_image.augmentation import REJECTED, augment as draw, parse_conditions
    from muniment_image.benefit import measure_benefit
    from muniment_image.classifier import load_classifier
    from muniment_image.datasets import read_dataset

    conditions = parse_conditions(keep, _SCORES)
    if any(condition.score == "novelty" for condition in conditions) and data is None:
        raise muniment.UsageError("novelty needs --data, the pictures from which it is measured")
    if evaluate != (real is not None) or evaluate != (test is not None):
        raise muniment.UsageError("--evaluate needs --real and --test, which need --evaluate")
    config = load_classifier(classifier_folder).config
    evaluators = ["image-sanity", f"label-consistency(classifier={classifier_folder})"]
    if data is not None:
        evaluators.append(f"novelty(data={data})")
    datasets = None
    if real is not None and test is not None:
        with progress("reading pictures"):
            datasets = _checked(session, model, config, real, test)
    with progress("drawing", per_class * len(config.labels)) as bar:
        result = draw(
            session,
            model=model,
            labels=config.labels,
            per_class=per_class,
            seed=seed,
            evaluators=evaluators,
            keep=conditions,
            folder=out,
            advance=bar.advance,
        )
    lacking = [label for label in config.labels if result.kept[label] < per_class]
    if lacking:
        write_note(
            f"fewer than {per_class} pictures of {', '.join(lacking)} meet the conditions; "
            "use weaker ones"
        )
    kept, rejected = result.kept.total(), result.rejected.total()
    if not kept:
        write_note(f"no picture was kept; {out / REJECTED} has the reasons")
    if datasets is None or not kept:
        emit_one(
            result,
            [
                ("folder", "folder"),
                ("run", "run_id"),
                ("kept", lambda _: kept),
                ("rejected", lambda _: rejected),
            ],
            as_json,
            to_json=lambda _: result.to_json(),
        )
        return 0 if kept else 1
    write_note(f"kept {kept:,} and rejected {rejected:,} pictures in {out}, run {result.run_id}")
    known, tested = datasets
    synthetic = read_dataset(out, size=config.size, condition="label")
    with progress("training classifiers", 3 * seeds) as bar:
        benefits = measure_benefit(
            known, synthetic, tested, steps=steps, seeds=seeds, advance=bar.advance
        )
    emit(
        benefits,
        [
            ("data", "data"),
            ("pictures", "pictures"),
            ("accuracy", lambda benefit: _shown(benefit.accuracy)),
            ("gain", lambda benefit: "" if benefit.gain is None else _shown(benefit.gain)),
        ],
        as_json,
        to_json=lambda benefit: benefit.to_json(),
    )
    return 0


def _checked(
    session: muniment.Session, model: str, config: ClassifierConfig, real: str, test: str
) -> tuple[Dataset, Dataset]:
    """Return the real and the test pictures. Raise UsageError if they cannot give a benefit."""
    from muniment_image.benefit import check_classes, check_disjoint, check_training_data
    from muniment_image.datasets import read_dataset
    from muniment_image.generator import model_folder

    check_training_data(model_folder(session, model), real)
    known, tested = (
        read_dataset(data, size=config.size, condition="label") for data in (real, test)
    )
    check_disjoint(known, tested)
    check_classes(known, synthetic=config.labels, test=tested.classes)
    return known, tested


def _shown(interval: Interval) -> str:
    return f"{interval.value:.4f} ({interval.low:.4f} to {interval.high:.4f})"
