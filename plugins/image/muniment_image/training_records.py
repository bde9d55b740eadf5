"""The result of a training: the folder of the model, its card, and the training to record."""

from __future__ import annotations

import math
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

import muniment

from . import checkpoints
from .conditions import CaptionCondition, LabelCondition
from .datasets import Dataset
from .environment import facts
from .families.base import Family
from .model_config import ModelConfig
from .model_folder import save_model
from .progress_files import CURVE, SAMPLES
from .training import Outcome, TrainingError
from .training_options import Options

DISTRIBUTION = "muniment-image"
_MOST_LOSSES = 1000


def finish(
    outcome: Outcome, family: Family, dataset: Dataset, options: Options, out: Path
) -> muniment.Training:
    """Write the model of a training into its folder, and return the training to record.

    `family` is the model that was trained. The folder then has `training.json` and a card. Raises
    TrainingError if the disk is full. The checkpoint stays in the folder: that of a completed
    training is to be removed after the training is recorded.
    """
    model = outcome.model
    is_complete = outcome.status == "completed"
    training = muniment.Training(
        model=None if model is None else out,
        status=outcome.status,
        counts={
            "steps": outcome.step,
            "epochs": outcome.step * options.batch // len(dataset),
            "examples": len(dataset),
            "classes": len(dataset.classes),
        },
        parameters=_parameters(family, options),
        losses=_epoch_losses(outcome, options.batch, len(dataset)),
        data_digest=dataset.digest,
        data_folder=dataset.folder,
        data_files=dataset.files,
        classes=dataset.classes,
        environment={**facts(family.device), "pictures_at_a_time": outcome.batch},
        failure=outcome.failure,
        temporary_files=(checkpoints.FILE,) if is_complete else (),
    )
    if model is None:
        return training
    try:
        text = card(model.config, training, out)
        save_model(model, out, card=text, half=_fits_float16(model))
        muniment.write_training_json(training)
        muniment.sync_folder(out)
    except OSError as error:
        advice = "make space"
        if (out / checkpoints.FILE).exists():
            advice += ", and continue from the checkpoint with --resume"
        raise TrainingError(
            f"the model cannot be written into {out}: {error.strerror}; {advice}"
        ) from None
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
        "The weights are in `model.safetensors`, and `training.json` describes the training.",
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


def _fits_float16(model: Family) -> bool:
    """Return whether all weights are within the range of float16."""
    largest = torch.finfo(torch.float16).max
    return all(tensor.abs().max() <= largest for tensor in model.state_dict().values())


def _subject(config: ModelConfig) -> str:
    match config.condition:
        case LabelCondition(labels):
            return f"one of {len(labels)} classes: {', '.join(labels)}"
        case CaptionCondition():
            return "the subject of a caption"
    return "without a label or a caption"


def _prompt(config: ModelConfig) -> str:
    kind = config.condition.kind
    return "" if kind == "none" else f"{kind.upper()} "


def _cell(value: object) -> str:
    text = ", ".join(value) if isinstance(value, list | tuple) else str(value)
    return text or "none"


def _parameters(family: Family, options: Options) -> dict[str, Any]:
    config = family.config
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
        **{f"network_{name}": size for name, size in family.network_sizes.items()},
    }


def _epoch_losses(outcome: Outcome, batch: int, count: int) -> list[float]:
    """Return the mean of all losses named `loss`, summed over the parts, of each epoch."""
    curves = [values for name, values in outcome.losses.items() if name.split()[-1] == "loss"]
    sums = np.sum([values[: outcome.step] for values in curves], axis=0) if curves else np.empty(0)
    steps = max(math.ceil(count / batch), math.ceil(len(sums) / _MOST_LOSSES), 1)
    return [float(np.mean(sums[start : start + steps])) for start in range(0, len(sums), steps)]
