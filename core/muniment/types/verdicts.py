"""Contents that filters check, and their verdicts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from muniment.representation import showing
from muniment.types.media_types import BYTE_ORDER_MARK, shown_content

Stage: TypeAlias = Literal["system", "prompt", "input", "output", "item"]
Decision: TypeAlias = Literal["allow", "flag", "block"]
Judgement: TypeAlias = Literal["approve", "overturn"]  # of a reviewer
DECISIONS: tuple[Decision, ...] = ("allow", "flag", "block")  # from mild to severe
UNDECIDED: Literal["undecided"] = "undecided"
"""The word for generations that have no decision, and the filter that finds them."""
UNREAD_FILTER = "unread"  # of the verdict that blocks content which no filter reads
_TEXT_TYPE = re.compile(r"text/.*|.*[/+](x-)?(json|jsonl|ndjson|xml|yaml|toml|javascript) *(;.*)?")


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for a filter's decision.

    Attributes:
        category: The category of the reason.
        message: A sentence about the reason.
        start: The first character of a text, or byte of any other content, or None for all of it.
        end: The character or byte after the last.

    Example:
        >>> muniment.Reason("abuse", "a term of the list", start=4, end=9).category
        'abuse'
    """

    category: str
    message: str = ""
    start: int | None = None
    end: int | None = None

    __repr__ = showing()


@dataclass(frozen=True, slots=True)
class Verdict:
    """One filter's finding on one prompt, input, output or item of a list.

    A filter sets `decision`, `categories` (scores from 0 to 1) and `reasons`, by calling
    `Content.allow`, `Content.flag` or `Content.block`. The pipeline sets the other fields.
    `action` is the decision that the pipeline applied. `failure` is the reason why the filter
    itself failed, which blocks. `observed_action` is the action that an enforcing policy would
    have applied, and None unless the policy only observes. `policy_rule` is the position of the
    filter's rule in the policy, from 0. `item` is the position of the judged item among the
    candidates of all outputs, from 1, and `input` the name of the judged input. `parameter` is the
    name of the judged parameter.

    Example:
        >>> muniment.Verdict("flag", {"abuse": 0.7}).decision
        'flag'
    """

    decision: Decision
    categories: Mapping[str, float] = field(default_factory=dict)
    reasons: tuple[Reason, ...] = ()
    filter: str = ""
    version: str = ""
    stage: Stage = "output"
    action: Decision = "allow"
    policy_version: str = ""
    latency_ms: float = 0.0
    failure: str | None = None
    observed_action: Decision | None = None
    policy_rule: int | None = None
    item: int | None = None
    input: str | None = None
    parameter: str | None = None

    __repr__ = showing("filter", "decision", "action", "stage", "reasons", "failure")


@dataclass(frozen=True, slots=True)
class Content:
    """The content that a filter checks: a system prompt, a prompt, an input, an output or an item.

    `input` is the name of the input, and None for any other content. `parameter` is the name of
    the parameter whose text is checked as a prompt is.

    Example:
        >>> content = muniment.Content("prompt", "text/plain", b"a secret")
        >>> content.is_text, content.text
        (True, 'a secret')
        >>> content.allow().decision, content.flag("secret").decision
        ('allow', 'flag')
        >>> content.block(muniment.Reason("secret", start=2, end=8)).categories
        {'secret': 1.0}
    """

    stage: Stage
    media_type: str
    data: bytes
    input: str | None = None
    parameter: str | None = None

    __repr__ = showing("stage", "media_type", "input", "parameter", content=shown_content)

    @property
    def text(self) -> str:
        """The content as text. Raises UnicodeDecodeError for bytes that are not UTF-8.

        Only a filter that declares a text media type may use it.
        """
        text = self.data.decode()
        # Filters of inputs read the text that the generator gets.
        return text.removeprefix(BYTE_ORDER_MARK) if self.stage == "input" else text

    @property
    def is_text(self) -> bool:
        """Whether the media type is textual (`text/*`, JSON, XML, …) or the bytes are UTF-8."""
        if _TEXT_TYPE.fullmatch(self.media_type):
            return True
        try:
            self.data.decode()
        except UnicodeDecodeError:
            return False
        return True

    def allow(self, /, **categories: float) -> Verdict:
        """Return a verdict that allows the content."""
        return Verdict("allow", categories)

    def flag(self, /, *reasons: Reason | str, **categories: float) -> Verdict:
        """Return a verdict that marks the content for review, with reasons or category names."""
        return self._verdict("flag", reasons, categories)

    def block(self, /, *reasons: Reason | str, **categories: float) -> Verdict:
        """Return a verdict that blocks the content, with reasons or category names."""
        return self._verdict("block", reasons, categories)

    def _verdict(
        self, decision: Decision, items: Sequence[Reason | str], scores: Mapping[str, float]
    ) -> Verdict:
        reasons = tuple(Reason(item) if isinstance(item, str) else item for item in items)
        return Verdict(decision, {r.category: 1.0 for r in reasons} | dict(scores), reasons)
