"""The parameters of a training that its result depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]


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
        augment: Names from `batches.AUGMENTATIONS`.
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
    if device.type == "cuda":
        is_native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        is_native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bfloat16" if is_native else "float32"
