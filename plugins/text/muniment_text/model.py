"""Running a model over rows so that no row's bits depend on its neighbours.

`Decoder` is what the engine drives: `prefill` reads one prompt, `step` adds one token to each of
some rows. `RowsDecoder` takes all rows in one pass; `SinglesDecoder` runs them one by one with the
model's own attention and cache, which is exact by construction and works for every architecture.
`make_decoder` chooses by a self-test on the machine at hand.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from . import attention
from .layers import MAX_ROWS

PREFILL_CHUNK = 256
_TEST_TOKENS = (2, 6, 13)
_TEST_STEPS = 2
# bf16 alone was seen to bring two correct attentions down to 0.97.
_LIKENESS = 0.9


class Decoder(Protocol):
    """How the engine runs a model; a row is whatever `prefill` returned."""

    name: str
    max_rows: int

    def prefill(self, ids: Sequence[int]) -> tuple[Any, Tensor]:
        """Read a prompt; gives the row and fp32 logits [vocabulary] for its first new token."""
        ...

    def step(self, rows: Sequence[Any], ids: Sequence[int]) -> Tensor:
        """Add token ids[i] to rows[i]; gives fp32 logits [rows, vocabulary]."""
        ...

    def score(self, ids: Sequence[int]) -> list[float]:
        """Natural-log probabilities of ids[1:], each given the tokens before it."""
        ...


class RowsDecoder:
    """All rows in one pass, each attending to its own keys alone (see `attention`)."""

    name = "rows"
    max_rows = MAX_ROWS

    def __init__(self, model: Any) -> None:
        self.model = model
        model.set_attn_implementation(attention.NAME)

    @torch.inference_mode()
    def prefill(self, ids: Sequence[int]) -> tuple[attention.RowKeys, Tensor]:
        """See `Decoder`."""
        row = attention.RowKeys()
        for start in range(0, len(ids), PREFILL_CHUNK):
            chunk = ids[start : start + PREFILL_CHUNK]
            logits = self._pass([row], torch.tensor([chunk]), keep=1)
        return row, logits[0, -1]

    @torch.inference_mode()
    def step(self, rows: Sequence[attention.RowKeys], ids: Sequence[int]) -> Tensor:
        """See `Decoder`."""
        logits = self._pass(list(rows), torch.tensor(ids).view(-1, 1), keep=0)
        return logits[:, -1]

    @torch.inference_mode()
    def score(self, ids: Sequence[int]) -> list[float]:
        """See `Decoder`."""
        row = attention.RowKeys()
        result: list[float] = []
        for start in range(0, len(ids) - 1, PREFILL_CHUNK):
            chunk = ids[start : min(start + PREFILL_CHUNK, len(ids) - 1)]
            logits = self._pass([row], torch.tensor([chunk]), keep=0)[0]
            result += log_probabilities(logits, ids[start + 1 : start + 1 + len(chunk)])
        return result

    def _pass(self, rows: list[attention.RowKeys], ids: Tensor, keep: int) -> Tensor:
        """ids [rows, tokens] to logits [rows, tokens or 1, vocabulary]."""
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
            )
            cache.advance()
        logits: Tensor = output.logits.float()
        return logits


class SingleRow:
    """One row of `SinglesDecoder`: the cache the model made, and how many tokens it holds."""

    def __init__(self) -> None:
        self.cache: Any = None
        self.length = 0


class SinglesDecoder:
    """Rows one by one with the model's own attention and cache: slow, and exact anywhere."""

    name = "row-by-row"
    max_rows = MAX_ROWS

    def __init__(self, model: Any) -> None:
        self.model = model
        try:
            model.set_attn_implementation("sdpa")
        except (ValueError, ImportError):
            model.set_attn_implementation("eager")

    @torch.inference_mode()
    def prefill(self, ids: Sequence[int]) -> tuple[SingleRow, Tensor]:
        """See `Decoder`."""
        row = SingleRow()
        return row, self._pass(row, ids)[-1]

    @torch.inference_mode()
    def step(self, rows: Sequence[SingleRow], ids: Sequence[int]) -> Tensor:
        """See `Decoder`."""
        return torch.stack(
            [self._pass(row, [token])[-1] for row, token in zip(rows, ids, strict=True)]
        )

    @torch.inference_mode()
    def score(self, ids: Sequence[int]) -> list[float]:
        """See `Decoder`."""
        return log_probabilities(self._pass(SingleRow(), ids[:-1]), ids[1:])

    def _pass(self, row: SingleRow, ids: Sequence[int]) -> Tensor:
        """Logits [tokens, vocabulary] of one row's new tokens."""
        output = self.model(
            input_ids=torch.tensor([list(ids)]), past_key_values=row.cache, use_cache=True
        )
        row.cache = output.past_key_values
        row.length += len(ids)
        logits: Tensor = output.logits[0].float()
        return logits


def log_probabilities(logits: Tensor, ids: Sequence[int]) -> list[float]:
    """ln p of ids[i] under logits[i]; logits fp32 [tokens, vocabulary]."""
    index = torch.tensor(list(ids))[:, None]
    result: list[float] = (
        (logits.gather(1, index)[:, 0] - logits.logsumexp(dim=1)).double().tolist()
    )
    return result


def make_decoder(model: Any, force: str | None = None) -> tuple[Decoder, str]:
    """The fastest decoder that this machine runs this model exactly with, and why.

    `force` names one ("rows" or "row-by-row") and skips the test.
    """
    if force == SinglesDecoder.name:
        return SinglesDecoder(model), "asked for"
    if force == RowsDecoder.name:
        return RowsDecoder(model), "asked for"
    try:
        decoder = RowsDecoder(model)
        reason = disagreement(decoder, model)
    except (AttributeError, IndexError, KeyError, NotImplementedError) as error:
        reason = f"{type(error).__name__}: {error}"
    except (RuntimeError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
    if reason is None:
        return decoder, "self-test: logits bit-equal alone and among neighbours"
    return SinglesDecoder(model), f"rows cannot share a pass here ({reason})"


def disagreement(decoder: RowsDecoder, model: Any) -> str | None:
    """Why rows must not share a pass, or None.

    Decodes three prompts of different lengths alone and together and wants equal bits, then wants
    the logits of one to be near those of the model's own attention, which would show a part of it
    that ours leaves out.
    """
    size = model.get_input_embeddings().weight.shape[0]
    prompts = [[(7 + 13 * i + n) % size for i in range(n)] for n in _TEST_TOKENS]
    pairs = [decoder.prefill(prompt) for prompt in prompts]
    together = [row for row, _ in pairs]
    alone = copy.deepcopy(together)
    for step in range(_TEST_STEPS):
        ids = [(11 + 17 * step + index) % size for index in range(len(prompts))]
        batch = decoder.step(together, ids)
        for index, row in enumerate(alone):
            if not torch.equal(decoder.step([row], [ids[index]])[0], batch[index]):
                return "logits differ between a row alone and the same row among others"
    ours = pairs[-1][1]
    model.set_attn_implementation("eager")
    try:
        with torch.inference_mode():
            own = model(input_ids=torch.tensor([prompts[-1]]), logits_to_keep=1)
            own = own.logits[0, -1].float()
    finally:
        model.set_attn_implementation(attention.NAME)
    pair = torch.stack([own, ours])
    if float(torch.corrcoef(pair)[0, 1]) < _LIKENESS and float(own.std()) > 0:
        return "its attention does more than attend to earlier positions"
    return None
