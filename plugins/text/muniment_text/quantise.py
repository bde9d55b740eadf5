"""Weight-only int8: one scale an output row, bf16 at the kernel, rows that do not see each other.

Up to 32 rows go through `_weight_int8pack_mm`, whose result for a row does not depend on the other
rows (a self-test at load proves it on the machine at hand). More rows only occur in the prefill of
one prompt alone; there the weights are dequantised and multiplied in fp32, which is faster.

One scale a row is too coarse for the vocabulary's table: it alone cost 1.1 % of perplexity in
Chinese. So the table is kept a second time with a scale for every 32 numbers, for looking tokens up
and for the logits that matter.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

MAX_KERNEL_ROWS = 32
_REFINED = 256
_GROUP = 32
_SLICE = 16384
# The kernel reads past the end of rows (and crashes) whose width is no multiple of 8.
_WIDTH = 8


def quantise_rows(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Floats [out, in] to int8 [out, in] and bf16 scales [out]; weight ~ int8 * scale.

    `in` is filled up with zeros to a multiple of 8.

    The scale is rounded to bf16 first, because the kernel wants it so, and the integers are made
    for the rounded scale: otherwise a whole row would be off by up to 0.4 %.
    """
    weight = functional.pad(weight, (0, -weight.shape[1] % _WIDTH))
    quantised = torch.empty(weight.shape, dtype=torch.int8)
    scales = torch.empty(weight.shape[0], dtype=torch.bfloat16)
    for start in range(0, weight.shape[0], _SLICE):
        part = weight[start : start + _SLICE].float()
        scale = (part.abs().amax(dim=1) / 127.0).clamp(min=1e-30).bfloat16()
        integers = (part / scale.float()[:, None]).round().clamp(-127, 127)
        quantised[start : start + _SLICE] = integers.to(torch.int8)
        scales[start : start + _SLICE] = scale
    return quantised, scales


class QuantisedLinear(nn.Module):
    """Replaces `nn.Linear` and GPT-2's `Conv1D`: [..., in] to fp32 [..., out]."""

    qweight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __init__(self, qweight: Tensor, scale: Tensor, bias: Tensor | None, width: int) -> None:
        super().__init__()
        self.in_features = width
        self.out_features, padded = qweight.shape
        self.padding = padded - width
        self.register_buffer("qweight", qweight)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)

    @property
    def weight(self) -> Tensor:
        """The int8 weights, for code that only asks a layer for its weight's device."""
        return self.qweight

    def forward(self, x: Tensor) -> Tensor:
        """Multiply; every row of the result depends on its own row of `x` alone."""
        rows = self._rows(x)
        if rows.shape[0] <= MAX_KERNEL_ROWS:
            rows = rows.bfloat16()
            result = torch._weight_int8pack_mm(rows, self.qweight, self.scale).float()
        else:
            result = functional.linear(rows.float(), self.dequantised())
        if self.bias is not None:
            result = result + self.bias
        return result.view(*x.shape[:-1], self.out_features)

    def _rows(self, x: Tensor) -> Tensor:
        """Flatten [..., in] to [rows, in], as wide as the stored weights."""
        rows = x.reshape(-1, self.in_features)
        return functional.pad(rows, (0, self.padding)) if self.padding else rows

    def dequantised(self, start: int = 0, stop: int | None = None) -> Tensor:
        """Output rows `start` to `stop` of the weight as fp32 [rows, in]."""
        return self.qweight[start:stop].float() * self.scale[start:stop].float()[:, None]


