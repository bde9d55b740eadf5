"""The network of the family `next`: causal self-attention over a history.

It is SASRec (Kang and McAuley, 2018) with normalisation before each layer. A learned bias for each
distance between two items replaces the positions. The scores therefore do not depend on where in a
window the history begins, or on padding after it.

Shapes: B histories, T items of a history, D width, I items of the catalogue, A attention heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

Parameters: TypeAlias = dict[str, Tensor]
"""The weights by name."""

_FEEDFORWARD = 2  # inner width of the two-layer network after attention, as a multiple of D


@dataclass(frozen=True, slots=True)
class Dimensions:
    """The dimensions of a network. `length` is the longest history that it reads."""

    items: int
    width: int
    layers: int
    heads: int
    length: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each weight by name."""
        inner = _FEEDFORWARD * self.width
        shapes: dict[str, tuple[int, ...]] = {
            "items": (self.items, self.width),
            "item_bias": (self.items,),
            "norm": (self.width,),
        }
        for layer in range(self.layers):
            shapes |= {
                f"{layer}.attention_norm": (self.width,),
                f"{layer}.attention_input": (3 * self.width, self.width),
                f"{layer}.attention_output": (self.width, self.width),
                f"{layer}.distance_bias": (self.heads, self.length),
                f"{layer}.feedforward_norm": (self.width,),
                f"{layer}.feedforward_input": (inner, self.width),
                f"{layer}.feedforward_output": (self.width, inner),
            }
        return shapes


def initial_parameters(dimensions: Dimensions, generator: torch.Generator) -> Parameters:
    """Return random weights. Normalisations are 1 and biases 0."""
    parameters: Parameters = {}
    for name, shape in dimensions.shapes().items():
        if name.endswith("norm"):
            weight = torch.ones(shape)
        elif name.endswith("bias"):
            weight = torch.zeros(shape)
        else:
            # The variance of the usual uniform initialisation. Items are read at unit variance.
            variance = 1 / shape[1] if name == "items" else 1 / (3 * shape[1])
            weight = torch.randn(shape, generator=generator) * math.sqrt(variance)
        parameters[name] = weight
    return parameters


def _unchanged(x: Tensor) -> Tensor:
    return x


class Network:
    """The network with its weights. `dropout` is applied in training only."""

    def __init__(
        self,
        dimensions: Dimensions,
        parameters: Parameters,
        dropout: Callable[[Tensor], Tensor] = _unchanged,
    ) -> None:
        self.dimensions = dimensions
        self.parameters = parameters
        self.dropout = dropout
        steps = torch.arange(dimensions.length)
        distance = steps[:, None] - steps[None, :]  # [T, T], of a query from a key
        self._distance = distance.clamp(min=0)
        self._is_later = distance < 0

    def states(self, items: Tensor) -> Tensor:
        """Return the state [B, T, D] after each item of histories [B, T]."""
        return self._states(items, newest_only=False)

    def newest_states(self, items: Tensor) -> Tensor:
        """Return the state [B, D] after the last item of histories [B, T]."""
        return self._states(items, newest_only=True)[:, -1]

    def scores(self, states: Tensor, items: Tensor | None = None) -> Tensor:
        """Return the scores [N, I] of all items, or of some, after states [N, D]."""
        embeddings, bias = self.parameters["items"], self.parameters["item_bias"]
        if items is not None:
            embeddings, bias = embeddings[items], bias[items]
        return torch.addmm(bias, states, embeddings.T)

    def _states(self, items: Tensor, *, newest_only: bool) -> Tensor:
        width, layers = self.dimensions.width, self.dimensions.layers
        embedded = functional.embedding(items, self.parameters["items"])
        x = self.dropout(embedded * math.sqrt(width))  # [B, T, D]
        for layer in range(layers):
            # No layer follows the last one, so its earlier states are computed only on request.
            x = self._layer(x, layer, newest_only=newest_only and layer == layers - 1)
        return self._normalised(x, "norm")

    def _layer(self, x: Tensor, layer: int, *, newest_only: bool) -> Tensor:
        """Return the states after attention and the two-layer network, both added to the input."""
        normalised = self._normalised(x, f"{layer}.attention_norm")
        first = x.shape[1] - 1 if newest_only else 0
        x = x[:, first:]
        x = x + self.dropout(self._attention(normalised, layer, first))
        normalised = self._normalised(x, f"{layer}.feedforward_norm")
        inner = functional.linear(normalised, self.parameters[f"{layer}.feedforward_input"])
        outer = self.parameters[f"{layer}.feedforward_output"]
        return x + self.dropout(functional.linear(functional.gelu(inner), outer))

    def _attention(self, x: Tensor, layer: int, first: int) -> Tensor:
        """Return what the states [B, T - first, D] from position `first` read from [B, T, D]."""
        batch, length, width = x.shape
        heads = self.dimensions.heads
        projected = functional.linear(x, self.parameters[f"{layer}.attention_input"])
        split = projected.view(batch, length, 3, heads, width // heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)  # each [B, A, T, D / A]
        query = query[:, :, first:]
        distance = self._distance[first:length, :length]
        bias = self.parameters[f"{layer}.distance_bias"][:, distance]  # [A, T - first, T]
        weights = query @ key.transpose(-1, -2) / math.sqrt(width // heads) + bias
        weights = weights.masked_fill(self._is_later[first:length, :length], -math.inf)
        read = weights.softmax(-1) @ value  # [B, A, T - first, D / A]
        joined = read.transpose(1, 2).reshape(batch, length - first, width)
        return functional.linear(joined, self.parameters[f"{layer}.attention_output"])

    def _normalised(self, x: Tensor, name: str) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], self.parameters[name])
