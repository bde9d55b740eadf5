"""A decoder for architectures of the Llama family that computes directly from the weights.

transformers' modules spend half of a step of a small model outside of multiplications. This
decoder runs a dozen operations for each layer, for all rows at once. Only attention is computed
for each row separately. The weights are fp16 and everything else is fp32. The rows of a pass are
padded to a number from `layers.SHAPES`, so that a row's bits do not depend on the other rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .architecture import Architecture
from .decoder import PREFILL_CHUNK, log_probabilities
from .keys import RowKeys, attend
from .layers import LARGEST_CALL, MAX_ROWS, HalfLinear, filled_rows

_ACTIVATIONS: dict[str, Any] = {
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "relu": functional.relu,
}


class Layer:
    """The weights of one layer.

    One matrix contains the projections of queries, keys and values. Another one contains the gate
    and up projections.
    """

    def __init__(
        self, architecture: Architecture, tensors: Mapping[str, Tensor], number: int
    ) -> None:
        prefix = f"model.layers.{number}."

        def linear(*names: str) -> HalfLinear:
            weights = [tensors[f"{prefix}{name}.weight"] for name in names]
            biases = [tensors.get(f"{prefix}{name}.bias") for name in names]
            present = [bias for bias in biases if bias is not None]
            if present and len(present) < len(names):
                raise KeyError(f"{prefix}{names[0]}.bias")
            return HalfLinear(
                weights[0], torch.cat(present).float() if present else None, *weights[1:]
            )

        def norm(name: str) -> Tensor:
            return tensors[f"{prefix}{name}.weight"].float() + architecture.norm_offset

        self.mix = linear("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
        self.out = linear("self_attn.o_proj")
        self.up = linear("mlp.gate_proj", "mlp.up_proj")
        self.down = linear("mlp.down_proj")
        self.before_attention = norm("input_layernorm")
        self.after_attention = norm("post_attention_layernorm") if architecture.sandwich else None
        self.before_mlp = norm(
            "pre_feedforward_layernorm" if architecture.sandwich else "post_attention_layernorm"
        )
        self.after_mlp = norm("post_feedforward_layernorm") if architecture.sandwich else None
        self.head_norm = None
        if architecture.head_norms:
            query, key = norm("self_attn.q_norm"), norm("self_attn.k_norm")
            self.head_norm = torch.stack(
                [query] * architecture.heads + [key] * architecture.key_heads
            )
        self.window = architecture.windows[number]
        self.rotary = architecture.rotary_of[number]


class DirectDecoder:
    """Runs a model of a given `Architecture`. `Decoder` documents the methods.

    `tensors` are the model's tensors by transformers' names, with weights as fp16 [out, in].
    """

    name = "direct"
    attention = "sdpa, a row at a time"
    max_rows = MAX_ROWS

    def __init__(self, architecture: Architecture, tensors: Mapping[str, Tensor]) -> None:
        self.architecture = architecture
        self.table = tensors["model.embed_tokens.weight"]
        self.layers = [
            Layer(architecture, tensors, number) for number in range(architecture.layers)
        ]
        self.norm = tensors["model.norm.weight"].float() + architecture.norm_offset
        self.head = HalfLinear(tensors.get("lm_head.weight", self.table), None)
        self.activation = _ACTIVATIONS[architecture.activation]
        self.frequencies = [
            (torch.tensor(rotary.frequencies, dtype=torch.float32), rotary.scale)
            for rotary in architecture.rotaries
        ]

    @property
    def vocabulary(self) -> int:
        """The number of token ids."""
        return self.table.shape[0]

    def linears(self) -> list[HalfLinear]:
        """Return all linear layers, which must be packed before use."""
        groups = [[layer.mix, layer.out, layer.up, layer.down] for layer in self.layers]
        return [linear for group in groups for linear in group] + [self.head]

    @torch.inference_mode()
    def prefill(self, ids: Sequence[int]) -> tuple[RowKeys, Tensor]:
        """See `Decoder`."""
        row = RowKeys()
        for start in range(0, len(ids), PREFILL_CHUNK):
            hidden = self._read(row, ids[start : start + PREFILL_CHUNK])
        return row, self._logits(hidden[-1:])[0]

    @torch.inference_mode()
    def step(self, rows: Sequence[RowKeys], ids: Sequence[int]) -> Tensor:
        """See `Decoder`."""
        hidden = self._pass(list(rows), ids, [row.length for row in rows])
        for row in rows:
            row.length += 1
        return self._logits(hidden)[: len(rows)]

    @torch.inference_mode()
    def score(self, ids: Sequence[int]) -> list[float]:
        """See `Decoder`."""
        row = RowKeys()
        result: list[float] = []
        for start in range(0, len(ids) - 1, PREFILL_CHUNK):
            chunk = ids[start : min(start + PREFILL_CHUNK, len(ids) - 1)]
            hidden = self._read(row, chunk)
            # Few rows of logits at a time: 256 of 262,144 would be 268 MB.
            for first in range(0, len(chunk), LARGEST_CALL):
                part = hidden[first : first + LARGEST_CALL]
                token_ids = ids[start + 1 + first : start + 1 + first + part.shape[0]]
                result += log_probabilities(self._logits(part), token_ids)
        return result

    @torch.inference_mode()
    def hidden(self, ids: Sequence[int]) -> Tensor:
        """See `Decoder`."""
        row = RowKeys()
        chunks = [
            self._read(row, ids[start : start + PREFILL_CHUNK])
            for start in range(0, len(ids), PREFILL_CHUNK)
        ]
        return self._normed(torch.cat(chunks), self.norm)

    def _read(self, row: RowKeys, ids: Sequence[int]) -> Tensor:
        """Return the hidden states [tokens, hidden] of one row's next tokens."""
        positions = list(range(row.length, row.length + len(ids)))
        hidden = self._pass([row], ids, positions)
        row.length += len(ids)
        return hidden[: len(ids)]

    def _logits(self, hidden: Tensor) -> Tensor:
        """Return the logits, fp32 [rows, vocabulary], of hidden states [rows, hidden]."""
        logits: Tensor = self.head(self._normed(hidden, self.norm))
        cap = self.architecture.logit_cap
        return logits if cap is None else torch.tanh(logits / cap) * cap

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        # Twice as fast as `functional.rms_norm` for a few rows.
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.architecture.epsilon) * weight

    def _pass(self, rows: list[RowKeys], ids: Sequence[int], positions: list[int]) -> Tensor:
        """Return the hidden states after all layers, [padded rows, hidden].

        Either several rows get one token each, or one row gets several tokens.
        """
        architecture, count = self.architecture, len(ids)
        size = filled_rows(count)
        padding = [0] * (size - count)
        x = self.table[torch.tensor([*ids, *padding])].float()
        if architecture.embedding_scale != 1.0:
            x = x * architecture.embedding_scale
        rotations = self._rotations([*positions, *padding])
        masks: dict[int | None, tuple[int, Tensor]] = {}
        for number, layer in enumerate(self.layers):
            mixed = layer.mix(self._normed(x, layer.before_attention))
            heads = mixed.view(
                size, architecture.heads + 2 * architecture.key_heads, architecture.width
            )
            rotated, values = heads.split(
                [architecture.heads + architecture.key_heads, architecture.key_heads], dim=1
            )
            if layer.head_norm is not None:
                rotated = self._normed(rotated, layer.head_norm)
            cosine, sine = rotations[layer.rotary]
            rotated = rotated * cosine + rotated.roll(architecture.width // 2, -1) * sine
            queries, keys = rotated.split([architecture.heads, architecture.key_heads], dim=1)
            pairs = torch.stack([keys, values], dim=1)
            if count == len(rows):
                attended = self._attend_steps(number, rows, queries, pairs)
            else:
                attended = self._attend_chunk(number, rows[0], count, queries, pairs, masks)
            added = layer.out(attended)
            if layer.after_attention is not None:
                added = self._normed(added, layer.after_attention)
            x = x + added
            gate, up = layer.up(self._normed(x, layer.before_mlp)).chunk(2, dim=-1)
            added = layer.down(self.activation(gate) * up)
            if layer.after_mlp is not None:
                added = self._normed(added, layer.after_mlp)
            x = x + added
        return x

    def _rotations(self, positions: list[int]) -> list[tuple[Tensor, Tensor]]:
        """Return the cosines and signed sines [rows, 1, width] of each rotary embedding.

        The first half of the sines is negated. The rotation of x is then
        `x * cosine + x.roll(width // 2) * sine`.
        """
        column = torch.tensor(positions, dtype=torch.float32)[:, None]
        rotations = []
        for frequencies, scale in self.frequencies:
            angles = column * frequencies
            cosine, sine = angles.cos() * scale, angles.sin() * scale
            rotations.append(
                (torch.cat([cosine, cosine], -1)[:, None], torch.cat([-sine, sine], -1)[:, None])
            )
        return rotations

    def _attend_steps(
        self, number: int, rows: list[RowKeys], queries: Tensor, pairs: Tensor
    ) -> Tensor:
        """Return the attention of one new token of each row over the row's own keys.

        The result is [padded rows, heads * width].
        """
        architecture, window = self.architecture, self.layers[number].window
        # Unbinding a tensor once is much faster than indexing it for each row.
        row_queries, row_pairs = queries.unsqueeze(2).unbind(), pairs.unsqueeze(3).unbind()
        results = []
        for row, query, pair in zip(rows, row_queries, row_pairs, strict=False):
            stored = row.append(number, pair)
            stop = row.length + 1
            start = 0 if window is None else max(0, stop - window)
            stored = stored.narrow(2, start, stop - start)
            results.append(
                attend(
                    query, stored, None, architecture.attention_scale, architecture.attention_cap
                )
            )
        return _padded(torch.cat(results).view(len(rows), -1), queries.shape[0])

    def _attend_chunk(
        self,
        number: int,
        row: RowKeys,
        count: int,
        queries: Tensor,
        pairs: Tensor,
        masks: dict[int | None, tuple[int, Tensor]],
    ) -> Tensor:
        """Return the attention of several new tokens of one row.

        Each token attends to itself and to the tokens before it. `masks` caches the first visible
        position and the mask of each window size.
        """
        architecture, window = self.architecture, self.layers[number].window
        stored = row.append(number, pairs[:count].permute(1, 2, 0, 3))
        stop = row.length + count
        if window not in masks:
            start = 0 if window is None else max(0, row.length + 1 - window)
            query_positions = torch.arange(row.length, stop)[:, None]
            key_positions = torch.arange(start, stop)[None]
            mask = key_positions <= query_positions
            if window is not None:
                mask = mask & (key_positions > query_positions - window)
            masks[window] = (start, mask)
        start, mask = masks[window]
        attended = attend(
            queries[:count].transpose(0, 1),
            stored.narrow(2, start, stop - start),
            mask,
            architecture.attention_scale,
            architecture.attention_cap,
        )
        return _padded(attended.transpose(0, 1).reshape(count, -1), queries.shape[0])


def _padded(x: Tensor, size: int) -> Tensor:
    """Return x [rows, width] with rows of zeros appended, as [size, width]."""
    missing = size - x.shape[0]
    return functional.pad(x, (0, 0, 0, missing)) if missing else x
