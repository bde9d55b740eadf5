"""Linear layers with fp16 weights and fp32 activations, in which rows do not affect each other.

fbgemm multiplies fp32 rows by packed fp16 weights. The number of rows in a call determines its
kernel, and the kernels for one and two rows round differently from the others. Calls of 4, 6, 8,
12, 16, 20 and 24 rows were measured. In these calls, the bits of a row do not depend on its
position or on the other rows. Rows are therefore split and padded to these numbers, for steps and
for prompts.

A self-test verifies this on the current machine when a model is loaded. Without fbgemm (on other
processors), the weights are converted to fp32.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

MAX_ROWS = 32
SHAPES = (4, 6, 8, 12, 16, 20, 24)  # numbers of rows in a call
LARGEST_CALL = SHAPES[-1]
# Output rows that are packed together. fbgemm reads the weights column by column, so the rows of a
# slice should fit the processor's cache. 8192 rows took half of the time of 32768. Smaller slices
# gain little, and each slice is one more parallel region in every step.
_SLICE = 8192
# TorchScript, because it runs without the interpreter's lock. All weights are converted to fp32 in
# one array, because allocating memory pages takes longer than packing. They are converted a few
# rows at a time: for 32,768 elements and more, torch would start further threads.
_PACK = """
def pack(
    slices: List[List[Tensor]], scratch: Tensor
) -> List[__torch__.torch.classes.quantized.LinearPackedParamsBase]:
    packed: List[__torch__.torch.classes.quantized.LinearPackedParamsBase] = []
    for parts in slices:
        width = parts[0].size(1)
        stop = 0
        for part in parts:
            for rows in part.split(max(1, 32767 // width)):
                scratch[stop:stop + rows.numel()].view(-1, width).copy_(rows)
                stop += rows.numel()
        wide = scratch[:stop].view(-1, width)
        packed.append(torch.ops.quantized.linear_prepack_fp16(wide, None))
    return packed
"""


def filled_rows(count: int) -> int:
    """Return the number of rows of a pass over `count` rows after padding.

    All calls have LARGEST_CALL rows, except the last one, which has a number from SHAPES.
    """
    whole, rest = divmod(count, LARGEST_CALL)
    return whole * LARGEST_CALL + (next(size for size in SHAPES if size >= rest) if rest else 0)


def has_fbgemm() -> bool:
    """Return whether this build of torch has fbgemm's fp16 kernels for this processor."""
    return "fbgemm" in torch.backends.quantized.supported_engines


class HalfLinear(nn.Module):
    """A replacement of `nn.Linear` and GPT-2's `Conv1D` that maps [..., in] to fp32 [..., out].

    `weight` is fp16 [out, in]. The rows of `further`, if any, follow its rows. `pack` converts
    them to the kernel's format in slices.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None, *further: Tensor) -> None:
        super().__init__()
        self.in_features = weight.shape[1]
        self.out_features = sum(part.shape[0] for part in (weight, *further))
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self._further = further
        self.packed: list[Any] = []

    def slices(self) -> list[list[Tensor]]:
        """Return the weights of each slice, which may consist of several tensors."""
        parts = [self.weight, *self._further]
        if self.out_features <= _SLICE:
            return [parts]
        return [[rows] for part in parts for rows in part.split(_SLICE)]

    def release(self) -> None:
        """Release the weights that are not packed."""
        self.weight, self._further = self.weight.new_empty(0, self.in_features), ()

    def forward(self, x: Tensor) -> Tensor:
        """Return x multiplied by the weights, plus the bias.

        Each row of the result depends only on the same row of `x`.
        """
        rows = x.reshape(-1, self.in_features).float()
        count = rows.shape[0]
        padded = filled_rows(count)
        if padded > count:
            rows = functional.pad(rows, (0, 0, 0, padded - count))
        weight = None if self.packed else torch.cat([self.weight, *self._further]).float()
        calls = [self._multiply(part, weight) for part in rows.split(LARGEST_CALL)]
        result = calls[0] if len(calls) == 1 else torch.cat(calls)
        if padded > count:
            result = result[:count]
        if self.bias is not None:
            result = result + self.bias
        return result.view(*x.shape[:-1], self.out_features)

    def _multiply(self, rows: Tensor, weight: Tensor | None) -> Tensor:
        """Return the product [rows, out] of fp32 rows [rows, in] in one call of the kernel.

        `weight` is fp32 [out, in] if the layer is not packed, and None otherwise.
        """
        if weight is not None:
            return functional.linear(rows, weight)
        products = [torch.ops.quantized.linear_dynamic_fp16(rows, part) for part in self.packed]
        return products[0] if len(products) == 1 else torch.cat(products, dim=1)


class HalfEmbedding(nn.Module):
    """A replacement of the input embedding that maps ids [...] to fp32 [..., hidden].

    The original module is called with a table of only the requested rows. It keeps its further
    operations, such as the multiplication in Gemma.
    """

    weight: Tensor

    def __init__(self, original: Any, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        original.weight = nn.Parameter(torch.empty(0, weight.shape[1]), requires_grad=False)
        original.padding_idx = None
        self.original = original

    def forward(self, ids: Tensor) -> Tensor:
        """Return the embeddings of token ids."""
        flat = ids.reshape(-1)
        positions = torch.arange(flat.numel()).view(ids.shape)
        result: Tensor = torch.func.functional_call(
            self.original, {"weight": self.weight[flat].float()}, (positions,)
        )
        return result


def halve_model(model: Any) -> None:
    """Replace the layers of a transformers causal LM in place by unpacked fp16 layers.

    Every `nn.Linear`, every GPT-2 `Conv1D` and the input embedding are replaced. An output head
    that is tied to the embedding shares its table. All other parameters are converted to fp32.
    If the parameters are on the meta device, no weights are allocated, so that prepared weights
    can be loaded afterwards. Raises OverflowError, with the name, for a tensor that fp16 cannot
    represent.
    """
    from transformers.pytorch_utils import Conv1D

    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head is not None and head.weight is embedding.weight
    modules = dict(model.named_modules())
    place = next(name for name, module in modules.items() if module is embedding)
    table = _half(embedding.weight, f"{place}.weight")
    for name, module in modules.items():
        weight = f"{name}.weight"
        new: nn.Module
        if module is embedding:
            new = HalfEmbedding(module, table)
        elif type(module) is nn.Linear:
            shared = tied and module is head
            new = HalfLinear(table if shared else _half(module.weight, weight), module.bias)
        elif type(module) is Conv1D:
            new = HalfLinear(_half(module.weight.t(), weight), module.bias)
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


def pack(layers: Iterable[HalfLinear], meanwhile: Callable[[], object] = lambda: None) -> None:
    """Convert all unpacked layers to the kernel's format, with as many threads as torch uses.

    The layers release their fp16 weights. An embedding that shares them keeps its table.
    `meanwhile` is called while the threads pack.
    """
    layers = [layer for layer in layers if not layer.packed]
    if not layers or not has_fbgemm():
        return
    work = [(layer, parts) for layer in layers for parts in layer.slices()]
    largest = max(sum(part.numel() for part in parts) for _, parts in work)
    script = torch.jit.CompilationUnit(_PACK)
    threads = torch.get_num_threads()
    started = threading.Barrier(threads + 1)

    def pack_share(number: int) -> list[Any]:
        share = [parts for _, parts in work[number::threads]]
        scratch = torch.empty(largest)
        started.wait()
        return list(script.pack(share, scratch))

    with ThreadPoolExecutor(threads) as pool:
        shares = [pool.submit(pack_share, number) for number in range(threads)]
        started.wait()
        meanwhile()
    packed = [iter(share.result()) for share in shares]
    for number, (layer, _) in enumerate(work):
        layer.packed.append(next(packed[number % threads]))
    for layer in layers:
        layer.release()


def _half(weight: Tensor, name: str = "weight") -> Tensor:
    """Return finite weights as fp16 [out, in]. Raise OverflowError, with `name`, if one is larger.

    Values that are too small become 0.
    """
    if weight.is_meta:
        return torch.empty(weight.shape, dtype=torch.float16, device="meta")
    result = torch.empty(weight.shape, dtype=torch.float16)
    for part, target in zip(weight.split(_SLICE), result.split(_SLICE), strict=True):
        target.copy_(part.detach().float())
        if target.isinf().any():
            raise OverflowError(name)
    return result
