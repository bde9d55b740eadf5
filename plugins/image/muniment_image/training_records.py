"""The result of a training: the folder of the model, its card, and the training to record."""

from __future__ import annotations

import contextlib
import math
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

import muniment

from . import checkpoints
from .datasets import Dataset
from .environment import facts
from .files import sync_folder
from .model_config import ModelConfig
from .model_folder import save_model
from .progress_files import CURVE, SAMPLES
from .training import Options, Outcome, TrainingError

DISTRIBUTION = "muniment-image"
_MOST_LOSSES = 1000


def finish(outcome: Outcome, dataset: Dataset, options: Options, out: Path) -> muniment.Training:
    """Write the model of a training into its folder, and return the training to record.

    The folder then has `training.json` and a card. The checkpoint of a completed training is
    removed. Raises TrainingError if the disk is full, and keeps the checkpoint.
    """
    model = outcome.model
    parameters = _parameters(outcome, options) if model is not None else {}
    training = muniment.Training(
        model=None if model is None else out,
        status=outcome.status,
        counts={
            "steps": outcome.step,
            "epochs": outcome.step * options.batch // len(dataset),
            "examples": len(dataset),
            "classes": len(dataset.classes),
        },
        parameters=parameters,
        losses=_epoch_losses(outcome, options.batch, len(dataset)),
        data_digest=dataset.digest,
        data_folder=dataset.folder,
        data_files=dataset.files,
        classes=dataset.classes,
        environment=_environment(outcome),
        failure=outcome.failure,
    )
    if model is None:
        return training
    try:
        save_model(model, out, card=card(model.config, training, out))
        muniment.write_training_json(training)
        sync_folder(out)
    except OSError as error:
        raise TrainingError(
            f"the model cannot be written into {out}: {error.strerror}; make space and run the "
            "command again with --resume"
        ) from None
    if outcome.status == "completed":
        with contextlib.suppress(FileNotFoundError):
            (out / checkpoints.FILE).unlink()
    return training


def example(config: ModelConfig, dataset: Dataset, folder: Path) -> str:
    """Return a command that draws from the model in a folder."""
    prompt = ""
    if config.condition.kind == "label":
        prompt = dataset.classes[0]
    elif config.condition.kind == "caption":
        prompt = next(item.captions[0] for item in dataset.items if item.captions)
    words = ["muniment", "generate", "image", *([prompt] if prompt else []), "-m", str(folder)]
    return shlex.join([*words, "-o", "picture.png"])


def card(config: ModelConfig, training: muniment.Training, folder: Path) -> str:
    """Return the card of a model as Markdown. It has no path, so equal trainings have equal cards.

    It shows the curve and the last grid of samples of the folder, if they are there.
    """
    size = f"{config.image_size} x {config.image_size}"
    origin = (
        f"It was trained by muniment-image on {training.counts['examples']:,} pictures "
        f"(digest `{training.data_digest}`), and it draws {_subject(config)}. "
        f"Its training is {training.status} after {training.counts['steps']:,} steps."
    )
    lines = [
        f"# A {config.family} model of pictures of {size} pixels",
        "",
        origin,
        "",
        "```text",
        f"muniment generate image {_prompt(config)}-m FOLDER -o picture.png",
        "```",
        "",
        "The weights are float16 in `model.safetensors`. `training.json` describes the training.",
        "The pictures resemble those of the training data, and the model can repeat one of them.",
        "Whether they may be published depends on the licence of the data.",
        "",
        "| parameter | value |",
        "|---|---|",
        *(f"| {name} | {_cell(value)} |" for name, value in sorted(training.parameters.items())),
        "",
    ]
    grids = sorted((folder / SAMPLES).glob("epoch-*.png"), key=lambda path: (len(path.name), path))
    if grids:
        lines += [f"![samples]({SAMPLES}/{grids[-1].name})", ""]
    if (folder / CURVE).is_file():
        lines += [f"![losses of the training]({CURVE})", ""]
    return "\n".join(lines)


def _subject(config: ModelConfig) -> str:
    match config.condition.kind:
        case "label":
            labels: Any = getattr(config.condition, "labels", ())
            return f"one of {len(labels)} classes: {', '.join(labels)}"
        case "caption":
            return "the subject of a caption"
    return "without a label or a caption"


def _prompt(config: ModelConfig) -> str:
    kind = config.condition.kind
    return "" if kind == "none" else f"{kind.upper()} "


def _cell(value: object) -> str:
    text = ", ".join(value) if isinstance(value, list | tuple) else str(value)
    return text or "none"


def _parameters(outcome: Outcome, options: Options) -> dict[str, Any]:
    assert outcome.model is not None
    config, family = outcome.model.config, type(outcome.model)
    return {
        **asdict(options),
        "augment": list(options.augment),
        "learning_rate": options.learning_rate or family.learning_rate,
        "schedule": family.schedule,
        "family": config.family,
        "condition": config.condition.kind,
        "image_size": config.image_size,
        "channels": config.channels,
        "sampler_steps": config.steps,
        "guidance": config.guidance,
        **{f"network_{name}": size for name, size in outcome.model.network_sizes.items()},
    }


def _environment(outcome: Outcome) -> dict[str, str | int]:
    device = torch.device("cpu") if outcome.model is None else outcome.model.device
    return {**facts(device), "pictures_at_a_time": outcome.batch}


def _epoch_losses(outcome: Outcome, batch: int, count: int) -> list[float]:
    """Return the mean of all losses named `loss`, summed over the parts, of each epoch."""
    curves = [values for name, values in outcome.losses.items() if name.split()[-1] == "loss"]
    sums = np.sum([values[: outcome.step] for values in curves], axis=0) if curves else np.empty(0)
    steps = max(math.ceil(count / batch), math.ceil(len(sums) / _MOST_LOSSES), 1)
    return [float(np.mean(sums[start : start + steps])) for start in range(0, len(sums), steps)]