class GroupedTable(nn.Module):
    """A vocabulary's table, int8 [vocabulary, width] with an fp16 scale for every 32 numbers."""

    integers: Tensor
    scales: Tensor

    def __init__(self, integers: Tensor, scales: Tensor, width: int) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("integers", integers)
        self.register_buffer("scales", scales)

    @classmethod
    def of(cls, weight: Tensor) -> GroupedTable:
        """Quantise floats [vocabulary, width]; on the meta device only shapes are made."""
        count, width = weight.shape
        groups = -(-width // _GROUP)
        integers = torch.empty(count, groups * _GROUP, dtype=torch.int8, device=weight.device)
        scales = torch.empty(count, groups, dtype=torch.float16, device=weight.device)
        if not weight.is_meta:
            for start in range(0, count, _SLICE):
                part = functional.pad(weight[start : start + _SLICE].float(), (0, -width % _GROUP))
                part = part.view(-1, groups, _GROUP)
                scale = (part.abs().amax(dim=2) / 127.0).clamp(min=1e-7).half()
                rounded = (part / scale.float()[..., None]).round().clamp(-127, 127)
                integers[start : start + _SLICE] = rounded.to(torch.int8).flatten(1)
                scales[start : start + _SLICE] = scale
        return cls(integers, scales, width)

    def rows(self, ids: Tensor) -> Tensor:
        """The rows of ids [n] as fp32 [n, width]."""
        groups = self.integers[ids].float().view(ids.numel(), -1, _GROUP)
        return (groups * self.scales[ids].float()[..., None]).flatten(1)[:, : self.width]


class QuantisedHead(QuantisedLinear):
    """The output layer: [..., hidden] to fp32 logits [..., vocabulary].

    The kernel rounds to bf16, which puts a logit of 20 on a grid of 0.125 and makes false ties; so
    at least the 256 largest of each row are computed again in fp32 from the finer table.
    """

    def __init__(
        self, qweight: Tensor, scale: Tensor, bias: Tensor | None, table: GroupedTable
    ) -> None:
        super().__init__(qweight, scale, bias, table.width)
        self.table = table

    def forward(self, x: Tensor) -> Tensor:
        """Compute logits; every row of them depends on its own row of `x` alone."""
        values = x.reshape(-1, self.in_features).float()
        logits = torch.empty(values.shape[0], self.out_features)
        for start in range(0, values.shape[0], MAX_KERNEL_ROWS):
            part = self._rows(values[start : start + MAX_KERNEL_ROWS]).bfloat16()
            logits[start : start + MAX_KERNEL_ROWS] = torch._weight_int8pack_mm(
                part, self.qweight, self.scale
            )
        for index in range(values.shape[0]):
            self._refine(logits[index], values[index])
        if self.bias is not None:
            logits = logits + self.bias
        return logits.view(*x.shape[:-1], self.out_features)

    def _refine(self, logits: Tensor, values: Tensor) -> None:
        ids = torch.from_numpy(largest(logits.numpy(), _REFINED))
        logits[ids] = torch.mv(self.table.rows(ids), values)


def largest(values: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    """At least `count` ids that include the `count` largest of `values` [n], ids ascending."""
    block = values.size // (4 * count)
    if block < 8:
        return np.arange(values.size)
    blocks = values.size // block
    maxima = values[: blocks * block].reshape(blocks, block).max(axis=1)
    return np.flatnonzero(values >= np.partition(maxima, blocks - count)[blocks - count])


class QuantisedEmbedding(nn.Module):
    """Replaces the input embedding: ids [...] to fp32 [..., hidden].

    The original module still runs, on a table of just the rows asked for, so that whatever a model
    adds to its embedding (Gemma multiplies it) stays the model's own business.
    """

    def __init__(self, original: Any, table: GroupedTable) -> None:
        super().__init__()
        self.table = table
        original.weight = nn.Parameter(torch.empty(0, table.width), requires_grad=False)
        original.padding_idx = None
        self.original = original

    @property
    def weight(self) -> Tensor:
        """The int8 table, for code that only asks for its device."""
        return self.table.integers

    def forward(self, ids: Tensor) -> Tensor:
        """Look up rows and hand them to the original module."""
        flat = ids.reshape(-1)
        table = self.table.rows(flat)
        positions = torch.arange(flat.numel()).view(ids.shape)
        result: Tensor = torch.func.functional_call(self.original, {"weight": table}, (positions,))
        return result


def quantise_model(model: Any) -> None:
    """Replace, in place, the layers of a transformers causal LM by quantised ones.

    With parameters on the meta device this only prepares the places to load prepared weights into.
    Every `nn.Linear`, GPT-2 `Conv1D`, the input embedding and the output layer are replaced; a head
    tied to the embedding shares its table. The rest becomes fp32.
    """
    from transformers.pytorch_utils import Conv1D

    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head is not None and head.weight is embedding.weight
    table = GroupedTable.of(embedding.weight.detach())
    for name, module in list(model.named_modules()):
        new: nn.Module
        if module is embedding:
            new = QuantisedEmbedding(module, table)
        elif module is head and isinstance(module, nn.Linear):
            finer = table if tied else GroupedTable.of(module.weight.detach())
            new = QuantisedHead(*_quantised(module.weight), module.bias, finer)
        elif type(module) is nn.Linear:
            new = QuantisedLinear(*_quantised(module.weight), module.bias, module.in_features)
        elif type(module) is Conv1D:
            pair = _quantised(module.weight.t())
            new = QuantisedLinear(*pair, module.bias, module.weight.shape[0])
        else:
            continue
        model.set_submodule(name, new)
    for parameter in model.parameters():
        if parameter.is_floating_point() and parameter.dtype != torch.float32:
            parameter.data = parameter.data.float()
        parameter.requires_grad_(False)
    for module in model.modules():
        if isinstance(module, QuantisedLinear) and module.bias is not None:
            module.bias = module.bias.detach().float()


def _quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    if weight.is_meta:
        padded = weight.shape[1] + -weight.shape[1] % _WIDTH
        return (
            torch.empty(weight.shape[0], padded, dtype=torch.int8, device="meta"),
            torch.empty(weight.shape[0], dtype=torch.bfloat16, device="meta"),
        )
    return quantise_rows(weight.detach())
