"""Layers that several families have. Shapes are written as in `base`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn


class ConditionEncoder(nn.Module):
    """A vector for each row of condition ids, which is the sum of the ids' embeddings.

    The sum is divided by the square root of the number of ids. Id 0 is ignored, so a row of zeros
    becomes a vector of zeros.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, width, padding_idx=0)

    def forward(self, ids: Tensor) -> Tensor:
        """Return [B, width] for ids [B, K]."""
        vectors = self.embedding(ids)  # [B, K, width]
        count = (ids != 0).sum(1, keepdim=True).clamp(min=1)  # [B, 1]
        result: Tensor = vectors.sum(1) / count.sqrt()
        return result


def group_norm(channels: int) -> nn.GroupNorm:
    """Return a normalisation of up to 8 groups, in which no row depends on another row."""
    return nn.GroupNorm(math.gcd(8, channels), channels)


def channels_of_sides(image_size: int, width: int) -> dict[int, int]:
    """Return the numbers of channels by the sides of a picture, from the whole picture on.

    The side is halved until it is 8 pixels or fewer, or odd. The channels begin with `width` and
    are doubled twice.
    """
    channels = {image_size: width}
    side = image_size
    while side > 8 and side % 2 == 0:
        side //= 2
        channels[side] = min(2 ** len(channels), 4) * width
    return channels


def unfolding(
    inputs: int, channels: int, side: int, norm: Callable[[int], nn.Module], activation: nn.Module
) -> nn.Sequential:
    """Return layers that map vectors [B, inputs] to [B, channels, side, side]."""
    return nn.Sequential(
        nn.Linear(inputs, channels * side**2),
        nn.Unflatten(1, (channels, side, side)),
        norm(channels),
        activation,
    )


def doublings(
    widths: Sequence[int], norm: Callable[[int], nn.Module], activation: Callable[[], nn.Module]
) -> list[nn.Module]:
    """Return layers that double the sides of a picture between each two numbers of channels."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [
            nn.ConvTranspose2d(before, after, 4, stride=2, padding=1),
            norm(after),
            activation(),
        ]
    return layers
