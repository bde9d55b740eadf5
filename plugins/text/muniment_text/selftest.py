"""Self-tests of a decoder, which run on the current machine before the decoder is used."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from .decoder import Decoder

_PROMPT_LENGTHS = (2, 6, 13)
_BATCH_SIZES = (3, 5, 8)
# Relative to the standard deviation of the logits. Rounding in fp32 was observed to change a logit
# by 1e-5 of it, and a wrong value in an Architecture by 1e-1.
_TOLERANCE = 1e-2
_MAX_TOKENS = 600


def mixes_rows(decoder: Decoder) -> str | None:
    """Return the reason why rows must not share a step, or None if they can.

    The test takes a step with rows of three lengths, each alone and in batches of 3, 5 and 8
    rows. The logits must be equal bit for bit.
    """
    size = decoder.vocabulary
    rows = [decoder.prefill(_prompt(length, size))[0] for length in _PROMPT_LENGTHS]
    ids = [(11 + index) % size for index in range(len(rows))]
    alone = [
        decoder.step([copy.deepcopy(row)], [token])[0] for row, token in zip(rows, ids, strict=True)
    ]
    for count in _BATCH_SIZES:
        chosen = [index % len(rows) for index in range(count)]
        batch = decoder.step([copy.deepcopy(rows[n]) for n in chosen], [ids[n] for n in chosen])
        if not all(torch.equal(batch[index], alone[n]) for index, n in enumerate(chosen)):
            return "logits differ between a row alone and the same row among others"
    return None


def sample_logits(decoder: Decoder, windows: Sequence[int | None] = ()) -> list[Tensor]:
    """Return the logits [vocabulary] after a short prompt and after one more step.

    `windows` are the sizes of the layers' sliding windows in tokens, or None for full attention.
    If a prompt of at most 600 tokens exceeds the smallest window, the logits of such a prompt
    follow.
    """
    lengths = [_PROMPT_LENGTHS[-1]]
    shortest = min((window for window in windows if window is not None), default=_MAX_TOKENS)
    if shortest + 8 <= _MAX_TOKENS:
        lengths.append(shortest + 8)
    samples = []
    for length in lengths:
        row, logits = decoder.prefill(_prompt(length, decoder.vocabulary))
        samples += [logits, decoder.step([row], [7 % decoder.vocabulary])[0]]
    return samples


def compare_logits(actual: Sequence[Tensor], expected: Sequence[Tensor]) -> str | None:
    """Return the reason why a decoder's logits are wrong, or None if they are right.

    Both arguments are results of `sample_logits`. `expected` is that of the model's own modules.
    """
    for logits, reference in zip(actual, expected, strict=True):
        # Written so that NaN fails the test.
        if not float((logits - reference).abs().max()) <= _TOLERANCE * float(reference.std()):
            return "its logits are not those of the model's own modules"
    return None


def _prompt(length: int, size: int) -> list[int]:
    """Return `length` fixed token ids for a vocabulary of `size` ids."""
    return [(7 + 13 * index + length) % size for index in range(length)]
