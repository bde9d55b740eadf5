"""The interface between the engine and the decoders that run a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

PREFILL_CHUNK = 256


class Decoder(Protocol):
    """Runs one model. The type of a row is private to the decoder.

    `max_rows` is the largest number of rows in a step. `attention` names the implementation of
    attention, for the record. `vocabulary` is the number of token ids.
    """

    name: str
    max_rows: int

    @property
    def attention(self) -> str: ...  # noqa: D102

    @property
    def vocabulary(self) -> int: ...  # noqa: D102

    def prefill(self, ids: Sequence[int]) -> tuple[Any, Tensor]:
        """Process a prompt and return a row, with fp32 logits [vocabulary] for the next token."""
        ...

    def step(self, rows: Sequence[Any], ids: Sequence[int]) -> Tensor:
        """Append token ids[i] to rows[i] and return fp32 logits [rows, vocabulary]."""
        ...

    def score(self, ids: Sequence[int]) -> list[float]:
        """Return the natural-log probabilities of ids[1:], each given the tokens before it."""
        ...

    def hidden(self, ids: Sequence[int]) -> Tensor:
        """Return the hidden states of ids after the last norm, fp32 [tokens, width]."""
        ...


def log_probabilities(logits: Tensor, ids: Sequence[int]) -> list[float]:
    """Return the natural-log probability of ids[i] for each row i of logits.

    `logits` is fp32 [tokens, vocabulary].
    """
    index = torch.tensor(list(ids))[:, None]
    result: list[float] = (
        (logits.gather(1, index)[:, 0] - logits.logsumexp(dim=1)).double().tolist()
    )
    return result
