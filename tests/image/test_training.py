"""The training loop: resuming, failures, and the files that it writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from muniment_image.batches import condition_of
from muniment_image.datasets import Dataset, Item
from muniment_image.model_config import ModelConfig
from muniment_image.training import Options, Outcome, new_family, train

SMALL = {
    "flow": {"width": 8, "blocks": 1, "embedding": 8},
    "vae": {},
    "dcgan": {},
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


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
        folder=Path("data"),
        files=(),
        fingerprints=np.arange(count, dtype=np.uint64),
    )


def config_of(data: Dataset, family: str = "flow", condition: str = "label") -> ModelConfig:
    channels = data.pixels.shape[3]
    network = SMALL[family]
    return ModelConfig(
        family, 8, channels, condition_of(data, condition), network=network, steps=1, batch=4
    )


def run(
    out: Path, steps: int = 6, *, family: str = "flow", condition: str = "label", **options: object
) -> Outcome:
    out.mkdir(exist_ok=True)
    data = make_data()
    names = {"seed": 7, "batch": 5, **options}
    settings = {name: names.pop(name) for name in tuple(names) if name in ("resume", "watcher")}
    model = new_family(config_of(data, family, condition), 7)
    return train(
        model,
        data,
        Options(steps=steps, **names),  # type: ignore[arg-type]
        out,
        samples=2,
        checkpoint_steps=2,
        **settings,  # type: ignore[arg-type]
    )


class StopAfter:
    """A watcher that sends SIGINT to this process after a number of steps."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def advance(self, steps: int) -> None:
        import signal

        self.steps -= steps
        if self.steps == 0:
            signal.raise_signal(signal.SIGINT)

    def note(self, text: str) -> None:
        pass


@pytest.mark.parametrize("condition", ["label", "caption", "none"])
def test_training_resumed_after_a_signal_equals_uninterrupted(
    tmp_path: Path, condition: str
) -> None:
    whole = run(tmp_path / "whole", condition=condition)
    stopped = run(tmp_path / "parts", condition=condition, watcher=StopAfter(3))
    assert (stopped.status, stopped.step) == ("stopped", 3)
    resumed = run(tmp_path / "parts", condition=condition, resume=True)
    assert resumed.status == whole.status == "completed"
    assert resumed.losses == whole.losses
    ours, theirs = resumed.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    checkpoints = [(tmp_path / name / "checkpoint.safetensors") for name in ("whole", "parts")]
    assert checkpoints[0].read_bytes() == checkpoints[1].read_bytes()
