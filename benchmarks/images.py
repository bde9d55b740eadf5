"""Measure the price of recorded images beside the bare forward passes of their network.

By turns in one process, 64 images are generated and recorded by a session, and the network of the
same model makes as many forward passes with batches of the same shape: for each step of Heun's
method two, each with and without the condition. Then one image is generated alone, warm.

A ratio is the median of the ratios of the rounds. Prints one JSON line. Without `--model`, which
names the folder of a flow model, a network of the size of `emoji-32` with random weights is used.

    python benchmarks/images.py [--model FOLDER] [--prompt TEXT] [--images N] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import torch

import muniment
from muniment_image.conditions import LabelCondition
from muniment_image.families.flow import Flow
from muniment_image.model_config import ModelConfig
from muniment_image.model_folder import load_model, save_model

LIMITS = {"session ÷ network": 1.5, "one image, seconds": 2.0}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--model", type=Path, default=None, help="Folder of a flow model")
    arguments.add_argument("--prompt", default="thing", help="Prompt that the model knows")
    arguments.add_argument("--images", type=int, default=64)
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or random_model(Path(folder) / "random")
        home = Path(folder) / "home"
        home.mkdir()
        network = Network(model)
        with muniment.Session(home, actor="bench") as session:
            drawer = Drawer(session, str(model), options.prompt)
            drawer.draw(network.rows)
            network.pass_forward(network.rows)
            rounds = []
            for number in range(options.rounds):
                measures = [
                    ("session", lambda: drawer.draw(options.images)),
                    ("network", lambda: network.pass_forward(options.images)),
                    ("one image", lambda: drawer.draw(1)),
                ]
                turns = measures[number % 3 :] + measures[: number % 3]
                rounds.append({name: seconds(turn) for name, turn in turns})
                print(f"round {number + 1}: {rounds[-1]}", file=sys.stderr)
    ratios = {
        kind: [getattr(item["session"], kind) / getattr(item["network"], kind) for item in rounds]
        for kind in ("wall", "processor")
    }
    figures = {
        "benchmark": "images",
        "date": datetime.now(UTC).date().isoformat(),
        "images": options.images,
        "rows": network.rows,
        "steps": network.config.steps,
        "parameters": sum(item.numel() for item in network.family.parameters()),
        "session ÷ network": compared(ratios["wall"]),
        "session ÷ network, processor time": compared(ratios["processor"]),
        "one image, seconds": median(item["one image"].wall for item in rounds),
        "one image, processor seconds": median(item["one image"].processor for item in rounds),
        "images_per_second": round(
            options.images / median(item["session"].wall for item in rounds), 2
        ),
        "limits": LIMITS,
        "threads": torch.get_num_threads(),
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "cores": os.cpu_count(),
    }
    print(json.dumps(figures, ensure_ascii=False))


class Drawer:
    """A session that generates and records images of one prompt, each with a new seed."""

    def __init__(self, session: muniment.Session, model: str, prompt: str) -> None:
        self._session, self._seed = session, 0
        self._fields = {"prompt": prompt, "generator": "image", "model": model}

    def draw(self, count: int) -> None:
        """Generate and record images, all of which must be completed."""
        specs = []
        for _ in range(count):
            self._seed += 1
            specs.append(muniment.GenerationSpec(**self._fields, seed=self._seed))
        for made in self._session.run(specs):
            assert isinstance(made, muniment.Generation)
            assert made.status == "completed", made.failure


class Network:
    """The network of a flow model."""

    def __init__(self, folder: Path) -> None:
        self.family = load_model(folder)
        assert isinstance(self.family, Flow), "only a flow model can be measured"
        self.config = self.family.config
        self.rows = self.config.batch
        fold = self.family.network_sizes["fold"]
        size = self.config.image_size // fold
        guided = 2 if self.config.guidance != 1 and self.config.condition.length else 1
        rows = guided * self.rows
        shape = (rows, self.config.channels * fold**2, size, size)
        ids = torch.ones(rows, self.config.condition.length, dtype=torch.int64)
        images = torch.randn(shape).contiguous(memory_format=torch.channels_last)
        self._arguments = images, torch.full((rows,), 0.5), ids

    def pass_forward(self, count: int) -> None:
        """Make as many forward passes as images of this number need."""
        with torch.inference_mode():
            for _ in range(2 * self.config.steps * math.ceil(count / self.rows)):
                self.family.network(*self._arguments)


def random_model(folder: Path) -> Path:
    """Write a model of the size of `emoji-32` with random weights."""
    config = ModelConfig("flow", 32, 3, LabelCondition(("thing",)), steps=10, guidance=2.0)
    save_model(Flow(config), folder)
    return folder


class Seconds(NamedTuple):
    """The wall time of a turn, and the processor time of all its threads."""

    wall: float
    processor: float


def seconds(turn: Callable[[], None]) -> Seconds:
    """Return the seconds that a call takes."""
    begin, processor = time.perf_counter(), time.process_time()
    turn()
    return Seconds(round(time.perf_counter() - begin, 3), round(time.process_time() - processor, 3))


def median(values: Iterable[float]) -> float:
    """Return the median, to a millisecond."""
    return round(statistics.median(values), 3)


def compared(ratios: Sequence[float]) -> dict[str, Any]:
    """Return the ratios of the rounds and their median."""
    return {"median": median(ratios), "rounds": [round(ratio, 3) for ratio in ratios]}


if __name__ == "__main__":
    main()
