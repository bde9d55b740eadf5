"""A small classifier of pictures, for measures and for the choice of synthetic pictures.

Its penultimate layer gives the features of the Fréchet distance, precision and recall. A model
folder has `classifier.json` (labels and sizes) and `classifier.safetensors`.

    images [N, C, S, S] in [-1, 1]
      └─ 2 x (convolution 3x3, SiLU, maximum of 2x2) ─→ [N, 2w, S/4, S/4]
      └─ mean over 7x7 regions ──────────────────────→ [N, 2w, 7, 7]
      └─ linear layer, SiLU ─────────────────────────→ features [N, 128]
      └─ linear layer ───────────────────────────────→ logits [N, labels]
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional

import muniment

from .conditions import normalise
from .datasets import Dataset
from .files import write_file
from .tensors import image_tensor

CONFIG, WEIGHTS = "classifier.json", "classifier.safetensors"
FORMAT = "muniment-image-classifier/1"
FEATURES = 128
_REGIONS = 7  # rows and columns of the regions whose means are read
_BATCH = 500  # pictures of one forward pass without gradients
_MAX_SIZE, _MAX_LABELS, _MAX_WIDTH = 1024, 100_000, 1024


@dataclass(frozen=True)
class ClassifierConfig:
    """The shape of a classifier.

    Attributes:
        labels: The names of the classes.
        size: The width and height of the pictures that it reads.
        channels: 1 for grey pictures or 3 for colours.
        width: The number of channels of the first layer, at most 1024.
    """

    labels: tuple[str, ...]
    size: int
    channels: int
    width: int = 32

    def position(self, text: str) -> int | None:
        """Return the position of the label that a text names, or None.

        Case, width and repeated spaces are ignored, as by a model with labels.
        """
        return self._positions.get(normalise(text))

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {normalise(label): position for position, label in enumerate(self.labels)}


class Classifier(nn.Module):
    """A convolutional network without batch normalisation, so that rows of a batch do not mix."""

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__()
        self.config = config
        self.first = nn.Conv2d(config.channels, config.width, 3, padding=1)
        self.second = nn.Conv2d(config.width, 2 * config.width, 3, padding=1)
        self.hidden = nn.Linear(2 * config.width * _REGIONS**2, FEATURES)
        self.output = nn.Linear(FEATURES, len(config.labels))

    def _hidden(self, images: Tensor) -> Tensor:
        """Return the features [N, 128] of images [N, C, S, S]."""
        values = functional.max_pool2d(functional.silu(self.first(images)), 2)
        values = functional.max_pool2d(functional.silu(self.second(values)), 2)
        values = functional.adaptive_avg_pool2d(values, _REGIONS)
        return functional.silu(self.hidden(values.flatten(1)))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits [N, labels] of images [N, C, S, S] in [-1, 1]."""
        logits: Tensor = self.output(self._hidden(images))
        return logits

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Return the features [N, 128] of images [N, C, S, S] in [-1, 1]."""
        return torch.cat([self._hidden(batch) for batch in images.split(_BATCH)])

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """Return the probabilities [N, labels] of the classes."""
        return torch.cat([self(batch).softmax(dim=1) for batch in images.split(_BATCH)])

    def accuracy(self, images: Tensor, classes: Tensor) -> float:
        """Return the share of images [N, C, S, S] whose class [N] is the most probable one."""
        return (self.probabilities(images).argmax(dim=1) == classes).double().mean().item()


def examples(dataset: Dataset, config: ClassifierConfig) -> tuple[Tensor, Tensor]:
    """Return the pictures [N, C, S, S] of a data set with labels, and their classes [N].

    Every label must be one of the configuration's.
    """
    positions = {label: position for position, label in enumerate(config.labels)}
    classes = [positions[item.label] for item in dataset.items if item.label is not None]
    return image_tensor(dataset.pixels, config.channels), torch.tensor(classes)


def train_classifier(
    config: ClassifierConfig,
    images: Tensor,
    classes: Tensor,
    *,
    steps: int,
    seed: int,
    batch: int = 128,
    progress: Callable[[int], None] = lambda step: None,
) -> Classifier:
    """Return a classifier trained on images [N, C, S, S] in [-1, 1] with classes [N].

    AdamW with a cosine schedule. Everything depends on `seed` only. `progress` is called with the
    number of steps done. Raises UsageError when there is nothing to learn or the loss is not a
    number.
    """
    if len(config.labels) < 2:
        raise muniment.UsageError("a classifier needs at least two classes; add another class")
    if len(images) == 0:
        raise muniment.UsageError("a classifier needs pictures; the data set is empty")
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # the layers draw their first weights from the global generator
        classifier = Classifier(config)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=2e-3, weight_decay=0.05)
    classifier.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * 0.5 * (1 + math.cos(math.pi * step / steps))
        chosen = torch.randint(len(images), (batch,), generator=generator)
        logits = classifier(images[chosen])
        loss = functional.cross_entropy(logits, classes[chosen], label_smoothing=0.05)
        if not math.isfinite(loss.item()):
            raise muniment.UsageError("the classifier's loss is not a number; check the pictures")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        progress(step + 1)
    return classifier.eval()


def save_classifier(classifier: Classifier, folder: Path) -> None:
    """Write a classifier to a folder, which is created if it is missing. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.contiguous() for name, value in classifier.state_dict().items()}
    write_file(folder / WEIGHTS, save(weights))
    config = {"format": FORMAT, **asdict(classifier.config)}
    text = json.dumps(config, ensure_ascii=False, indent=2)
    write_file(folder / CONFIG, f"{text}\n".encode())


def load_classifier(folder: Path) -> Classifier:
    """Return the classifier of a folder.

    Raises ModelError if the folder has no classifier, or if its weights do not fit.
    """
    try:
        config = _checked(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
        classifier = Classifier(config)
        classifier.load_state_dict(load_file(folder / WEIGHTS))
    except FileNotFoundError as error:
        raise muniment.ModelError(
            folder.name,
            f"{folder.name} has no {Path(error.filename or WEIGHTS).name}; "
            "make a classifier with `muniment image classifier`",
        ) from None
    except (OSError, ValueError, SafetensorError, RuntimeError):
        raise muniment.ModelError(
            folder.name,
            f"{CONFIG} or {WEIGHTS} of {folder.name} is damaged or of another format; "
            "make the classifier again",
        ) from None
    if not all(torch.isfinite(value).all() for value in classifier.state_dict().values()):
        raise muniment.ModelError(
            folder.name, f"{folder.name} has weights that are not numbers; make it again"
        )
    return classifier.eval()


def _checked(config: object) -> ClassifierConfig:
    """Return the configuration that `classifier.json` describes. Raise ValueError if it cannot."""
    match config:
        case {
            "format": str(form),
            "labels": list(labels),
            "size": int(size),
            "channels": int(channels),
            "width": int(width),
        } if (
            form == FORMAT
            and 2 <= len(labels) <= _MAX_LABELS
            and all(isinstance(label, str) for label in labels)
            and 8 <= size <= _MAX_SIZE
            and channels in (1, 3)
            and 1 <= width <= _MAX_WIDTH
        ):
            return ClassifierConfig(tuple(labels), size, channels, width)
        case _:
            raise ValueError(f"no configuration of the format {FORMAT}")
