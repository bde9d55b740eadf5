"""How the engine runs a model, whatever runs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

PREFILL_CHUNK = 256


class Decoder(Protocol):
    """One model; a row is whatever `prefill` returned.

    `attention` says what computes it, `vocabulary` how many ids there are, `max_rows` how many rows
    a step takes.
    """

    name: str
    max_rows: int

    @property
    def attention(self) -> str: ...  # noqa: D102

    @property
    def vocabulary(self) -> int: ...  # noqa: D102

    def prefill(self, ids: Sequence[int]) -> tuple[Any, Tensor]:
        """Read a prompt; gives the row and fp32 logits [vocabulary] for its first new token."""
        ...

    def step(self, rows: Sequence[Any], ids: Sequence[int]) -> Tensor:
        """Add token ids[i] to rows[i]; gives fp32 logits [rows, vocabulary]."""
        ...

    def score(self, ids: Sequence[int]) -> list[float]:
        """Natural-log probabilities of ids[1:], each given the tokens before it."""
        ...


def log_probabilities(logits: Tensor, ids: Sequence[int]) -> list[float]:
    """ln p of ids[i] under logits[i]; logits fp32 [tokens, vocabulary]."""
    index = torch.tensor(list(ids))[:, None]
    result: list[float] = (
        (logits.gather(1, index)[:, 0] - logits.logsumexp(dim=1)).double().tolist()
    )
    return result
