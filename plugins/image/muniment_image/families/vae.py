"""A variational autoencoder with convolutions (Kingma and Welling, 2014), conditional or not.

The encoder maps a picture to the mean and the variance of a normal distribution over latent
vectors z. The decoder maps z to a picture. Sampling draws z from the standard normal distribution.
"""

from __future__ import annotations

import itertools
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from muniment_image.model_config import ModelConfig

from .base import Family, Noise, SampleOptions
from .layers import ConditionEncoder, channels_of_sides, doublings, group_norm, unfolding

VARIANCE = 0.05
"""Assumed variance of a pixel in [-1, 1]. A smaller one weighs the reconstruction more."""


class Vae(Family):
    """A variational autoencoder, whose part `network` is the encoder and the decoder."""

    name = "vae"
    sizes: ClassVar = {"width": 32, "latent": 32, "embedding": 64}

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.network = Autoencoder(
            config.channels, config.image_size, config.condition.size, **self.network_sizes
        )

    def losses(
        self, part: str, images: Tensor, conditions: Tensor | None, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the negative evidence lower bound for each pixel, and its two terms.

        The constant of the normal distribution of pixels is left out.
        """
        ids = self._ids(conditions, images.shape[0])
        mean, log_variance = self.network.encode(images, ids)  # [B, latent] each
        noise = torch.randn(mean.shape, generator=generator).to(images.device)
        z = mean + noise * (log_variance / 2).exp()
        pixels = images[0].numel()
        reconstruction = F.mse_loss(self.network.decode(z, ids).float(), images) / (2 * VARIANCE)
        divergence = (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean() / (2 * pixels)
        return {
            "loss": reconstruction + divergence,
            "reconstruction": reconstruction,
            "divergence": divergence,
        }

    def _sample(self, ids: Tensor, noise: Noise, options: SampleOptions) -> Tensor:
        images: Tensor = self.network.decode(noise.normal(self.network_sizes["latent"]), ids)
        return images


class Autoencoder(nn.Module):
    """An encoder and a decoder, both with the condition's embedding as an additional input."""

    def __init__(
        self,
        channels: int,
        image_size: int,
        conditions: int,
        *,
        width: int,
        latent: int,
        embedding: int,
    ) -> None:
        super().__init__()
        self.condition = ConditionEncoder(conditions, embedding)
        channels_by_side = channels_of_sides(image_size, width)
        widths, side = list(channels_by_side.values()), min(channels_by_side)
        inner = widths[-1] * side**2
        down: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.SiLU()]
        for before, after in itertools.pairwise(widths):
            down += [nn.Conv2d(before, after, 4, stride=2, padding=1), group_norm(after), nn.SiLU()]
        self.down = nn.Sequential(*down)
        self.posterior = nn.Linear(inner + embedding, 2 * latent)
        self.start = unfolding(latent + embedding, widths[-1], side, group_norm, nn.SiLU())
        up = doublings(widths[::-1], group_norm, nn.SiLU)
        self.up = nn.Sequential(*up, nn.Conv2d(width, channels, 3, padding=1))

    def encode(self, images: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and logarithm of the variance, [B, latent], for images [B, C, H, W]."""
        h = self.down(images).flatten(1)  # [B, inner]
        mean, log_variance = self.posterior(torch.cat([h, self.condition(ids)], 1)).chunk(2, 1)
        return mean.float(), log_variance.float().clamp(-10, 10)

    def decode(self, z: Tensor, ids: Tensor) -> Tensor:
        """Return images [B, C, H, W] for latent vectors [B, latent]."""
        images: Tensor = self.up(self.start(torch.cat([z, self.condition(ids)], 1)))
        return images
