"""Decoders that run transformers' modules, with all rows in one pass or row by row.

They run models that `architecture` cannot describe. The linear layers and the embedding of the
model are replaced by those of module `layers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from . import attention
from .decoder import PREFILL_CHUNK, log_probabilities
from .keys import RowKeys
from .layers import MAX_ROWS


class RowsDecoder:
    """Runs all rows in one pass. Each row attends only to its own keys (see `attention`)."""

    name = "rows"
    attention = "sdpa, a row at a time"
    max_rows = MAX_ROWS

    def __init__(self, model: Any) -> None:
        self.model = model
        model.set_attn_implementation(attention.NAME)

    @property
    def vocabulary(self) -> int:
        """See `Decoder`."""
        return _vocabulary(self.model)

    @torch.inference_mode()
    def prefill(self, ids: Sequence[int]) -> tuple[RowKeys, Tensor]:
        """See `Decoder`."""
        row = RowKeys()
        for start in range(0, len(ids), PREFILL_CHUNK):
            chunk = ids[start : start + PREFILL_CHUNK]
            logits = self._pass([row], torch.tensor([chunk]), keep=1)
        return row, logits[0, -1]

    @torch.inference_mode()
    def step(self, rows: Sequence[RowKeys], ids: Sequence[int]) -> Tensor:
        """See `Decoder`."""
        logits = self._pass(list(rows), torch.tensor(ids).view(-1, 1), keep=0)
        return logits[:, -1]

    @torch.inference_mode()
    def score(self, ids: Sequence[int]) -> list[float]:
        """See `Decoder`."""
        row = RowKeys()
        result: list[float] = []
        for start in range(0, len(ids) - 1, PREFILL_CHUNK):
            chunk = ids[start : min(start + PREFILL_CHUNK, len(ids) - 1)]
            logits = self._pass([row], torch.tensor([chunk]), keep=0)[0]
            result += log_probabilities(logits, ids[start + 1 : start + 1 + len(chunk)])
        return result

    @torch.inference_mode()
    def hidden(self, ids: Sequence[int]) -> Tensor:
        """See `Decoder`."""
        row = RowKeys()
        chunks = [
            self._run([row], torch.tensor([list(ids[start : start + PREFILL_CHUNK])]), 1, True)
            for start in range(0, len(ids), PREFILL_CHUNK)
        ]
        return torch.cat([output.hidden_states[-1][0].float() for output in chunks])

    def _pass(self, rows: list[RowKeys], ids: Tensor, keep: int) -> Tensor:
        """Return logits [rows, tokens, vocabulary] of token ids [rows, tokens].

        `keep` is the number of last tokens with logits, or 0 for all.
        """
        logits: Tensor = self._run(rows, ids, keep).logits.float()
        return logits

    def _run(self, rows: list[RowKeys], ids: Tensor, keep: int, hidden: bool = False) -> Any:
        """Return the model's output for token ids [rows, tokens], with `hidden` states or not."""
        tokens = ids.shape[1]
        lengths = torch.tensor([row.length for row in rows])
        positions = lengths[:, None] + torch.arange(tokens)[None, :]
        with attention.RowsCache(rows, tokens) as cache:
            output = self.model(
                input_ids=ids,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=keep,
                output_hidden_states=hidden,
            )
            cache.advance()
        return output


class SingleRow:
    """One row of `SinglesDecoder`, with the model's cache and the number of its tokens."""

    def __init__(self) -> None:
        self.cache: Any = None
        self.length = 0


class SinglesDecoder:
    """Runs each row separately with the model's own attention and cache.

    It is slow, and exact on every machine.
    """

    name = "row-by-row"
    max_rows = MAX_ROWS

    def __init__(self, model: Any, attention: str = "eager") -> None:
        self.model = model
        self.attention = attention
        model.set_attn_implementation(attention)

    @property
    def vocabulary(self) -> int:
        """See `Decoder`."""
        return _vocabulary(self.model)

    @torch.inference_mode()
    def prefill(self, ids: Sequence[int]) -> tuple[SingleRow, Tensor]:
        """See `Decoder`."""
        row = SingleRow()
        return row, self._pass(row, ids, keep=1)[-1]

    @torch.inference_mode()
    def step(self, rows: Sequence[SingleRow], ids: Sequence[int]) -> Tensor:
        """See `Decoder`."""
        return torch.stack(
            [self._pass(row, [token], keep=1)[-1] for row, token in zip(rows, ids, strict=True)]
        )

    @torch.inference_mode()
    def score(self, ids: Sequence[int]) -> list[float]:
        """See `Decoder`."""
        return log_probabilities(self._pass(SingleRow(), ids[:-1], keep=0), ids[1:])

    @torch.inference_mode()
    def hidden(self, ids: Sequence[int]) -> Tensor:
        """See `Decoder`."""
        states: Tensor = self._run(SingleRow(), ids, 1, True).hidden_states[-1][0].float()
        return states

    def _pass(self, row: SingleRow, ids: Sequence[int], keep: int) -> Tensor:
        """Return the logits [tokens, vocabulary] of one row's new tokens.

        `keep` is the number of last tokens with logits, or 0 for all.
        """
        logits: Tensor = self._run(row, ids, keep).logits[0].float()
        return logits

    def _run(self, row: SingleRow, ids: Sequence[int], keep: int, hidden: bool = False) -> Any:
        """Return the model's output for one row's new tokens, with `hidden` states or not."""
        output = self.model(
            input_ids=torch.tensor([list(ids)]),
            past_key_values=row.cache,
            use_cache=True,
            logits_to_keep=keep,
            output_hidden_states=hidden,
        )
        row.cache = output.past_key_values
        row.length += len(ids)
        return output


def _vocabulary(model: Any) -> int:
    return int(model.get_input_embeddings().weight.shape[0])
