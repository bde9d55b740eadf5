"""Measure image models with labels against each other, at the default settings of each.

Each model draws the same labels with the same seeds. The features are those of a classifier that
no model, sampler setting or other measure was chosen with. Distances compare half of the real
pictures with as many generated ones, and the floor compares it with the other half. The interval of
the distance between two models resamples their pictures, at the same positions in both.

Prints one JSON line for each model, the first of which is compared with the others.

    python benchmarks/image_quality.py MODEL [MODEL ...] --classifier FOLDER --data TEST
        --training DATA [--number N] [--resamples N]
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

import muniment
from muniment_image.classifier import Classifier, load_classifier
from muniment_image.conditions import LabelCondition
from muniment_image.datasets import read_dataset
from muniment_image.intervals import bootstrap
from muniment_image.measures import frechet_distance
from muniment_image.model_folder import read_config
from muniment_image.quality import PictureSet, measure_quality, picture_set
from muniment_image.tensors import image_tensor


class Drawn(NamedTuple):
    """The pictures of a model and the seconds that they took."""

    name: str
    pictures: PictureSet
    seconds: float


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("models", type=Path, nargs="+", help="Folders of models")
    arguments.add_argument("--classifier", type=Path, required=True, help="Folder of the judge")
    arguments.add_argument("--data", required=True, help="Pictures that nothing was trained on")
    arguments.add_argument("--training", required=True, help="Pictures the models were trained on")
    arguments.add_argument("--number", type=int, default=10_000)
    arguments.add_argument("--resamples", type=int, default=200)
    options = arguments.parse_args()
    judge = load_classifier(options.classifier)
    real = read_dataset(options.data, size=judge.config.size, condition="label")
    training = read_dataset(options.training, size=judge.config.size, condition="label")
    features = judge.features(image_tensor(real.pixels, judge.config.channels))
    reference = features[: len(features) // 2]
    first: Tensor | None = None
    for model in options.models:
        drawn = draw(model, options.number, judge.config.size)
        quality = measure_quality(drawn.pictures, real, judge, training)
        own = judge.features(image_tensor(drawn.pictures.pixels, judge.config.channels))
        record = {
            "benchmark": "image_quality",
            "date": datetime.now(UTC).date().isoformat(),
            "model": drawn.name,
            **quality.to_json(),
            "fd_ratio": quality.fd / quality.fd_floor,
            "judge_accuracy": accuracy(judge, real),
            "seconds": round(drawn.seconds),
        }
        if first is None:
            first = own
        else:
            low, high = advantage(first, own, reference, options.resamples)
            record["fd_minus_first"] = {"low": low, "high": high}
        print(json.dumps(record), flush=True)


def draw(model: Path, number: int, size: int) -> Drawn:
    """Return pictures of all labels of a model by turns, recorded in a temporary home."""
    condition = read_config(model).condition
    assert isinstance(condition, LabelCondition), "only a model with labels can be measured"
    labels = itertools.islice(itertools.cycle(condition.labels), number)
    specs = (
        muniment.GenerationSpec(label, "image", str(model), seed=seed)
        for seed, label in enumerate(labels)
    )
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        (home / "config.toml").write_text('policy = "none"\n', encoding="utf-8")
        with muniment.Session(home, actor="bench") as session:
            pictures = picture_set(_completed(session, specs), size)
    return Drawn(model.resolve().name, pictures, time.perf_counter() - start)


def _completed(
    session: muniment.Session, specs: Iterator[muniment.GenerationSpec]
) -> Iterator[muniment.Generation]:
    for count, generation in enumerate(session.run(specs, evaluate=[], batch_size=256), start=1):
        assert isinstance(generation, muniment.Generation)
        assert generation.status == "completed", generation.failure
        if count % 1000 == 0:
            print(f"{count:,} drawn", file=sys.stderr)
        yield generation


def advantage(first: Tensor, other: Tensor, real: Tensor, resamples: int) -> tuple[float, float]:
    """Return the 95 % interval of the other model's distance minus the first one's."""
    count = min(len(first), len(other), len(real))

    def difference(rows: Tensor) -> float:
        return frechet_distance(other[rows], real) - frechet_distance(first[rows], real)

    return bootstrap(difference, count, resamples=resamples)


def accuracy(judge: Classifier, real: object) -> float:
    """Return the share of real pictures that the judge recognises."""
    from muniment_image.classifier import examples

    return judge.accuracy(*examples(real, judge.config))  # type: ignore[arg-type]


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
