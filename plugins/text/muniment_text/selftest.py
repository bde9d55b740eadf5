"""What is tried on the machine at hand before a decoder is believed."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from .decoder import Decoder

_TOKENS = (2, 6, 13)
_COUNTS = (3, 5, 8)
# Both are fp32: rounding was seen to move a logit by 1e-5 of their spread, a wrong switch by 1e-1.
_TOLERANCE = 1e-2
_LONGEST = 600


def mixes_rows(decoder: Decoder) -> str | None:
    """Why rows must not share a step, or None.

    Takes a step with rows of three lengths, each alone and then among 3, 5 and 8, and wants equal
    bits.
    """
    size = decoder.vocabulary
    rows = [decoder.prefill(_prompt(length, size))[0] for length in _TOKENS]
    ids = [(11 + place) % size for place in range(len(rows))]
    alone = [
        decoder.step([copy.deepcopy(row)], [token])[0] for row, token in zip(rows, ids, strict=True)
    ]
    for count in _COUNTS:
        of = [place % len(rows) for place in range(count)]
        batch = decoder.step([copy.deepcopy(rows[n]) for n in of], [ids[n] for n in of])
        if not all(torch.equal(batch[place], alone[n]) for place, n in enumerate(of)):
            return "logits differ between a row alone and the same row among others"
    return None


def sample_logits(decoder: Decoder, windows: Sequence[int | None] = ()) -> list[Tensor]:
    """Logits after a short prompt, after a step, and the same after a longer prompt.

    The longer one reaches past the shortest of `windows`, the numbers of tokens that layers see, as
    far as that takes at most 600 tokens.
    """
    lengths = [_TOKENS[-1]]
    shortest = min((window for window in windows if window is not None), default=_LONGEST)
    if shortest + 8 <= _LONGEST:
        lengths.append(shortest + 8)
    found = []
    for length in lengths:
        row, logits = decoder.prefill(_prompt(length, decoder.vocabulary))
        found += [logits, decoder.step([row], [7 % decoder.vocabulary])[0]]
    return found


def unlike(ours: Sequence[Tensor], own: Sequence[Tensor]) -> str | None:
    """Why `ours`, from `sample_logits`, are not what the model's `own` modules gave, or None."""
    for found, wanted in zip(ours, own, strict=True):
        if not float((found - wanted).abs().max()) <= _TOLERANCE * float(wanted.std()):
            return "its logits are not those of the model's own modules"
    return None


def _prompt(length: int, size: int) -> list[int]:
    return [(7 + 13 * place + length) % size for place in range(length)]
