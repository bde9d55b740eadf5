"""fp16 weights and fp32 activations, multiplied so that rows do not see each other.

fbgemm multiplies fp32 rows by packed fp16 weights. Which of its kernels takes a row depends on how
many rows a call has, and the kernels for one and two rows round differently from the others; calls
of 4, 6, 8, 12, 16, 20 or 24 rows were all measured to give a row the same bits wherever it stands
and whatever stands beside it. So rows are cut and filled up to those numbers, while decoding and
while reading prompts alike. A self-test at load proves it on the machine at hand. Without fbgemm
(other processors) the weights are used as fp32.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

MAX_ROWS = 32
SHAPES = (4, 6, 8, 12, 16, 20, 24)
_SLICE = 32768
_LARGEST = 65504.0


def has_fbgemm() -> bool:
    """Whether this build of torch has fbgemm's fp16 kernels for this processor."""
    return "fbgemm" in torch.backends.quantized.supported_engines


class HalfLinear(nn.Module):
    """Replaces `nn.Linear` and GPT-2's `Conv1D`: [..., in] to fp32 [..., out].

    `weight` is fp16 [out, in]; `pack` turns it into what the kernel reads, slice by slice.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.packed: list[Any] = []

    def slices(self) -> list[tuple[int, int]]:
        """The ranges of output rows that are packed apart, so that several threads can."""
        starts = range(0, self.out_features, _SLICE)
        return [(start, min(start + _SLICE, self.out_features)) for start in starts]

    def forward(self, x: Tensor) -> Tensor:
        """Multiply; every row of the result depends on its own row of `x` alone."""
        rows = x.reshape(-1, self.in_features).float()
        result = torch.empty(rows.shape[0], self.out_features)
        for start in range(0, rows.shape[0], SHAPES[-1]):
            part = rows[start : start + SHAPES[-1]]
            count = part.shape[0]
            shape = next(size for size in SHAPES if size >= count)
            if shape > count:
                part = functional.pad(part, (0, 0, 0, shape - count))
            if not self.packed:
                result[start : start + count] = functional.linear(part, self.weight.float())[:count]
            for (first, last), packed in zip(self.slices(), self.packed, strict=False):
                product = torch.ops.quantized.linear_dynamic_fp16(part, packed)
                result[start : start + count, first:last] = product[:count]
        if self.bias is not None:
            result += self.bias
        return result.view(*x.shape[:-1], self.out_features)


class HalfEmbedding(nn.Module):
    """Replaces the input embedding: ids [...] to fp32 [..., hidden].

    The original module still runs, on a table of just the rows asked for, so that whatever a model
    adds to its embedding (Gemma multiplies it) stays the model's own business.
    """

    weight: Tensor

    def __init__(self, original: Any, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        original.weight = nn.Parameter(torch.empty(0, weight.shape[1]), requires_grad=False)
        original.padding_idx = None
        self.original = original

    def forward(self, ids: Tensor) -> Tensor:
        """Look up rows and hand them to the original module."""
        flat = ids.reshape(-1)
        positions = torch.arange(flat.numel()).view(ids.shape)
        result: Tensor = torch.func.functional_call(
            self.original, {"weight": self.weight[flat].float()}, (positions,)
        )
        return result


def halve_model(model: Any) -> None:
    """Replace, in place, the layers of a transformers causal LM by fp16 ones, not yet packed.

    With parameters on the meta device this only prepares the places to load prepared weights into.
    Every `nn.Linear`, GPT-2 `Conv1D` and the input embedding are replaced; a head tied to the
    embedding shares its table. The rest becomes fp32.
    """
    from transformers.pytorch_utils import Conv1D

    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head is not None and head.weight is embedding.weight
    table = _half(embedding.weight)
    for name, module in list(model.named_modules()):
        new: nn.Module
        if module is embedding:
            new = HalfEmbedding(module, table)
        elif type(module) is nn.Linear:
            shared = tied and module is head
            new = HalfLinear(table if shared else _half(module.weight), module.bias)
        elif type(module) is Conv1D:
            new = HalfLinear(_half(module.weight.t()), module.bias)
        else:
            continue
        model.set_submodule(name, new)
    for parameter in model.parameters():
        if parameter.is_floating_point() and parameter.dtype != torch.float32:
            parameter.data = parameter.data.float()
        parameter.requires_grad_(False)
    for module in model.modules():
        if isinstance(module, HalfLinear) and module.bias is not None:
            module.bias = module.bias.detach().float()


def pack_model(model: Any) -> None:
    """Pack every layer for the kernel, on as many threads as torch uses.

    The fp16 weights of packed layers are let go; the embedding keeps its table.
    """
    if not has_fbgemm():
        return
    layers = [module for module in model.modules() if isinstance(module, HalfLinear)]
    work = [(layer, part) for layer in layers for part in layer.slices()]

    def pack(item: tuple[HalfLinear, tuple[int, int]]) -> Any:
        layer, (first, last) = item
        return torch.ops.quantized.linear_prepack_fp16(layer.weight[first:last].float(), None)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        packed: Iterable[Any] = pool.map(pack, work)
        for (layer, _), one in zip(work, packed, strict=True):
            layer.packed.append(one)
    for layer in layers:
        layer.weight = layer.weight[:0]


def _half(weight: Tensor) -> Tensor:
    """Weights as fp16 [out, in]; what fp16 cannot hold becomes its largest number."""
    if weight.is_meta:
        return torch.empty(weight.shape, dtype=torch.float16, device="meta")
    result = torch.empty(weight.shape, dtype=torch.float16)
    for start in range(0, weight.shape[0], _SLICE):
        part = weight[start : start + _SLICE].detach().float()
        result[start : start + _SLICE] = part.clamp(-_LARGEST, _LARGEST).half()
    return result
