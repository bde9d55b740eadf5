"""The keys and values of one row, and attention over them alone.

Padding rows to a common length changes the order of additions, and so the bits. Here every row's
queries meet exactly its own keys, in a call of its own.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_GROWTH = 128


class RowKeys:
    """The keys and values of one row, layer by layer, in fp32.

    A layer's are one tensor [2, key heads, tokens, width], keys first. fp32 because the attention
    kernel is about as fast in it as in bf16 on processors without native bf16, and rounds less.
    """

    def __init__(self) -> None:
        self.length = 0
        self._layers: dict[int, Tensor] = {}

    def append(self, layer: int, pairs: Tensor) -> Tensor:
        """Put keys and values [2, key heads, new tokens, width] after the tokens already there.

        Gives the whole layer, with room behind what is stored: narrow it before use.
        """
        count = pairs.shape[2]
        stop = self.length + count
        stored = self._layers.get(layer)
        if stored is None or stored.shape[2] < stop:
            capacity = (stop * 5 // 4 // _GROWTH + 1) * _GROWTH
            grown = torch.empty(2, pairs.shape[1], capacity, pairs.shape[3])
            if stored is not None:
                grown[:, :, : self.length] = stored[:, :, : self.length]
            stored = self._layers[layer] = grown
        stored.narrow(2, self.length, count).copy_(pairs)
        return stored

    def get(self, layer: int) -> Tensor:
        """What `append` gave for this layer."""
        return self._layers[layer]


def attend(
    query: Tensor,
    pairs: Tensor,
    mask: Tensor | None,
    scale: float | None,
    cap: float | None,
) -> Tensor:
    """Attention of one row: query [heads, new, width] over pairs [2, key heads, tokens, width].

    Neighbouring heads share a key head. `mask` is bool [new, tokens], True where a query may look.
    With `cap` scores go through cap * tanh(score / cap), as Gemma 2 does. Gives the query's shape.
    """
    heads, tokens, width = query.shape
    keys, values = pairs.split(1)
    groups = keys.shape[1]
    mine = query.reshape(1, groups, heads // groups * tokens, width)
    if mask is not None:
        mask = mask.repeat(heads // groups, 1)
    if cap is None:
        result = functional.scaled_dot_product_attention(
            mine, keys, values, attn_mask=mask, scale=scale
        )
    else:
        factor = width**-0.5 if scale is None else scale
        scores = torch.tanh(mine @ keys.transpose(-1, -2) * (factor / cap)) * cap
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        result = scores.softmax(dim=-1) @ values
    return result.reshape(heads, tokens, width)
