"""The nouns of Muniment: plain frozen dataclasses that plugins, pipeline, store and CLI share.

Texts are Unicode strings that can be encoded as UTF-8; times are aware datetimes in UTC;
seeds are integers from 0 to 2^64 - 1.
"""

from __future__ import annotations

import dataclasses
import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from muniment.parameters import Parameters, Value

Status: TypeAlias = Literal["started", "completed", "blocked", "failed", "interrupted"]
Stage: TypeAlias = Literal["system", "prompt", "output"]
Decision: TypeAlias = Literal["allow", "flag", "block"]
FinishReason: TypeAlias = Literal["stop", "length"]

FINISH_REASONS = (None, "stop", "length")
DECISIONS: tuple[Decision, ...] = ("allow", "flag", "block")  # from mild to severe

_WRITTEN = re.compile(r"text/.*|.*[/+](x-)?(json|jsonl|ndjson|xml|yaml|toml|javascript) *(;.*)?")


@dataclass(frozen=True, slots=True)
class Output:
    """What came out: the bytes of any media type.

    `finish_reason` says why a text ended: `stop` (the model or a stop string) or `length`.
    """

    media_type: str
    data: bytes
    finish_reason: FinishReason | None = None

    @property
    def text(self) -> str | None:
        """The output as text, or None when its media type is not `text/*`."""
        return self.data.decode() if self.media_type.startswith("text/") else None

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes in hexadecimal, computed when asked for and never stored."""
        return hashlib.sha256(self.data).hexdigest()


def reads(declared: Sequence[str], media_type: str) -> bool:
    """Say whether who declares these media types can read that one.

    `text/plain` stands for every kind of text, so that no filter of texts is gone around by
    calling a text something else; parameters such as `charset` do not matter.
    """
    kind = media_type.partition(";")[0].strip()
    return kind in declared or (kind.startswith("text/") and "text/plain" in declared)


def Text(text: str, finish_reason: FinishReason | None = None) -> Output:
    """Return an output of plain text; a named constructor, hence the capital."""
    return Output("text/plain", text.encode(), finish_reason)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a generation consumed, in tokens of the model that ran it."""

    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Trace:
    """Token by token, what a text generator chose and how close the choice was.

    Three sequences of equal length and of finite numbers. `logprobs` are natural logarithms of
    the chosen tokens' probabilities under the model itself (temperature 1, nothing truncated). A
    `margin` is a lower bound of the change of logits, in the sup norm, that could change the
    choice.
    """

    token_ids: Sequence[int]
    logprobs: Sequence[float]
    margins: Sequence[float]


