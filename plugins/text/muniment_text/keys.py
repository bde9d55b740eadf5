"""The keys and values of one row, and the attention of that row.

Padding rows to a common length would change the order of additions, and so the bits of the
result. Each row's queries are therefore multiplied with its own keys only, in a separate call.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_GROWTH = 128  # the capacity is a multiple of this number of tokens


class RowKeys:
    """The keys and values of one row for each layer, in fp32.

    Those of a layer are one tensor [2, key heads, tokens, width], keys first. `length` is the
    number of stored tokens.
    """

    # fp32: on processors without native bf16, the attention kernel is about as fast as with bf16,
    # and the rounding errors are smaller.

    def __init__(self) -> None:
        self.length = 0
        self._layers: dict[int, Tensor] = {}

    def append(self, layer: int, pairs: Tensor) -> Tensor:
        """Store keys and values [2, key heads, new tokens, width] after those of earlier tokens.

        Return the tensor of the layer, which has unused capacity at its end. The caller must
        narrow it to the stored tokens. `length` does not change.
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
        """Return the tensor of a layer, with unused capacity, as `append` returned it."""
        return self._layers[layer]


def attend(
    query: Tensor,
    pairs: Tensor,
    mask: Tensor | None,
    scale: float | None,
    cap: float | None,
) -> Tensor:
    """Return the attention of one row, in the shape of `query`.

    `query` is [heads, new tokens, width], and `pairs` is [2, key heads, tokens, width]. Adjacent
    heads share a key head. `mask` is bool [new tokens, tokens], True for visible tokens. `scale`
    is the factor of the scores, by default 1 / sqrt(width). With `cap`, scores become
    cap * tanh(score / cap), as in Gemma 2.
    """
    heads, tokens, width = query.shape
    keys, values = pairs.split(1)
    groups = keys.shape[1]
    grouped = query.reshape(1, groups, heads // groups * tokens, width)
    if mask is not None:
        mask = mask.repeat(heads // groups, 1)
    if cap is None:
        result = functional.scaled_dot_product_attention(
            grouped, keys, values, attn_mask=mask, scale=scale
        )
    else:
        factor = width**-0.5 if scale is None else scale
        scores = torch.tanh(grouped @ keys.transpose(-1, -2) * (factor / cap)) * cap
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        result = scores.softmax(dim=-1) @ values
    return result.reshape(heads, tokens, width)
