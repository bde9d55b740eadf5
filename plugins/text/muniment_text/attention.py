"""An attention implementation for transformers in which each row attends only to its own keys.

The other operations of a layer run for all rows at once. The implementation is registered with
transformers' `AttentionInterface`. A mask function is registered too, because models get no mask
otherwise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache
from transformers.masking_utils import sdpa_mask

from .errors import RowsUnsupported
from .keys import RowKeys, attend

NAME = "muniment_rows"


class RowsCache(Cache):
    """The cache that transformers uses in one forward pass over several rows.

    Each row gets `tokens` new tokens. The number is 1 if there are several rows.
    """

    def __init__(self, rows: list[RowKeys], tokens: int) -> None:
        self.rows = rows
        self.tokens = tokens
        self.layers = []
        self.layer = 0
        # The range of visible positions of each row, by the id() of the mask. The mask is stored
        # too, so that its id cannot be reused.
        self.spans: dict[int, tuple[Tensor, list[tuple[int, int]]]] = {}

    is_compileable = False

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Store the keys and values of the new tokens in the rows and return them unchanged.

        The attention reads those of earlier tokens from the rows.
        """
        pairs = torch.stack([key_states, value_states], dim=1)
        for row, pair in zip(self.rows, pairs.unbind(), strict=True):
            row.append(layer_idx, pair)
        self.layer = layer_idx
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return the number of stored tokens of the first row."""
        return self.rows[0].length

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """Return the position of the first row's first new token."""
        return self.rows[0].length

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """Return the number of keys that a mask covers (those of the longest row), and 0."""
        return max(row.length for row in self.rows) + query_length, 0

    def get_max_length(self, layer_idx: int | None = None) -> int:
        """Return -1, because rows have no maximum length."""
        return -1

    def advance(self) -> None:
        """Add the new tokens to the rows' lengths. Call this after all layers have run."""
        for row in self.rows:
            row.length += self.tokens

    def __enter__(self) -> RowsCache:
        _active.cache = self
        return self

    def __exit__(self, *exception: object) -> None:
        _active.cache = None


class _Active(threading.local):
    """The cache of the forward pass that is running in a thread."""

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
    """Return the visible positions of each new token, bool [rows, 1, new tokens, longest row]."""
    cache = _active.cache
    if cache is None or kwargs.get("use_vmap"):
        raise RowsUnsupported("this model's attention mask does not depend on positions only")
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
    # If the visible positions of each row are contiguous, attention needs no mask.
    if all(stop - start == total for (start, stop), total in zip(spans, count, strict=True)):
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
    """Return one layer's attention [rows, new tokens, heads, width].

    `query` is [rows, heads, new tokens, width].
    """
    cache = _active.cache
    if cache is None or attention_mask is None:
        raise RowsUnsupported("attention outside of a pass over rows")
    if any(kwargs.get(name) is not None for name in ("s_aux", "position_bias", "head_mask")):
        raise RowsUnsupported("this model adds something to its attention scores")
    heads, tokens = query.shape[1], query.shape[2]
    queries = query.float()
    cached = cache.spans.get(id(attention_mask))
    results = []
    for index, row in enumerate(cache.rows):
        mask: Tensor | None = None
        if cached is not None:
            start, stop = cached[1][index]
        else:
            start, stop = 0, row.length + tokens
            mask = attention_mask[index, 0, :, :stop]
        result = attend(
            queries[index],
            row.get(cache.layer).narrow(2, start, stop - start),
            mask,
            scaling,
            kwargs.get("softcap"),
        )
        results.append(result.view(1, heads, tokens, -1))
    joined = results[0] if len(results) == 1 else torch.cat(results)
    return joined.transpose(1, 2).to(query.dtype).contiguous(), None


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, _mask)
