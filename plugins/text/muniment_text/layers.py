"""fp16 weights and fp32 activations, multiplied so that rows do not see each other.

fbgemm multiplies fp32 rows by packed fp16 weights. Which of its kernels takes a row depends on how
many rows a call has, and the kernels for one and two rows round differently from the others; calls
of 4, 6, 8, 12, 16, 20 or 24 rows were all measured to give a row the same bits wherever it stands
and whatever stands beside it. So rows are cut and filled up to those numbers, while decoding and
while reading prompts alike. A self-test at load proves it on the machine at hand. Without fbgemm
(other processors) the weights are used as fp32.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

MAX_ROWS = 32
SHAPES = (4, 6, 8, 12, 16, 20, 24)
LARGEST_CALL = SHAPES[-1]
_SLICE = 32768
_LARGEST = 65504.0


def filled_rows(count: int) -> int:
    """How many rows a pass over `count` has once filled up: calls of LARGEST_CALL, then a rest."""
    whole, rest = divmod(count, LARGEST_CALL)
    return whole * LARGEST_CALL + (next(size for size in SHAPES if size >= rest) if rest else 0)


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
        count = rows.shape[0]
        filled = filled_rows(count)
        if filled > count:
            rows = functional.pad(rows, (0, 0, 0, filled - count))
        weight = None if self.packed else self.weight.float()
        calls = [self._multiply(part, weight) for part in rows.split(LARGEST_CALL)]
        result = calls[0] if len(calls) == 1 else torch.cat(calls)
        if filled > count:
            result = result[:count]
        if self.bias is not None:
            result = result + self.bias
        return result.view(*x.shape[:-1], self.out_features)

    def _multiply(self, rows: Tensor, weight: Tensor | None) -> Tensor:
        """One call's worth of rows, fp32 [rows, in] to [rows, out]; `weight` when not packed."""
        if weight is not None:
            return functional.linear(rows, weight)
        products = [torch.ops.quantized.linear_dynamic_fp16(rows, part) for part in self.packed]
        return products[0] if len(products) == 1 else torch.cat(products, dim=1)


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


def pack(layers: Iterable[HalfLinear]) -> None:
    """Pack every layer that is not yet for the kernel, on as many threads as torch uses.

    The fp16 weights of packed layers are let go; an embedding that shares them keeps its table.
    """
    layers = [layer for layer in layers if not layer.packed]
    if not layers or not has_fbgemm():
        return
    work = [(layer, part) for layer in layers for part in layer.slices()]
    # Each thread widens weights into one array again and again: fresh pages cost more than packing.
    largest = max((last - first) * layer.in_features for layer, (first, last) in work)
    local = threading.local()

    def pack_slice(item: tuple[HalfLinear, tuple[int, int]]) -> Any:
        layer, (first, last) = item
        if not hasattr(local, "wide"):
            local.wide = torch.empty(largest)
        wide = local.wide[: (last - first) * layer.in_features].view(-1, layer.in_features)
        wide.copy_(layer.weight[first:last])
        return torch.ops.quantized.linear_prepack_fp16(wide, None)

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        for (layer, _), packed in zip(work, pool.map(pack_slice, work), strict=True):
            layer.packed.append(packed)
    for layer in layers:
        layer.weight = layer.weight[:0]


def _half(weight: Tensor) -> Tensor:
    """Weights as fp16 [out, in]; what fp16 cannot hold becomes its largest number."""
    if weight.is_meta:
        return torch.empty(weight.shape, dtype=torch.float16, device="meta")
    result = torch.empty(weight.shape, dtype=torch.float16)
    for part, place in zip(weight.split(_SLICE), result.split(_SLICE), strict=True):
        place.copy_(part.detach().float().clamp(-_LARGEST, _LARGEST))
    return result
