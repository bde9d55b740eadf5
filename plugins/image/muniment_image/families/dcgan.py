"""A class-conditional DCGAN (Radford et al., 2016) with the hinge loss (Lim and Ye, 2017).

The generator maps noise z to a picture by transposed convolutions with batch normalisation. The
discriminator rates pictures, and compares them with the condition by a projection (Miyato and
Koyama, 2018). Spectral normalisation keeps its gradients bounded (Miyato et al., 2018).
"""

from __future__ import annotations

import itertools
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from muniment_image.model_config import ModelConfig

from .base import Family, Noise, SampleOptions
from .layers import ConditionEncoder, channels_of_sides, doublings, unfolding


class Dcgan(Family):
    """A generator and a discriminator, each of which is a part with its own optimizer."""

    name = "dcgan"
    parts = ("discriminator", "generator")
    sampled_part = "generator"
    schedule = "constant"
    learning_rate = 2e-4
    betas = (0.5, 0.999)
    sizes: ClassVar = {"width": 32, "latent": 64, "embedding": 64}

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        width, embedding = self.network_sizes["width"], self.network_sizes["embedding"]
        common = (config.channels, config.image_size, config.condition.size, width)
        self.generator = Generator(*common, self.network_sizes["latent"], embedding)
        self.discriminator = Discriminator(*common)

    def losses(
        self, part: str, images: Tensor, conditions: Tensor | None, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Return the hinge loss of the discriminator, or the generator's."""
        rows = images.shape[0]
        ids = self._ids(conditions, rows)
        z = torch.randn(rows, self.network_sizes["latent"], generator=generator).to(images.device)
        if part == "generator":
            return {"loss": -self.discriminator(self.generator(z, ids), ids).float().mean()}
        with torch.no_grad():
            fakes = self.generator(z, ids)
        real = self.discriminator(images, ids).float()  # [B]
        fake = self.discriminator(fakes, ids).float()  # [B]
        return {"loss": F.relu(1 - real).mean() + F.relu(1 + fake).mean()}

    def _sample(self, ids: Tensor, noise: Noise, options: SampleOptions) -> Tensor:
        images: Tensor = self.generator(noise.normal(self.network_sizes["latent"]), ids)
        return images


class Generator(nn.Module):
    """Transposed convolutions from a vector to a picture.

    In training, batch normalisation uses the statistics of the batch, and of one picture's pixels
    if the batch has one row. Sampling uses the running statistics.
    """

    def __init__(
        self,
        channels: int,
        image_size: int,
        conditions: int,
        width: int,
        latent: int,
        embedding: int,
    ) -> None:
        super().__init__()
        self.condition = ConditionEncoder(conditions, embedding)
        channels_by_side = channels_of_sides(image_size, width)
        widths, side = list(channels_by_side.values())[::-1], min(channels_by_side)
        self.start = unfolding(latent + embedding, widths[0], side, nn.BatchNorm2d, nn.ReLU())
        up = doublings(widths, nn.BatchNorm2d, nn.ReLU)
        self.up = nn.Sequential(*up, nn.Conv2d(width, channels, 3, padding=1), nn.Tanh())

    def forward(self, z: Tensor, ids: Tensor) -> Tensor:
        """Return pictures [B, C, H, W] for noise z [B, latent] and ids [B, K]."""
        pictures: Tensor = self.up(self.start(torch.cat([z, self.condition(ids)], 1)))
        return pictures


class Discriminator(nn.Module):
    """Convolutions from a picture to a rating, to which the condition's embedding contributes."""

    def __init__(self, channels: int, image_size: int, conditions: int, width: int) -> None:
        super().__init__()
        widths = list(channels_of_sides(image_size, width).values())
        layers: list[nn.Module] = [
            spectral_norm(nn.Conv2d(channels, width, 3, padding=1)),
            nn.LeakyReLU(0.2),
        ]
        for before, after in itertools.pairwise(widths):
            layers += [
                spectral_norm(nn.Conv2d(before, after, 4, stride=2, padding=1)),
                nn.LeakyReLU(0.2),
            ]
        layers += [
            spectral_norm(nn.Conv2d(widths[-1], widths[-1], 3, padding=1)),
            nn.LeakyReLU(0.2),
        ]
        self.layers = nn.Sequential(*layers)
        self.rating = spectral_norm(nn.Linear(widths[-1], 1))
        self.condition = ConditionEncoder(conditions, widths[-1])

    def forward(self, images: Tensor, ids: Tensor) -> Tensor:
        """Return ratings [B] for images [B, C, H, W] and ids [B, K]."""
        h = self.layers(images).sum((2, 3))  # [B, channels]
        rating: Tensor = self.rating(h).squeeze(1) + (h * self.condition(ids)).sum(1)
        return rating
