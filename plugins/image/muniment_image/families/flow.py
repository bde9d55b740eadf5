"""Conditional flow matching with a small U-Net and classifier-free guidance.

A straight path x_t = (1 - t) x0 + t x1 joins noise x0 and a picture x1. The network predicts its
velocity v = x1 - x0 (Lipman et al., 2023). Sampling integrates v from t = 0 to 1 with Heun's
method. Pixels are folded into channels first, so that convolutions run on a quarter of the area.
"""

from __future__ import annotations

import itertools
import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from muniment_image.model_config import ModelConfig

from .base import Family, Noise, SampleOptions, SamplingError
from .layers import ConditionEncoder, group_norm

DROPPED = 0.1
"""Part of the training rows without their condition, for guidance."""


class Flow(Family):
    """A flow-matching model, whose part `network` is a U-Net."""

    name = "flow"
    takes_init = True
    takes_guidance = True
    sizes: ClassVar = {"width": 64, "blocks": 1, "embedding": 192, "fold": 2}

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        fold = self.network_sizes["fold"]
        if fold > 4 or config.image_size % (2 * fold):
            raise ValueError(f"the fold is {fold}, which does not fit the image size")
        self.network = UNet(
            channels=config.channels * fold**2,
            width=self.network_sizes["width"],
            blocks=self.network_sizes["blocks"],
            embedding=self.network_sizes["embedding"],
            conditions=config.condition.size,
        )

    def velocity(self, x: Tensor, t: Tensor, ids: Tensor) -> Tensor:
        """Return the velocity [B, C, H, W] at pictures x and times t [B] in [0, 1]."""
        fold = self.network_sizes["fold"]
        folded = F.pixel_unshuffle(x, fold).contiguous(memory_format=torch.channels_last)
        result: Tensor = self.network(folded, t, ids)  # [B, C * fold^2, H / fold, W / fold]
        return F.pixel_shuffle(result, fold)

    def losses(
        self, part: str, images: Tensor, conditions: Tensor | None, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the mean squared error of the velocity at random times."""
        rows = images.shape[0]
        ids = drop_conditions(self._ids(conditions, rows), DROPPED, generator)
        # Logit-normal times: the middle of the path is the hardest to predict (Esser et al., 2024).
        t = torch.sigmoid(torch.randn(rows, generator=generator)).to(images.device)
        noise = torch.randn(images.shape, generator=generator).to(images.device)
        weight = t.view(-1, 1, 1, 1)
        x = torch.lerp(noise, images, weight)
        return {"loss": F.mse_loss(self.velocity(x, t, ids).float(), images - noise)}

    def _sample(self, ids: Tensor, noise: Noise, options: SampleOptions) -> Tensor:
        steps, guidance, init, mask, strength = options
        config = self.config
        if steps < 1:
            raise SamplingError(f"steps is {steps}; use at least 1")
        # With init, the path begins at the time 1 - strength, at a mixture of noise and init. At
        # least one step remains of it, however small the strength is.
        strength = 1.0 if init is None else strength
        count = max(1, round(strength * steps))
        times = [1 - strength * (count - step) / count for step in range(count + 1)]
        start = noise.normal(config.channels, config.image_size, config.image_size)
        x = start if init is None else torch.lerp(start, init, times[0])
        for t, after in itertools.pairwise(times):
            x = self._heun(x, t, after, ids, guidance)
            if init is not None and mask is not None:
                x = torch.where(mask, x, torch.lerp(start, init, after))
        return x

    def _heun(self, x: Tensor, t: float, after: float, ids: Tensor, guidance: float) -> Tensor:
        """Return the picture at time `after`, from x at time t."""
        first = self._guided(x, t, ids, guidance)
        second = self._guided(x + (after - t) * first, after, ids, guidance)
        return x + (after - t) / 2 * (first + second)

    def _guided(self, x: Tensor, t: float, ids: Tensor, guidance: float) -> Tensor:
        """Return the velocity, extrapolated from the unconditional to the conditional one."""
        rows = x.shape[0]
        if guidance == 1 or ids.shape[1] == 0:
            return self.velocity(x, x.new_full((rows,), t), ids)
        both = self.velocity(
            torch.cat([x, x]),
            x.new_full((2 * rows,), t),
            torch.cat([ids, torch.zeros_like(ids)]),
        )
        conditional, unconditional = both.chunk(2)
        return torch.lerp(unconditional, conditional, guidance)


def drop_conditions(ids: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Return ids [B, K] in which rows are zeros with a probability, for unconditional training."""
    keep = torch.rand(ids.shape[0], 1, generator=generator) >= probability
    return ids * keep.to(ids.device)


class UNet(nn.Module):
    """A U-Net of two resolutions, with self-attention at the lower one.

    The upper resolution has `width` channels and the lower one twice as many.
    """

    def __init__(
        self, *, channels: int, width: int, blocks: int, embedding: int, conditions: int
    ) -> None:
        super().__init__()
        self.condition = ConditionEncoder(conditions, embedding)
        self.time = nn.Sequential(
            nn.Linear(FREQUENCIES * 2, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        self.mix = nn.Sequential(nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU())
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.down = nn.ModuleList(Block(width, width, embedding) for _ in range(blocks))
        self.shrink = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.lower = nn.ModuleList(Block(2 * width, 2 * width, embedding) for _ in range(blocks))
        self.attention = Attention(2 * width)
        self.lower_end = nn.ModuleList(
            Block(2 * width, 2 * width, embedding) for _ in range(blocks)
        )
        self.grow = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.up = nn.ModuleList(
            Block((2 if first else 1) * width, width, embedding)
            for first in (True, *(False,) * (blocks - 1))
        )
        last = nn.Conv2d(width, channels, 3, padding=1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)  # a new network returns zeros
        self.leave = nn.Sequential(group_norm(width), nn.SiLU(), last)

    def forward(self, x: Tensor, t: Tensor, ids: Tensor) -> Tensor:
        """Return [B, C, H, W] for x of this shape, times t [B] and ids [B, K]."""
        e = self.mix(self.time(wave(t)) + self.condition(ids))  # [B, embedding]
        x = self.enter(x)  # [B, width, H, W]
        for block in self.down:
            x = block(x, e)
        skip = x
        x = self.shrink(x)  # [B, 2 width, H/2, W/2]
        for block in self.lower:
            x = block(x, e)
        x = self.attention(x)
        for block in self.lower_end:
            x = block(x, e)
        x = torch.cat([self.grow(x), skip], 1)  # [B, 2 width, H, W]
        for block in self.up:
            x = block(x, e)
        result: Tensor = self.leave(x)
        return result


class Block(nn.Module):
    """Two convolutions with a residual connection, scaled and shifted by the embedding."""

    def __init__(self, channels: int, out: int, embedding: int) -> None:
        super().__init__()
        self.norm1 = group_norm(channels)
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.modulate = nn.Linear(embedding, 2 * out)
        self.norm2 = group_norm(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1)
        self.skip = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)
        nn.init.zeros_(self.conv2.weight)  # a new block is its skip connection

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """Return [B, out, H, W] for x [B, channels, H, W] and e [B, embedding]."""
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.modulate(e)[:, :, None, None].chunk(2, 1)  # [B, out, 1, 1] each
        h = torch.addcmul(shift, self.norm2(h), 1 + scale)
        result: Tensor = self.skip(x) + self.conv2(F.silu(h))
        return result


class Attention(nn.Module):
    """Self-attention between all positions, with a residual connection."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = math.gcd(heads, channels)
        self.norm = group_norm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, H, W] for x of this shape."""
        rows, channels, height, width = x.shape
        sequence = self.norm(x).flatten(2).transpose(1, 2)  # [B, HW, C]
        qkv = self.qkv(sequence).view(rows, height * width, 3, self.heads, -1)
        # In bfloat16, the backward pass of attention took five times as long on a processor.
        q, k, v = qkv.float().permute(2, 0, 3, 1, 4)  # [B, heads, HW, C / heads] each
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        result: Tensor = x + self.out(mixed).transpose(1, 2).reshape(rows, channels, height, width)
        return result


FREQUENCIES = 32


def wave(t: Tensor) -> Tensor:
    """Return cosines and sines [B, 2 * FREQUENCIES] of times t [B], from slow to fast."""
    frequencies = torch.exp(
        torch.linspace(0, math.log(1000), FREQUENCIES, device=t.device, dtype=t.dtype)
    )
    angles = t[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], 1)
