"""The shapes of an export: what is read of entries, and the records that are written.

Declared, so that msgspec goes from bytes to these objects and back without a dictionary between:
that is where an export's time is spent. What an entry may hold is in `ledger/kinds.py`; here is
what a record needs of it, of any version. Fields of a record come in the order they are written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Raw, Struct


class _Shape(Struct, gc=False):
    """Lives no longer than its page and holds no circles: the collector need not look at it."""


class HeldOutput(_Shape):
    """An output, as an entry has it."""

    media_type: str
    finish_reason: str | None


class HeldVerdict(_Shape):
    """A verdict, as an entry has it."""

    filter: str | None
    version: str
    stage: str
    decision: str
    action: str
    latency_us: int
    categories: dict[str, float]
    failed: bool


class HeldScore(_Shape):
    """A score, as an entry has it."""

    evaluator: str
    version: str
    name: str
    value: float | None
    unit: str
    higher_is_better: bool | None
    failed: bool


class Usage(_Shape):
    """Numbers of tokens, as an entry has them and as they are written."""

    output_tokens: int
    prompt_tokens: int


class Started(_Shape):
    """An entry of that kind; commitments only say that there was a payload."""

    generation: str
    run: str
    at: int
    actor: int
    generator: str | None
    model: str | None
    seed: str
    parameters: dict[str, Any]
    policy: int | None
    request: str | None
    parents: list[str]
    line: int | None
    plugins: tuple[int, ...]


class Outcome(_Shape):
    """An entry of that kind."""

    at: int
    status: str
    outputs: list[HeldOutput]
    verdicts: list[HeldVerdict]
    scores: list[HeldScore]
    usage: Usage | None
    detail: str | None
    environment: int | None
    failure: str | None
    plugins: tuple[int, ...]


class Model(_Shape):
    """Which model ran."""

    name: str
    digest: str


class Output(_Shape):
    """What came out; nothing but its type is left of one that was erased."""

    media_type: str
    text: str | None
    sha256: str | None
    bytes: int | None
    finish_reason: str | None


class Verdict(_Shape):
    """One filter's finding."""

    filter: str
    version: str
    stage: str
    decision: str
    action: str
    observed_action: str | None
    categories: Mapping[str, float]
    reasons: Sequence[Mapping[str, Any]]
    policy_version: str
    latency_ms: float
    failure: str | None


class Score(_Shape):
    """One evaluator's number."""

    evaluator: str
    version: str
    name: str
    value: float | None
    unit: str
    higher_is_better: bool | None
    failure: str | None


class Failure(_Shape):
    """Why there is no output."""

    code: str
    message: str


class Record(_Shape):
    """A generation in the shape of `--json` (docs/reference/json.md).

    `parameters`, `plugins` and `environment` are JSON already.
    """

    id: str
    run_id: str
    actor: str
    status: str
    generator: str
    model: Model | None
    prompt: str
    system: str | None
    seed: str
    parameters: Raw
    policy: str
    outputs: Sequence[Output]
    verdicts: Sequence[Verdict]
    scores: Sequence[Score]
    usage: Usage | None
    plugins: Raw
    environment: Raw
    tags: Sequence[str]
    parents: Sequence[str]
    line: int | None
    failure: Failure | None
    erased: Sequence[str]
    started_at: str
    finished_at: str | None
