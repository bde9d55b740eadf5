"""The benefit of synthetic pictures for a classifier, measured on pictures of a test set."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import muniment

from .classifier import ClassifierConfig, examples, train_classifier
from .dataset_folder import listed
from .datasets import Dataset, read_dataset
from .intervals import Interval, mean_interval, to_json
from .model_folder import TRAINING, read_config

SEEDS = range(2, 12)


@dataclass(frozen=True)
class Benefit:
    """The accuracy on test pictures after training on one kind of data, over several seeds.

    `gain` is the accuracy minus that of real pictures with the same seed. It is None for these.
    """

    data: str
    pictures: int
    accuracy: Interval
    gain: Interval | None

    def to_json(self) -> dict[str, Any]:
        """Return the fields, with intervals as objects."""
        return to_json(self)


def check_training_data(model: Path, real: str) -> None:
    """Raise UsageError unless a model was trained on `real` only.

    The digest in `training.json` must be that of all pictures of `real`, or of the first ones of
    them. Only an equal digest shows which pictures were used.
    """
    size = read_config(model).image_size
    try:
        claim = json.loads((model / TRAINING).read_text(encoding="utf-8"))
        count, digest = int(claim["counts"]["examples"]), claim["data_digest"]
    except (OSError, ValueError, KeyError, TypeError):
        raise muniment.UsageError(
            f"the model has no {TRAINING} that tells its training data; "
            "train it with `muniment image train`"
        ) from None
    data = read_dataset(real, size=size, condition="label")
    used = data.subset(range(min(count, len(data))))
    if digest not in (data.digest, used.digest):
        raise muniment.UsageError(
            f"the model was not trained on {real}, or on other pictures too, so a comparison would "
            "credit the augmentation with them; use the data that it was trained on as --real"
        )


def check_disjoint(real: Dataset, test: Dataset) -> None:
    """Raise UsageError if a picture of `test` is one of `real`, too."""
    shared = np.isin(test.fingerprints, real.fingerprints)
    if shared.any():
        first = test.items[int(shared.argmax())].file
        raise muniment.UsageError(
            f"{int(shared.sum())} pictures of the test data, such as {first}, are also in the real "
            "data; remove them from one of the two"
        )


def check_classes(real: Dataset, **classes: Sequence[str]) -> None:
    """Raise UsageError for a class of other data, by their name, that `real` does not have."""
    for name, names in classes.items():
        if unknown := sorted(set(names) - set(real.classes)):
            raise muniment.UsageError(
                f"the class {unknown[0]!r} of the {name} data is not a class of the real data, "
                f"which has {listed(real.classes)}; use other data"
            )


def measure_benefit(
    real: Dataset,
    synthetic: Dataset,
    test: Dataset,
    *,
    steps: int,
    seeds: int,
    advance: Callable[[int], None] = lambda count: None,
) -> list[Benefit]:
    """Return the accuracy of classifiers trained on real, mixed and synthetic pictures.

    All have equal numbers of steps and are trained once with each of the seeds 0, 1, and so on. The
    intervals are those of Student's t over the seeds, so they do not cover another choice of
    pictures. `advance` is called after each training. Raises UsageError for a wrong number of
    seeds, and for labels of `synthetic` or `test` that `real` does not have.
    """
    if seeds not in SEEDS:
        raise muniment.UsageError(f"use {SEEDS.start} to {SEEDS.stop - 1} seeds, not {seeds}")
    check_classes(real, synthetic=synthetic.classes, test=test.classes)
    channels = max(real.pixels.shape[-1], synthetic.pixels.shape[-1])
    config = ClassifierConfig(real.classes, real.pixels.shape[1], channels)
    real_examples, synthetic_examples = examples(real, config), examples(synthetic, config)
    both = tuple(map(torch.cat, zip(real_examples, synthetic_examples, strict=True)))
    tested = examples(test, config)
    kinds = {
        "real": real_examples,
        "real and synthetic": both,
        "synthetic": synthetic_examples,
    }
    accuracies: dict[str, list[float]] = {}
    for name, (images, classes) in kinds.items():
        for seed in range(seeds):
            trained = train_classifier(config, images, classes, steps=steps, seed=seed)
            accuracies.setdefault(name, []).append(trained.accuracy(*tested))
            advance(1)
    return [
        Benefit(
            name,
            len(images),
            mean_interval(accuracies[name]),
            None if name == "real" else _gain(accuracies[name], accuracies["real"]),
        )
        for name, (images, _) in kinds.items()
    ]


def _gain(values: Sequence[float], base: Sequence[float]) -> Interval:
    return mean_interval([value - other for value, other in zip(values, base, strict=True)])
