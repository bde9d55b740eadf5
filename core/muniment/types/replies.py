"""Replies of generators, with chunks of text, token counts and traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from muniment.representation import showing
from muniment.types.outputs import Output


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of a generation, in tokens of the model that ran it.

    Attributes:
        prompt_tokens: The number of tokens of the prompt.
        output_tokens: The number of tokens of the outputs.

    Example:
        >>> muniment.Usage(prompt_tokens=4, output_tokens=32)
        Usage(prompt_tokens=4, output_tokens=32)
    """

    prompt_tokens: int
    output_tokens: int

    __repr__ = showing()


@dataclass(frozen=True, slots=True)
class Trace:
    """The tokens that a text generator chose, with their log-probabilities and margins.

    The three sequences have equal length and contain finite numbers. `logprobs` are natural
    logarithms of the probabilities that the model itself assigns (temperature 1, no truncation).
    A margin is a lower bound of the change of logits, in the sup norm, that could change the
    chosen token.

    Example:
        >>> muniment.Trace([12, 7], [-0.5, -1.25], [0.75, 0.1])
        Trace(token_ids=[12, 7], logprobs=[-0.5, -1.25], margins=[0.75, 0.1])
    """

    token_ids: Sequence[int]
    logprobs: Sequence[float]
    margins: Sequence[float]

    __repr__ = showing()


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next part of the text of a reply, sent before the reply itself.

    Example:
        >>> spec = muniment.GenerationSpec("Once")
        >>> items = list(session.run([spec], stream=True))
        >>> [item.text for item in items if isinstance(item, muniment.Chunk)]
        ['Once']
    """

    request_id: str
    text: str
    tokens: int | None = None  # of the reply up to here, if the generator counts them

    __repr__ = showing()


@dataclass(frozen=True, slots=True)
class Reply:
    """A generator's reply to one request, with outputs or with the reason of its failure.

    `wanted` is the number of items to select from an output that is a list of candidates, at
    least 1. None selects all items that the policy allows.

    Example:
        >>> muniment.Reply("01M8", (muniment.Text("你好"),)).outputs[0].text
        '你好'
    """

    request_id: str
    outputs: tuple[Output, ...] = ()
    usage: Usage | None = None
    trace: Trace | None = None
    failure: str | None = None
    wanted: int | None = None

    __repr__ = showing()
