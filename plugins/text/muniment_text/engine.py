"""Decoding many rows with continuous admission; the engine behind the text generator.

    engine = Engine(load("models/gemma-3-270m"))
    rows = [engine.row("a", "The moon", seed=7, max_tokens=32)]
    for event in engine.decode(rows):
        ...

Rows enter as places become free and leave when they finish. Nothing about a row's tokens,
log-probabilities or margins depends on which other rows are there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import PromptTooLong, RowError
from .loading import TextModel
from .sampling import Choice, Sampling, choose
from .tokens import Pieces, Stops

DEFAULT_ROWS = 8


@dataclass(frozen=True, slots=True)
class Row:
    """One thing to decode: the prompt's token ids and everything that shapes the answer.

    `key` names the row in events; `max_tokens` bounds the answer; `stop` strings end it and are
    left out of the text; `seed` is an unsigned 64-bit integer.
    """

    key: Hashable
    prompt: tuple[int, ...]
    seed: int = 0
    max_tokens: int = 128
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that a row just added and that no stop string can take back."""

    key: Hashable
    text: str


@dataclass(frozen=True, slots=True)
class Finish:
    """A row's whole answer.

    `token_ids`, `logprobs` (natural logarithm, the model's unmodified distribution) and `margins`
    (logits) have one element a decided token, the one that ended the answer included.
    `finish_reason` is "stop" (an end token or stop string) or "length" (max_tokens or the context
    was used up). `prompt_tokens` counts the prompt's ids.
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
    """A row that could not be decoded, and why; the others go on."""

    key: Hashable
    error: RowError


Event = Piece | Finish | Failure


class Engine:
    """Decodes rows with one model.

    `max_rows` is how many rows share a step: more are faster together and slower each. It changes
    no result. Raises ValueError when it is not from 1 to what the decoder takes (32).
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
        seed: int = 0,
        max_tokens: int = 128,
        sampling: Sampling | None = None,
        stop: Sequence[str] = (),
    ) -> Row:
        """A row from text, through the chat template when the model has one.

        Raises RowError: an empty prompt, a system prompt the model has no place for, one too long.
        """
        ids = tuple(self.model.codec.prompt(prompt, system))
        self._check_length(ids)
        return Row(key, ids, seed, max_tokens, sampling or Sampling(), tuple(stop))

    def _check_length(self, ids: Sequence[int]) -> None:
        if len(ids) >= self.model.context:
            raise PromptTooLong(len(ids), self.model.context)

    def decode(self, rows: Iterable[Row]) -> Iterator[Event]:
        """Decode rows, giving pieces as they come and one Finish or Failure each, in any order.

        `rows` is read as places become free, so it may be long or lazy. Closing the iterator drops
        every unfinished row.
        """
        waiting = iter(rows)
        active: deque[_Active] = deque()
        more = True
        while more or active:
            while more and len(active) < self.max_rows:
                row = next(waiting, None)
                if row is None:
                    more = False
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

    def _admit(self, row: Row, active: deque[_Active]) -> Iterator[Event]:
        """Read a row's prompt alone and decide its first token."""
        try:
            if not row.prompt:
                raise RowError("the row has no prompt tokens")
            self._check_length(row.prompt)
        except RowError as error:
            yield Failure(row.key, error)
            return
        room = min(row.max_tokens, self.model.context - len(row.prompt))
        state = _Active(row, self.model.codec.stream(row.prompt), Stops(row.stop), room)
        if room <= 0:
            yield state.finished("length")
            return
        state.row, logits = self.model.decoder.prefill(row.prompt)
        yield from self._advance(state, logits.numpy(), active)

    def _advance(self, state: _Active, logits: Any, active: deque[_Active]) -> Iterator[Event]:
        """Decide one row's next token; the row stays active unless this ended it."""
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
        if choice.token in self.model.ends:
            yield from state.close("stop")
            return
        text, stopped = state.stops.push(state.pieces.push(choice.token))
        if text:
            state.text.append(text)
            yield Piece(request.key, text)
        if stopped:
            yield state.finished("stop")
        elif len(state.ids) >= state.room:
            yield from state.close("length")
        else:
            active.append(state)

    def score(self, ids: Sequence[int]) -> list[float]:
        """Natural-log probabilities of ids[1:], each given the ids before it; length len(ids) - 1.

        Raises PromptTooLong. The numbers come from the prefill, in chunks counted from ids[0].
        """
        if len(ids) > self.model.context:
            raise PromptTooLong(len(ids), self.model.context)
        return list(self.model.decoder.score(ids)) if len(ids) > 1 else []


class _Active:
    """A row being decoded."""

    def __init__(self, request: Row, pieces: Pieces, stops: Stops, room: int) -> None:
        self.request = request
        self.pieces = pieces
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
        """Let out what was held back, then finish; a stop string met in it still counts."""
        text, stopped = self.stops.push(self.pieces.flush())
        if not stopped:
            text += self.stops.flush()
        if text:
            self.text.append(text)
            yield Piece(self.request.key, text)
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
