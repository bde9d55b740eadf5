"""Requests as generators receive them, and what a generator adds to one."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from muniment.parameters import Parameters, Value
from muniment.representation import showing
from muniment.types.inputs import Input
from muniment.types.models import Model
from muniment.types.outputs import Output
from muniment.types.replies import Chunk, Reply, Trace, Usage

BATCH_SIZE = 32  # requests in one call of a generator, which may run fewer at a time


@dataclass(frozen=True, slots=True)
class Request:
    """One request as a generator receives it, with all names and defaults resolved.

    The prompt is empty if the request has none. `models` has the models of parameters, by the name
    of the parameter. `stream` is true if the caller asked for chunks, which a filter of outputs can
    withhold. A generator may ignore it.
    `started_at` is the recorded start of the generation, in UTC, and the same in a replay. A
    generator whose output depends on the time must use it. `inputs` are the given inputs by name,
    of those that the generator declares.

    Example:
        >>> request = muniment.Request(id="01M8", prompt="Once", seed=7, parameters=None)
        >>> request.random().random() == request.random().random()
        True
        >>> request.reply(muniment.Text("Once upon a time")).request_id
        '01M8'
        >>> request.chunk("Once").text
        'Once'
        >>> request.fail("the prompt is too long").failure
        'the prompt is too long'
    """

    id: str
    prompt: str
    seed: int
    parameters: Any = field(default_factory=Parameters)
    system: str | None = None
    model: Model | None = None
    stream: bool = False
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    inputs: Mapping[str, Input] = field(default_factory=dict)
    models: Mapping[str, Model] = field(default_factory=dict)

    __repr__ = showing("id", "prompt", "seed", "model", "parameters")

    def random(self) -> random.Random:
        """Return a new random number generator, seeded with this request's seed only."""
        return random.Random(self.seed)

    def reply(
        self,
        *outputs: Output,
        usage: Usage | None = None,
        trace: Trace | None = None,
        wanted: int | None = None,
    ) -> Reply:
        """Return the reply to this request, with at least one output.

        `wanted` is the number of items to select from an output that is a list of candidates.
        """
        return Reply(self.id, outputs, usage, trace, wanted=wanted)

    def chunk(self, text: str, *, tokens: int | None = None) -> Chunk:
        """Return the next part of the reply's text. A reply with the whole text must follow.

        The joined chunks must be the beginning of that text, because a user may have seen them.
        `tokens` is the number of tokens of the reply up to here, which only a display uses.
        """
        return Chunk(self.id, text, tokens)

    def fail(self, reason: str) -> Reply:
        """Return a reply that refuses this request. `reason` is a sentence for the user."""
        return Reply(self.id, failure=reason)


@dataclass(frozen=True, slots=True)
class Resolution:
    """The values and inputs that a generator adds to a request before it is recorded.

    `parameters` has values for parameters that have their declared default. `inputs` has the
    contents of declared inputs that were not given. The policy judges them as given ones.

    Example:
        >>> muniment.Resolution(parameters={"steps": 10}).parameters
        {'steps': 10}
    """

    parameters: Mapping[str, Value] = field(default_factory=dict)
    inputs: Mapping[str, bytes] = field(default_factory=dict)

    __repr__ = showing()
