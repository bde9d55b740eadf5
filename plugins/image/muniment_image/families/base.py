"""The interface of the families of image models, and their source of noise.

Shapes are written as B (rows of a batch), C (channels), H and W (pixels), K (condition ids).
Pictures are float32 tensors in [-1, 1].
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

import muniment
from muniment_image.model_config import ModelConfig

_LARGEST = 4096  # size of a layer


class SamplingError(muniment.UsageError):
    """A request that a family cannot sample, or pictures that are not finite numbers."""


class Noise:
    """Standard normal numbers for a batch, in which row k depends on seed k alone.

    A seed is an unsigned 64-bit integer. `torch.Generator` uses only its lower 32 bits, and its
    normal numbers depend on the instruction set. A Philox generator of numpy has neither problem.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device | str = "cpu") -> None:
        self._generators = [np.random.Generator(np.random.Philox(key=seed)) for seed in seeds]
        self._device = device

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._generators)

    def normal(self, *shape: int) -> Tensor:
        """Return the next numbers, of shape [B, *shape]."""
        rows = [rng.standard_normal(shape, dtype=np.float32) for rng in self._generators]
        return torch.from_numpy(np.stack(rows)).to(self._device)


class SampleOptions(NamedTuple):
    """The options of `Family.sample`, with the defaults of the configuration filled in."""

    steps: int
    guidance: float
    init: Tensor | None
    mask: Tensor | None
    strength: float


class Family(nn.Module, ABC):
    """The base class of the families.

    A training loop has one optimizer for each of `parts`. In every step it calls `losses` for each
    part in this order, and updates the parameters of the attribute with the part's name.
    """

    name: ClassVar[str]
    parts: ClassVar[tuple[str, ...]] = ("network",)
    sampled_part: ClassVar[str] = "network"
    """The part that draws. A moving average of the weights is kept of it."""
    schedule: ClassVar[Literal["cosine", "constant"]] = "cosine"
    learning_rate: ClassVar[float] = 1e-3
    betas: ClassVar[tuple[float, float]] = (0.9, 0.99)
    takes_init: ClassVar[bool] = False
    """Whether `sample` uses `init`, `mask` and `strength`."""
    takes_guidance: ClassVar[bool] = False
    """Whether `sample` uses `steps` and `guidance`."""
    sizes: ClassVar[Mapping[str, int]] = {}
    """The sizes of the layers and their defaults, which `ModelConfig.network` overrides."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        unknown = sorted(config.network.keys() - self.sizes.keys())
        if unknown:
            raise ValueError(
                f"the family {self.name} has no network size {', '.join(unknown)}; "
                f"use {', '.join(self.sizes)}"
            )
        for name, size in config.network.items():
            if not 1 <= size <= _LARGEST:
                raise ValueError(f"the network size {name} is {size:,}; use 1 to {_LARGEST:,}")
        self.config = config
        self.network_sizes = {**self.sizes, **config.network}

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    def optimizer(self, part: str, learning_rate: float | None = None) -> torch.optim.Optimizer:
        """Return a new optimizer of the parameters of a part."""
        module: nn.Module = getattr(self, part)
        return torch.optim.Adam(
            module.parameters(), lr=learning_rate or self.learning_rate, betas=self.betas
        )

    @abstractmethod
    def losses(
        self, part: str, images: Tensor, conditions: Tensor | None, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return scalars of a training batch. The part's optimizer minimises the one named `loss`.

        `images` is [B, C, H, W] and `conditions` is [B, K] int64, or None for a model without a
        condition. All random numbers are drawn from `generator`, on the processor.
        """

    def sample(
        self,
        conditions: Tensor | None,
        noise: Noise,
        *,
        steps: int | None = None,
        guidance: float | None = None,
        init: Tensor | None = None,
        mask: Tensor | None = None,
        strength: float = 1.0,
    ) -> Tensor:
        """Return pictures [B, C, H, W] in [-1, 1], of which row k depends on row k of the inputs.

        `conditions` is [B, K] int64, or None for unconditional pictures. `steps` and `guidance` are
        those of the configuration by default. `init` is [B, C, H, W]: a `strength` of 1 ignores it,
        and smaller ones keep more of it. `mask` is [B, 1, H, W], bool: pixels of `init` where it is
        False are returned unchanged. Raises SamplingError.
        """
        config = self.config
        if (init is not None or mask is not None) and not self.takes_init:
            raise SamplingError(f"a model of the family {self.name} takes no init and no mask")
        if mask is not None and init is None:
            raise SamplingError("a mask needs the picture that it is applied to; add init")
        if not 0 < strength <= 1:
            raise SamplingError(f"strength is {strength:g}; use a number above 0 and at most 1")
        rows, size = len(noise), config.image_size
        _check_shape("init", init, (rows, config.channels, size, size))
        _check_shape("mask", mask, (rows, 1, size, size))
        ids = self._ids(conditions, rows)
        options = SampleOptions(
            steps=config.steps if steps is None else steps,
            guidance=config.guidance if guidance is None else guidance,
            init=init,
            mask=mask,
            strength=strength,
        )
        was_training = self.training
        self.eval()
        try:
            with torch.inference_mode():
                images = self._sample(ids, noise, options)
        finally:
            self.train(was_training)
        if not torch.isfinite(images).all():
            raise SamplingError(
                "the model returned numbers that are not finite; "
                "use another checkpoint or a smaller guidance"
            )
        images = images.clamp(-1, 1)
        return images if mask is None or init is None else torch.where(mask, images, init)

    @abstractmethod
    def _sample(self, ids: Tensor, noise: Noise, options: SampleOptions) -> Tensor:
        """Return pictures [B, C, H, W] that may exceed [-1, 1], for ids [B, K]."""

    def _ids(self, conditions: Tensor | None, rows: int) -> Tensor:
        """Return the condition ids of a batch, [B, K]: zeros if there is no condition."""
        length = self.config.condition.length
        if conditions is None:
            return torch.zeros(rows, length, dtype=torch.int64, device=self.device)
        _check_shape("conditions", conditions, (rows, length))
        return conditions.to(self.device)


def _check_shape(name: str, tensor: Tensor | None, shape: tuple[int, ...]) -> None:
    """Raise ValueError for a tensor of another shape, which could be broadcast unnoticed."""
    if tensor is not None and tensor.shape != shape:
        raise ValueError(f"{name} has the shape {tuple(tensor.shape)}, not {shape}")
