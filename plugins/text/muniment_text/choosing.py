"""Choose the fastest decoder that runs a model correctly and exactly on this machine.

The decoders are tried in this order:

1. `direct`, for architectures of the Llama family
2. `rows`, which runs transformers' modules with all rows in one pass
3. `row-by-row`, which runs transformers' modules for each row separately

The last one is slow, and exact by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from .architecture import Architecture, describe_architecture
from .decoder import Decoder
from .direct import DirectDecoder
from .errors import NotOfThisKind, RowsMixed, RowsUnsupported
from .layers import HalfLinear, pack
from .memory import SelfTests
from .selftest import compare_logits, mixes_rows, sample_logits

_PROVEN = "self-test: equal logits alone and in a batch"


def pack_direct(
    architecture: Architecture,
    tensors: Mapping[str, Tensor],
    tests: SelfTests,
    meanwhile: Callable[[], object],
) -> tuple[DirectDecoder, str]:
    """Return a packed direct decoder and the reason why it is considered exact.

    `tensors` are the model's tensors by transformers' names. `meanwhile` is called while they are
    packed. Raises KeyError for a missing tensor, and RowsMixed if the self-test fails here.
    """
    decoder = DirectDecoder(architecture, tensors)
    pack(decoder.linears(), meanwhile)
    reason = tests.run(DirectDecoder, lambda: mixes_rows(decoder))
    if reason is not None:
        raise RowsMixed(reason)
    return decoder, _PROVEN


def build_direct(model: Any) -> DirectDecoder | None:
    """Return a direct decoder with the logits of a transformers model, or None if unsupported.

    The model's linear layers must be those of module `layers`. This function packs them.
    """
    from .modules import SinglesDecoder

    tensors = model.state_dict()
    pack(module for module in model.modules() if isinstance(module, HalfLinear))
    try:
        decoder = DirectDecoder(describe_architecture(model), tensors)
    except (NotOfThisKind, KeyError):
        return None
    pack(decoder.linears())
    # The window in the configuration is tested too, in case the description does not contain it.
    windows = [*decoder.architecture.windows, getattr(model.config, "sliding_window", None)]
    expected = sample_logits(SinglesDecoder(model), windows)
    return None if compare_logits(sample_logits(decoder, windows), expected) else decoder


def choose_decoder(model: Any, tests: SelfTests) -> tuple[Decoder, str]:
    """Return the decoder for a transformers model and the reason for the choice.

    The model's linear layers must be those of module `layers`. This function packs them.
    """
    decoder = build_direct(model)
    if decoder is not None:
        packed = decoder
        if tests.run(DirectDecoder, lambda: mixes_rows(packed)) is None:
            return decoder, _PROVEN
    return choose_module_decoder(model, tests)


def choose_module_decoder(model: Any, tests: SelfTests) -> tuple[Decoder, str]:
    """Return the same as `choose_decoder`, from the decoders that run transformers' modules."""
    from .modules import RowsDecoder, SinglesDecoder

    def test() -> str | None:
        expected = sample_logits(SinglesDecoder(model))
        try:
            decoder = RowsDecoder(model)
            return compare_logits(sample_logits(decoder), expected) or mixes_rows(decoder)
        except RowsUnsupported as error:
            return str(error)
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            # The modules of some models do not work with a cache class other than their own.
            return f"{type(error).__name__}: {error}"

    pack(module for module in model.modules() if isinstance(module, HalfLinear))
    reason = tests.run(RowsDecoder, test)
    if reason is None:
        return RowsDecoder(model), _PROVEN
    return SinglesDecoder(model), f"rows cannot share a pass on this machine ({reason})"
