"""Attention of each row over its own keys alone, and the store of those keys.

Padding rows to a common length changes the order of additions, and so the bits. Here every row's
query meets exactly its own keys, in a call of its own; the rest of the layer runs for all rows at
once. transformers is told through its `AttentionInterface`, with a mask function registered beside
it: without one a model gets no mask at all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache
from transformers.masking_utils import sdpa_mask

NAME = "muniment_rows"
_GROWTH = 128


class RowKeys:
    """The keys and values of one row, layer by layer, in fp32.

    Shapes are [key heads, tokens, width]. fp32 because the attention kernel is about as fast in it
    as in bf16 on processors without native bf16, and rounds less.
    """

    def __init__(self) -> None:
        self.length = 0
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def append(self, layer: int, keys: Tensor, values: Tensor) -> None:
        """Put [key heads, new tokens, width] after the tokens already there."""
        stop = self.length + keys.shape[1]
        stored = self._layers.get(layer)
        if stored is None or stored[0].shape[1] < stop:
            capacity = (stop * 5 // 4 // _GROWTH + 1) * _GROWTH
            stored = (
                _grown(stored and stored[0], keys, capacity, self.length),
                _grown(stored and stored[1], values, capacity, self.length),
            )
            self._layers[layer] = stored
        stored[0][:, self.length : stop] = keys
        stored[1][:, self.length : stop] = values

    def get(self, layer: int) -> tuple[Tensor, Tensor]:
        """All keys and values stored for a layer, with room behind them: slice before use."""
        return self._layers[layer]


def _grown(old: Tensor | None, new: Tensor, capacity: int, length: int) -> Tensor:
    grown = torch.empty(new.shape[0], capacity, new.shape[2])
    if old is not None:
        grown[:, :length] = old[:, :length]
    return grown


class RowsCache(Cache):
    """What transformers sees as the cache of one forward pass over some rows.

    Every row gets `tokens` new ones; more than one only when there is a single row.
    """

    def __init__(self, rows: list[RowKeys], tokens: int) -> None:
        self.rows = rows
        self.tokens = tokens
        self.layers = []
        self.layer = 0
        # The positions each row may look at, by the identity of the mask they were computed for.
        self.spans: dict[int, tuple[Tensor, list[tuple[int, int]]]] = {}

    is_compileable = False

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Store the new tokens' keys and values; the attention reads the rest from the rows."""
        for index, row in enumerate(self.rows):
            row.append(layer_idx, key_states[index], value_states[index])
        self.layer = layer_idx
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return the tokens stored for the first row."""
        return self.rows[0].length

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """Return the position of the first row's first new token."""
        return self.rows[0].length

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """Return how many keys a mask must cover, the longest row's, and their first position."""
        return max(row.length for row in self.rows) + query_length, 0

    def get_max_length(self, layer_idx: int | None = None) -> int:
        """Return -1: rows grow without bound."""
        return -1

    def advance(self) -> None:
        """Count the new tokens as stored, once all layers have run."""
        for row in self.rows:
            row.length += self.tokens

    def __enter__(self) -> RowsCache:
        _active.cache = self
        return self

    def __exit__(self, *exception: object) -> None:
        _active.cache = None


class _Active(threading.local):
    """The cache of the forward pass this thread is in."""

    cache: RowsCache | None = None


_active = _Active()


def _mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int = 0,
    kv_offset: int = 0,
    mask_function: Callable[..., Any] | None = None,
    **kwargs: Any,
) -> Tensor | None:
    """The positions each new token may look at: bool [rows, 1, new tokens, longest row]."""
    cache = _active.cache
    if cache is None or kwargs.get("use_vmap"):
        raise NotImplementedError("this model's attention mask is not by position alone")
    assert mask_function is not None
    if cache.tokens > 1:
        kwargs["allow_is_causal_skip"] = False
        full: Tensor | None = sdpa_mask(
            batch_size, q_length, kv_length, q_offset, kv_offset, mask_function, **kwargs
        )
        return full
    position = torch.tensor([row.length for row in cache.rows]).view(-1, 1, 1, 1)
    index = torch.arange(kv_length).view(1, 1, 1, -1)
    zero = torch.zeros(1, dtype=torch.long)
    visible: Tensor = (mask_function(zero, zero, position, index) & (index <= position)).expand(
        len(cache.rows), 1, 1, kv_length
    )
    first: list[int] = visible.to(torch.uint8).argmax(dim=-1).flatten().tolist()
    count: list[int] = visible.sum(dim=-1).flatten().tolist()
    spans = [(start, row.length + 1) for start, row in zip(first, cache.rows, strict=True)]
    if all(stop - start == seen for (start, stop), seen in zip(spans, count, strict=True)):
        cache.spans[id(visible)] = (visible, spans)
    return visible


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """One layer's attention: [rows, heads, new tokens, width] to [rows, new, heads, width]."""
    cache = _active.cache
    if cache is None or attention_mask is None:
        raise NotImplementedError("attention outside of a pass over rows")
    if any(kwargs.get(name) is not None for name in ("s_aux", "position_bias", "head_mask")):
        raise NotImplementedError("this model adds something to its attention scores")
    softcap = kwargs.get("softcap")
    heads, tokens = query.shape[1], query.shape[2]
    queries = query.float()
    known = cache.spans.get(id(attention_mask))
    results = []
    for index, row in enumerate(cache.rows):
        keys, values = row.get(cache.layer)
        mask: Tensor | None = None
        if known is not None:
            start, stop = known[1][index]
        else:
            start, stop = 0, row.length + tokens
            mask = attention_mask[index, 0, :, :stop]
        keys, values = keys[:, start:stop], values[:, start:stop]
        groups = keys.shape[0]
        mine = queries[index].reshape(1, groups, heads // groups * tokens, -1)
        if mask is not None:
            mask = mask.repeat(heads // groups, 1)
        if softcap is None:
            result = functional.scaled_dot_product_attention(
                mine, keys[None], values[None], attn_mask=mask, scale=scaling
            )
        else:
            result = _capped(mine, keys[None], values[None], mask, scaling, softcap)
        results.append(result.reshape(1, heads, tokens, -1))
    joined = results[0] if len(results) == 1 else torch.cat(results)
    return joined.transpose(1, 2).to(query.dtype).contiguous(), None


def _capped(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scaling: float | None,
    softcap: float,
) -> Tensor:
    """Attention whose scores go through softcap * tanh(score / softcap), as Gemma 2 does."""
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.tanh(query @ key.transpose(-1, -2) * (scale / softcap)) * softcap
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(dim=-1) @ value


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, _mask)
