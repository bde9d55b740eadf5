"""A decoder of the Llama kind run straight from its weights, without transformers' modules.

transformers spends half of a step of a small model between multiplications. Here a pass is a dozen
operations a layer, over all rows at once, and only attention looks at rows one by one. Everything
is fp32 but the weights. A pass is filled up to a number of rows that `layers` knows to be safe, so
that a row's bits do not depend on its neighbours.
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
    """One layer's weights: queries, keys and values in one matrix, gate and up in another."""

    def __init__(self, of: Architecture, tensors: Mapping[str, Tensor], number: int) -> None:
        prefix = f"model.layers.{number}."

        def linear(*names: str) -> HalfLinear:
            weights = [tensors[f"{prefix}{name}.weight"] for name in names]
            biases = [tensors.get(f"{prefix}{name}.bias") for name in names]
            found = [bias for bias in biases if bias is not None]
            if found and len(found) < len(names):
                raise KeyError(f"{prefix}{names[0]}.bias")
            return HalfLinear(
                weights[0] if len(names) == 1 else torch.cat(weights),
                torch.cat(found).float() if found else None,
            )

        def norm(name: str) -> Tensor:
            return tensors[f"{prefix}{name}.weight"].float() + of.norm_offset

        self.mix = linear("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
        self.out = linear("self_attn.o_proj")
        self.up = linear("mlp.gate_proj", "mlp.up_proj")
        self.down = linear("mlp.down_proj")
        self.before_attention = norm("input_layernorm")
        self.after_attention = norm("post_attention_layernorm") if of.sandwich else None
        self.before_mlp = norm(
            "pre_feedforward_layernorm" if of.sandwich else "post_attention_layernorm"
        )
        self.after_mlp = norm("post_feedforward_layernorm") if of.sandwich else None
        self.head_norm = None
        if of.head_norms:
            query, key = norm("self_attn.q_norm"), norm("self_attn.k_norm")
            self.head_norm = torch.stack([query] * of.heads + [key] * of.key_heads)
        self.window = of.windows[number]
        self.rotary = of.rotary_of[number]


class DirectDecoder:
    """Runs an `Architecture`; see `Decoder` for what its methods mean.

    `tensors` are the model's by transformers' names, weights as fp16 [out, in].
    """

    name = "direct"
    attention = "sdpa, a row at a time"
    max_rows = MAX_ROWS

    def __init__(self, of: Architecture, tensors: Mapping[str, Tensor]) -> None:
        self.of = of
        self.table = tensors["model.embed_tokens.weight"]
        self.layers = [Layer(of, tensors, number) for number in range(of.layers)]
        self.norm = tensors["model.norm.weight"].float() + of.norm_offset
        self.head = HalfLinear(tensors.get("lm_head.weight", self.table), None)
        self.activation = _ACTIVATIONS[of.activation]
        self.frequencies = [
            (torch.tensor(rotary.frequencies, dtype=torch.float32), rotary.scale)
            for rotary in of.rotaries
        ]

    @property
    def vocabulary(self) -> int:
        """How many ids there are."""
        return self.table.shape[0]

    def linears(self) -> list[HalfLinear]:
        """Every matrix, to be packed."""
        each = [[layer.mix, layer.out, layer.up, layer.down] for layer in self.layers]
        return [linear for four in each for linear in four] + [self.head]

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
                wanted = ids[start + 1 + first : start + 1 + first + part.shape[0]]
                result += log_probabilities(self._logits(part), wanted)
        return result

    def _read(self, row: RowKeys, ids: Sequence[int]) -> Tensor:
        """Hidden states [tokens, hidden] of one row's next tokens."""
        positions = list(range(row.length, row.length + len(ids)))
        hidden = self._pass([row], ids, positions)
        row.length += len(ids)
        return hidden[: len(ids)]

    def _logits(self, hidden: Tensor) -> Tensor:
        """[rows, hidden] to fp32 [rows, vocabulary]."""
        logits: Tensor = self.head(self._normed(hidden, self.norm))
        cap = self.of.logit_cap
        return logits if cap is None else torch.tanh(logits / cap) * cap

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        # Twice as fast as `functional.rms_norm` for a few rows.
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.of.epsilon) * weight

    def _pass(self, rows: list[RowKeys], ids: Sequence[int], positions: list[int]) -> Tensor:
        """Hidden states after all layers, [rows filled up, hidden].

        Either many rows get one token each, or one row gets many.
        """
        of, count = self.of, len(ids)
        size = filled_rows(count)
        filler = [0] * (size - count)
        x = self.table[torch.tensor([*ids, *filler])].float()
        if of.embedding_scale != 1.0:
            x = x * of.embedding_scale
        turns = self._turns([*positions, *filler])
        masks: dict[int | None, tuple[int, Tensor]] = {}
        for number, layer in enumerate(self.layers):
            mixed = layer.mix(self._normed(x, layer.before_attention))
            heads = mixed.view(size, of.heads + 2 * of.key_heads, of.width)
            turned, values = heads.split([of.heads + of.key_heads, of.key_heads], dim=1)
            if layer.head_norm is not None:
                turned = self._normed(turned, layer.head_norm)
            cosine, sine = turns[layer.rotary]
            turned = turned * cosine + turned.roll(of.width // 2, -1) * sine
            queries, keys = turned.split([of.heads, of.key_heads], dim=1)
            pairs = torch.stack([keys, values], dim=1)
            if count == len(rows):
                seen = self._attend_steps(number, rows, queries, pairs)
            else:
                seen = self._attend_chunk(number, rows[0], count, queries, pairs, masks)
            added = layer.out(seen)
            if layer.after_attention is not None:
                added = self._normed(added, layer.after_attention)
            x = x + added
            gate, up = layer.up(self._normed(x, layer.before_mlp)).chunk(2, dim=-1)
            added = layer.down(self.activation(gate) * up)
            if layer.after_mlp is not None:
                added = self._normed(added, layer.after_mlp)
            x = x + added
        return x

    def _turns(self, positions: list[int]) -> list[tuple[Tensor, Tensor]]:
        """Cosines and signed sines [rows, 1, width] of each kind of rotary positions.

        The sines of the first half are negated, so that x * cosine + rolled x * sine turns x.
        """
        at = torch.tensor(positions, dtype=torch.float32)[:, None]
        turns = []
        for frequencies, scale in self.frequencies:
            angles = at * frequencies
            cosine, sine = angles.cos() * scale, angles.sin() * scale
            turns.append(
                (torch.cat([cosine, cosine], -1)[:, None], torch.cat([-sine, sine], -1)[:, None])
            )
        return turns

    def _attend_steps(
        self, number: int, rows: list[RowKeys], queries: Tensor, pairs: Tensor
    ) -> Tensor:
        """One new token a row; each over its own keys alone."""
        of, window = self.of, self.layers[number].window
        # Taking a tensor apart once is far cheaper than indexing it row by row.
        query_of, pair_of = queries.unsqueeze(2).unbind(), pairs.unsqueeze(3).unbind()
        seen = []
        for row, query, pair in zip(rows, query_of, pair_of, strict=False):
            known = row.append(number, pair)
            stop = row.length + 1
            start = 0 if window is None else max(0, stop - window)
            known = known.narrow(2, start, stop - start)
            seen.append(attend(query, known, None, of.attention_scale, of.attention_cap))
        return _filled(torch.cat(seen).view(len(rows), -1), queries.shape[0])

    def _attend_chunk(
        self,
        number: int,
        row: RowKeys,
        count: int,
        queries: Tensor,
        pairs: Tensor,
        masks: dict[int | None, tuple[int, Tensor]],
    ) -> Tensor:
        """Many new tokens of one row, each over those before it and itself."""
        of, window = self.of, self.layers[number].window
        known = row.append(number, pairs[:count].permute(1, 2, 0, 3))
        stop = row.length + count
        if window not in masks:
            start = 0 if window is None else max(0, row.length + 1 - window)
            at = torch.arange(row.length, stop)[:, None]
            index = torch.arange(start, stop)[None]
            mask = index <= at
            masks[window] = (start, mask if window is None else mask & (index > at - window))
        start, mask = masks[window]
        seen = attend(
            queries[:count].transpose(0, 1),
            known.narrow(2, start, stop - start),
            mask,
            of.attention_scale,
            of.attention_cap,
        )
        return _filled(seen.transpose(0, 1).reshape(count, -1), queries.shape[0])


def _filled(x: Tensor, size: int) -> Tensor:
    """x [rows, width] with rows of zeros behind it, `size` in all."""
    missing = size - x.shape[0]
    return functional.pad(x, (0, 0, 0, missing)) if missing else x
