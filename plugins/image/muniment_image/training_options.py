"""The parameters of a training that its result depends on, and their comparison on resuming."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import muniment

from .model_config import ModelConfig

if TYPE_CHECKING:
    import torch

Precision = Literal["float32", "bfloat16"]
AUGMENTATIONS = ("flip", "shift")
"""Random changes of pictures: mirror images, and shifts by up to an eighth of the size."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The parameters of a training that its result depends on.

    Attributes:
        steps: Number of updates of the weights.
        seed: An unsigned 64-bit integer.
        batch: Number of pictures in a step.
        learning_rate: The highest learning rate, or None for that of the family.
        ema: The highest decay of the moving average of the weights, from 0 to less than 1.
        clip: The maximum norm of the gradients of a part, or 0 for no maximum.
        augment: Names from `AUGMENTATIONS`.
        precision: The type of the numbers in the layers. Weights are float32.
    """

    steps: int
    seed: int
    batch: int = 64
    learning_rate: float | None = None
    ema: float = 0.999
    clip: float = 1.0
    augment: tuple[str, ...] = ()
    precision: Precision = "float32"


def native_precision(device: torch.device) -> Precision:
    """Return bfloat16 for a device that has instructions for it, else float32.

    Where a processor emulates it, it is many times slower than float32.
    """
    import torch

    if device.type == "cuda":
        is_native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        is_native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if is_native else "float32"


class ResumeError(muniment.UsageError):
    """A training that cannot be resumed, because options or data are not those of its start."""

    def __init__(self, message: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.names = names


def describe(options: Options, config: ModelConfig, data_digest: str) -> dict[str, Any]:
    """Return everything that must be the same when a training is resumed, as JSON."""
    return {
        "family": config.family,
        "image_size": config.image_size,
        "channels": config.channels,
        "condition": config.condition.to_json(),
        "network": dict(config.network),
        "sampler_steps": config.steps,
        "guidance": config.guidance,
        "data": data_digest,
        **asdict(options),
        "augment": sorted(options.augment),
    }


def check_unchanged(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise ResumeError, with the names of the options that differ."""
    names = [name for name in now if before.get(name) != now[name]]
    if not names:
        return
    changes = [
        "the data is not the same"
        if name == "data"
        else f"{name} was {before.get(name)!r:.60} and is {now[name]!r:.60}"
        for name in names
    ]
    advice = "use the options and the data that it was started with"
    if "steps" in names:  # the learning rate of each step depends on their number
        advice += ", or train with another number of steps into a new folder"
    raise ResumeError(
        f"the training cannot be resumed: {', '.join(changes)}; {advice}", tuple(names)
    )
