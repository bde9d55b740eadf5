"""Which decoder runs a model: the fastest one that is right and exact on this machine.

In turn: `direct` for models of the Llama kind; transformers' modules with all rows in a pass
(`rows`); transformers' modules row by row, which is exact by construction and slow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .architecture import Architecture, describe
from .decoder import Decoder
from .direct import DirectDecoder
from .errors import NotOfThisKind, RowsMixed, RowsUnsupported
from .layers import HalfLinear, pack
from .selftest import mixes_rows, sample_logits, unlike

_PROVEN = "self-test: logits bit-equal alone and among neighbours"


def pack_direct(of: Architecture, tensors: Mapping[str, Tensor]) -> tuple[DirectDecoder, str]:
    """The direct decoder, ready to run, and why it is believed to be exact.

    `tensors` are a model's by transformers' names. Raises KeyError for one that is missing,
    RowsMixed when the self-test finds that rows change each other here.
    """
    decoder = DirectDecoder(of, tensors)
    pack(decoder.linears())
    reason = mixes_rows(decoder)
    if reason is not None:
        raise RowsMixed(reason)
    return decoder, _PROVEN


def described(model: Any) -> DirectDecoder | None:
    """A direct decoder that gives the logits of a transformers model, or None where none does.

    The model's layers are those of `layers`; they are packed by this.
    """
    from .modules import SinglesDecoder

    tensors = model.state_dict()
    pack(module for module in model.modules() if isinstance(module, HalfLinear))
    try:
        decoder = DirectDecoder(describe(model), tensors)
    except (NotOfThisKind, KeyError):
        return None
    pack(decoder.linears())
    # What the configuration says is tried even if the description overlooked it.
    windows = [*decoder.of.windows, getattr(model.config, "sliding_window", None)]
    own = sample_logits(SinglesDecoder(model), windows)
    return None if unlike(sample_logits(decoder, windows), own) else decoder


def decide(model: Any) -> tuple[Decoder, str]:
    """The decoder for a transformers model, and why that one.

    The model's layers are those of `layers`; they are packed by this.
    """
    decoder = described(model)
    if decoder is not None and mixes_rows(decoder) is None:
        return decoder, _PROVEN
    return decide_modules(model)


def decide_modules(model: Any) -> tuple[Decoder, str]:
    """The same among the decoders that use transformers' modules."""
    from .modules import RowsDecoder, SinglesDecoder

    pack(module for module in model.modules() if isinstance(module, HalfLinear))
    own = sample_logits(SinglesDecoder(model))
    try:
        decoder = RowsDecoder(model)
        reason = unlike(sample_logits(decoder), own) or mixes_rows(decoder)
    except RowsUnsupported as error:
        reason = str(error)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        # The modules of other makers meet a cache that is not theirs.
        reason = f"{type(error).__name__}: {error}"
    if reason is None:
        return decoder, _PROVEN
    return SinglesDecoder(model), f"rows cannot share a pass here ({reason})"