@dataclass(frozen=True, slots=True)
class Reply:
    """A generator's answer to the request of that id: outputs, or the failure's reason."""

    request_id: str
    outputs: tuple[Output, ...] = ()
    usage: Usage | None = None
    trace: Trace | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A further piece of the text that the request of that id will be answered with."""

    request_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Model:
    """Weights plus tokenizer and configuration, on disk, known by the digest of their bytes."""

    name: str
    digest: str
    path: str


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model that comes with an installed package, so that adding it needs no network.

    `source` is what the generator's `add_model` takes; `terms` is a sentence shown once.
    """

    name: str
    source: str
    terms: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as a generator sees it: everything resolved, nothing left to default.

    `stream` says whether pieces would be shown; a generator may ignore it.
    """

    id: str
    prompt: str
    seed: int
    parameters: Any = field(default_factory=Parameters)
    system: str | None = None
    model: Model | None = None
    stream: bool = False

    def random(self) -> random.Random:
        """Return a fresh source of randomness that depends on this request's seed only."""
        return random.Random(self.seed)

    def reply(
        self,
        *outputs: Output,
        usage: Usage | None = None,
        trace: Trace | None = None,
    ) -> Reply:
        """Return the answer to this request: one output or more."""
        return Reply(self.id, outputs, usage, trace)

    def chunk(self, text: str) -> Chunk:
        """Return the next piece of the answer's text; a reply with the whole text follows.

        The pieces must be the beginning of that text: they may have been shown.
        """
        return Chunk(self.id, text)

    def fail(self, reason: str) -> Reply:
        """Return the answer that this request cannot be met, for a reason fit for a user."""
        return Reply(self.id, failure=reason)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a filter decided as it did; `start` and `end` are offsets in characters, end excluded."""

    category: str
    message: str = ""
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One filter's finding on one prompt or output.

    A filter's author sets `decision`, `categories` (scores from 0 to 1) and `reasons`, by way
    of `Content.allow`, `.flag` and `.block`. The pipeline fills in the rest: `action` is what it
    then did, `failure` says why the filter itself failed (which blocks). Where a policy only
    observes, `observed_action` is what enforcing it would have done; else it is None.
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


@dataclass(frozen=True, slots=True)
class Content:
    """What a filter is asked about: a system prompt, a prompt or an output."""

    stage: Stage
    media_type: str
    data: bytes

    @property
    def text(self) -> str:
        """The content as text; only a filter that declares a media type of text may ask."""
        return self.data.decode()

    @property
    def is_text(self) -> bool:
        """Whether this is text: called so (`text/*`, JSON, XML, …), or of bytes that are UTF-8."""
        if _WRITTEN.fullmatch(self.media_type):
            return True
        try:
            self.data.decode()
        except UnicodeDecodeError:
            return False
        return True

    def allow(self, /, **categories: float) -> Verdict:
        """Return the verdict that nothing is wrong."""
        return Verdict("allow", categories)

    def flag(self, /, *reasons: Reason | str, **categories: float) -> Verdict:
        """Return the verdict that someone should look, with reasons or names of categories."""
        return self._verdict("flag", reasons, categories)

    def block(self, /, *reasons: Reason | str, **categories: float) -> Verdict:
        """Return the verdict that this must not pass, with reasons or names of categories."""
        return self._verdict("block", reasons, categories)

    def _verdict(
        self, decision: Decision, given: Sequence[Reason | str], scores: Mapping[str, float]
    ) -> Verdict:
        reasons = tuple(Reason(item) if isinstance(item, str) else item for item in given)
        return Verdict(decision, {r.category: 1.0 for r in reasons} | dict(scores), reasons)


@dataclass(frozen=True, slots=True)
class Measure:
    """What an evaluator can measure; `higher_is_better` is None where neither direction is."""

    name: str
    unit: str = ""
    higher_is_better: bool | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """One evaluator's number on a generation; `value` is None when the evaluator failed."""

    evaluator: str
    version: str
    name: str
    value: float | None
    unit: str = ""
    higher_is_better: bool | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class PluginRef:
    """The distribution that a plugin object came from, and the digest of its code."""

    distribution: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a generation failed: a code from a closed list, and a sentence.

    Codes: `invalid` (the request could not be resolved), `refused` (the generator said it cannot
    meet it), `generator` (the generator raised or broke the contract).
    """

    code: Literal["invalid", "refused", "generator"]
    message: str


@dataclass(frozen=True, slots=True)
class Generation:
    """One request carried through the pipeline: what the store keeps and every command shows.

    `environment` holds what the output may depend on besides the record itself: library
    versions, processor, threads, number format. `line` is the line of a batch file, from 1.
    `erased` names the kinds of payloads that are gone, `prompt` and `output` say; a trace is not
    spoken of.
    """

    id: str
    run_id: str
    actor: str
    status: Status
    generator: str
    prompt: str
    seed: int
    started_at: datetime
    finished_at: datetime | None = None
    system: str | None = None
    model: Model | None = None
    parameters: Mapping[str, Value] = field(default_factory=dict)
    policy: str = ""
    tags: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    line: int | None = None
    outputs: tuple[Output, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    scores: tuple[Score, ...] = ()
    usage: Usage | None = None
    trace: Trace | None = None
    plugins: tuple[PluginRef, ...] = ()
    environment: Mapping[str, str | int] = field(default_factory=dict)
    failure: Failure | None = None
    erased: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The text of the outputs that are text, joined by blank lines."""
        return "\n\n".join(output.text for output in self.outputs if output.text is not None)

    @property
    def decision(self) -> Decision:
        """The most severe action that was taken on a verdict; `allow` without verdicts."""
        return max((v.action for v in self.verdicts), key=DECISIONS.index, default="allow")

    def to_json(self) -> dict[str, Any]:
        """Return the generation in the shape that `--json` prints (docs/reference/json.md).

        Mappings are in the order of their keys, which is the one that records keep.
        """
        return {
            "id": self.id,
            "run_id": self.run_id,
            "actor": self.actor,
            "status": self.status,
            "generator": self.generator,
            "model": self.model and {"name": self.model.name, "digest": self.model.digest},
            "prompt": self.prompt,
            "system": self.system,
            "seed": str(self.seed),
            "parameters": {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in sorted(self.parameters.items())
            },
            "policy": self.policy,
            "outputs": [_output_json(output, "output" in self.erased) for output in self.outputs],
            "verdicts": [_verdict_json(verdict) for verdict in self.verdicts],
            "scores": [dataclasses.asdict(score) for score in self.scores],
            "usage": self.usage and dataclasses.asdict(self.usage),
            "plugins": [dataclasses.asdict(plugin) for plugin in self.plugins],
            "environment": dict(sorted(self.environment.items())),
            "tags": list(self.tags),
            "parents": list(self.parents),
            "line": self.line,
            "failure": self.failure and dataclasses.asdict(self.failure),
            "erased": list(self.erased),
            "started_at": _time_json(self.started_at),
            "finished_at": self.finished_at and _time_json(self.finished_at),
        }


ReplayResult: TypeAlias = Literal["exact", "certified", "uncertified", "diverged", "impossible"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact of the environment that is not as it was recorded."""

    name: str
    recorded: str
    now: str


@dataclass(frozen=True, slots=True)
class Replay:
    """What came of replaying one generation; `detail` is a sentence, or part of one.

    `environment` and `plugins` are those that it was replayed with.
    """

    id: str
    result: ReplayResult
    detail: str
    differences: tuple[Difference, ...] = ()
    environment: Mapping[str, str | int] = field(default_factory=dict, compare=False)
    plugins: tuple[PluginRef, ...] = field(default=(), compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return the replay in the shape that `audit replay --json` prints."""
        return {
            "id": self.id,
            "result": self.result,
            "detail": self.detail,
            "differences": [dataclasses.asdict(item) for item in self.differences],
        }


def _time_json(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _output_json(output: Output, erased: bool) -> dict[str, Any]:
    return {
        "media_type": output.media_type,
        "text": None if erased else output.text,
        "sha256": None if erased else output.sha256,
        "bytes": None if erased else len(output.data),
        "finish_reason": output.finish_reason,
    }


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    return {
        "filter": verdict.filter,
        "version": verdict.version,
        "stage": verdict.stage,
        "decision": verdict.decision,
        "action": verdict.action,
        "observed_action": verdict.observed_action,
        "categories": dict(sorted(verdict.categories.items())),
        "reasons": [dataclasses.asdict(reason) for reason in verdict.reasons],
        "policy_version": verdict.policy_version,
        "latency_ms": round(verdict.latency_ms, 3),
        "failure": verdict.failure,
    }
