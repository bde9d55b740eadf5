"""The engine of the text generator, which decodes many rows with continuous batching.

    engine = Engine(load("models/gemma-3-270m"))
    rows = [engine.row("a", "The moon", seed=7, max_tokens=32)]
    for event in engine.decode(rows):
        ...

A new row starts whenever another one finishes. A row's tokens, log-probabilities and margins do not
depend on the other rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .errors import PromptTooLong, RowError, UnknownToken
from .loading import TextModel
from .sampling import Choice, Sampling, choose
from .tokens import StopFinder, TextStream

DEFAULT_ROWS = 8


@dataclass(frozen=True, slots=True)
class Row:
    """One row to decode, with the token ids of its prompt and the parameters of its answer.

    `key` identifies the row in events. `max_tokens` limits the answer. A string of `stop` or a
    token of `ends` ends the answer and is not a part of it. `seed` is an unsigned 64-bit integer.
    """

    key: Hashable
    prompt: tuple[int, ...]
    seed: int = 0
    max_tokens: int = 128
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    ends: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class TextEvent:
    """New text of a row. It does not contain the start of a stop string.

    `tokens` is the number of tokens chosen so far.
    """

    key: Hashable
    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Finish:
    """The whole answer of a row.

    `token_ids`, `logprobs` (natural logarithm, the model's unmodified distribution) and `margins`
    (in units of logits) have one element for each chosen token, including an end token.
    `finish_reason` is "stop" (an end token or a stop string) or "length" (`max_tokens` or the
    context was used up). `prompt_tokens` is the number of the prompt's ids.
    """

    key: Hashable
    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    margins: tuple[float, ...]
    finish_reason: str
    prompt_tokens: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A row that could not be decoded, with the error. The other rows continue."""

    key: Hashable
    error: RowError


Event = TextEvent | Finish | Failure


class Engine:
    """Decodes rows with one model.

    `max_rows` is the maximum number of rows in a step. More rows have a higher total speed and a
    lower speed for each row. It does not affect results. Raises ValueError unless it is from 1 to
    the decoder's maximum (32).
    """

    def __init__(self, model: TextModel, *, max_rows: int = DEFAULT_ROWS) -> None:
        if not 1 <= max_rows <= model.decoder.max_rows:
            raise ValueError(f"max_rows is {max_rows}, but must be 1 to {model.decoder.max_rows}")
        self.model = model
        self.max_rows = max_rows

    def row(
        self,
        key: Hashable,
        prompt: str,
        *,
        system: str | None = None,
        context: str | None = None,
        seed: int = 0,
        max_tokens: int = 128,
        sampling: Sampling | None = None,
        stop: Sequence[str] = (),
        at: datetime | None = None,
        special_tokens: bool = False,
    ) -> Row:
        """Return a row for a prompt, formatted by the model's chat template if it has one.

        `context` is put before the prompt, with an empty line between them. `at` is the time that
        the template sees, by default the present. Special tokens in the prompt are encoded as text
        unless `special_tokens` is true. Raises RowError for an empty or too long prompt, an
        unsupported system prompt, and a stop string that no answer can contain.
        """
        codec, rows = self.model.codec, self.model.decoder.vocabulary
        options: dict[str, Any] = {"context": context, "at": at, "special_tokens": special_tokens}
        ids = tuple(codec.prompt(prompt, system, **options))
        self._check_length(ids)
        if max(ids) >= rows:
            raise UnknownToken(max(ids), rows)
        ends = codec.stop_ids(stop)
        return Row(key, ids, seed, max_tokens, sampling or Sampling(), tuple(stop), ends)

    def _check_length(self, ids: Sequence[int]) -> None:
        if len(ids) >= self.model.context:
            raise PromptTooLong(len(ids), self.model.context)

    def decode(self, rows: Iterable[Row]) -> Iterator[Event]:
        """Decode rows. Yield their new texts, and one Finish or Failure for each, in any order.

        `rows` is consumed only as rows finish, so it may be a long or lazy iterable. Closing the
        iterator discards all unfinished rows.
        """
        remaining = iter(rows)
        active: deque[_ActiveRow] = deque()
        has_more = True
        while has_more or active:
            while has_more and len(active) < self.max_rows:
                row = next(remaining, None)
                if row is None:
                    has_more = False
                    break
                yield from self._admit(row, active)
            if not active:
                continue
            logits = self.model.decoder.step(
                [state.row for state in active], [state.ids[-1] for state in active]
            ).numpy()
            for index in range(len(active)):
                state = active.popleft()
                yield from self._advance(state, logits[index], active)

    def _admit(self, row: Row, active: deque[_ActiveRow]) -> Iterator[Event]:
        """Process a row's prompt separately, and choose its first token."""
        try:
            if not row.prompt:
                raise RowError("the row has no prompt tokens")
            self._check_length(row.prompt)
        except RowError as error:
            yield Failure(row.key, error)
            return
        room = min(row.max_tokens, self.model.context - len(row.prompt))
        state = _ActiveRow(row, self.model.codec.stream(row.prompt), StopFinder(row.stop), room)
        if room <= 0:
            yield state.finished("length")
            return
        state.row, logits = self.model.decoder.prefill(row.prompt)
        yield from self._advance(state, logits.numpy(), active)

    def _advance(
        self, state: _ActiveRow, logits: Any, active: deque[_ActiveRow]
    ) -> Iterator[Event]:
        """Choose one row's next token. Append the row to `active` unless it ended."""
        request = state.request
        try:
            choice = choose(
                logits,
                request.sampling,
                request.seed,
                len(state.ids),
                [*request.prompt, *state.ids] if request.sampling.repetition_penalty != 1 else (),
            )
        except RowError as error:
            yield Failure(request.key, error)
            return
        state.add(choice)
        if choice.token in self.model.ends or choice.token in request.ends:
            yield from state.close("stop")
            return
        text, stopped = state.stops.push(state.stream.push(choice.token))
        if text:
            state.text.append(text)
            yield TextEvent(request.key, text, len(state.ids))
        if stopped:
            yield state.finished("stop")
        elif len(state.ids) >= state.room:
            yield from state.close("length")
        else:
            active.append(state)

    def score(self, ids: Sequence[int]) -> list[float]:
        """Return the natural-log probabilities of ids[1:], each given the ids before it.

        They are computed like those of a prompt, in chunks that start at ids[0]. Raises
        PromptTooLong.
        """
        if len(ids) > self.model.context:
            raise PromptTooLong(len(ids), self.model.context)
        return list(self.model.decoder.score(ids)) if len(ids) > 1 else []

    def embed(self, text: str) -> list[float]:
        """Return the mean of the last hidden states over the tokens of a text.

        The text is encoded without a chat template, and one without a token has a vector of zeros.
        Raises PromptTooLong.
        """
        ids, _ = self.model.codec.answer(text)
        if not ids:
            width = self.model.decoder.hidden([0]).shape[1]
            return [0.0] * int(width)
        if self.model.codec.bos is not None:
            ids = [self.model.codec.bos, *ids]
        self._check_length(ids)
        hidden = self.model.decoder.hidden(ids)
        # The first token of a text attracts attention, so its state says little about the text.
        states = hidden[1:] if self.model.codec.bos is not None else hidden
        vector: list[float] = states.double().mean(dim=0).tolist()
        return vector


class _ActiveRow:
    """A row that is being decoded. `room` is the maximum number of tokens of its answer."""

    def __init__(self, request: Row, stream: TextStream, stops: StopFinder, room: int) -> None:
        self.request = request
        self.stream = stream
        self.stops = stops
        self.room = room
        self.row: Any = None
        self.ids: list[int] = []
        self.choices: list[Choice] = []
        self.text: list[str] = []

    def add(self, choice: Choice) -> None:
        self.ids.append(choice.token)
        self.choices.append(choice)

    def close(self, reason: str) -> Iterator[Event]:
        """Yield the delayed text and the Finish. The text may still contain a stop string."""
        text, stopped = self.stops.push(self.stream.flush())
        if not stopped:
            text += self.stops.flush()
        if text:
            self.text.append(text)
            yield TextEvent(self.request.key, text, len(self.ids))
        yield self.finished("stop" if stopped else reason)

    def finished(self, reason: str) -> Finish:
        return Finish(
            key=self.request.key,
            text="".join(self.text),
            token_ids=tuple(self.ids),
            logprobs=tuple(choice.logprob for choice in self.choices),
            margins=tuple(choice.margin for choice in self.choices),
            finish_reason=reason,
            prompt_tokens=len(self.request.prompt),
        )
