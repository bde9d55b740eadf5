"""Small data sets and trainings of tiny models, made on the spot."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np

from muniment_image.dataset_conditions import condition_of
from muniment_image.dataset_folder import Item
from muniment_image.datasets import Dataset
from muniment_image.model_config import ModelConfig
from muniment_image.training import Outcome, new_family, train
from muniment_image.training_options import Options

NETWORKS = {
    "flow": {"width": 8, "blocks": 1, "embedding": 8},
    "vae": {"width": 4, "latent": 4, "embedding": 4},
    "dcgan": {"width": 4, "latent": 4, "embedding": 4},
}


def make_data(count: int = 12, *, channels: int = 3, classes: int = 2) -> Dataset:
    rng = np.random.default_rng(0)
    names = tuple(f"class {number}" for number in range(classes))
    return Dataset(
        pixels=rng.integers(0, 256, (count, 8, 8, channels), dtype=np.uint8),
        items=tuple(
            Item(f"{number}.png", names[number % classes], (f"red {number}", f"红 {number}"))
            for number in range(count)
        ),
        classes=names,
        folder=Path("/pictures/of/mine"),
        files=(),
        fingerprints=np.arange(count, dtype=np.uint64),
    )


def config_of(data: Dataset, family: str = "flow", condition: str = "label") -> ModelConfig:
    return ModelConfig(
        family,
        8,
        data.pixels.shape[3],
        condition_of(data, condition),
        network=NETWORKS[family],
        steps=1,
        batch=4,
    )


class Watcher:
    """A watcher that collects notes, and can send a signal to this process after some steps."""

    def __init__(self, stop_after: int = -1, number: int = signal.SIGINT) -> None:
        self.steps, self.stop_after, self.number = 0, stop_after, number
        self.notes: list[str] = []

    def advance(self, steps: int) -> None:
        self.steps += steps
        if self.steps == self.stop_after:
            signal.raise_signal(self.number)

    def note(self, text: str) -> None:
        self.notes.append(text)


def run(
    out: Path,
    *,
    family: str = "flow",
    condition: str = "label",
    data: Dataset | None = None,
    watcher: Watcher | None = None,
    resume: bool = False,
    log: Any = None,
    **options: Any,
) -> Outcome:
    """Train a tiny model for six steps."""
    out.mkdir(exist_ok=True)
    data = data or make_data()
    return train(
        new_family(config_of(data, family, condition), 7),
        data,
        Options(**{"steps": 6, "seed": 7, "batch": 5, **options}),
        out,
        resume=resume,
        samples=3,
        checkpoint_steps=2,
        watcher=watcher or Watcher(),
        log=log,
    )


def weights(outcome: Outcome) -> dict[str, Any]:
    assert outcome.model is not None
    return {name: tensor.tolist() for name, tensor in outcome.model.state_dict().items()}
