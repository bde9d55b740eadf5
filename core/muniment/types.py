"""Frozen dataclasses that plugins, the pipeline, the store and the CLI share.

Texts are Unicode strings that can be encoded as UTF-8. Times are aware datetimes in UTC.
Seeds are integers from 0 to 2^64 - 1.
"""

from __future__ import annotations

import dataclasses
import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any, Literal, NamedTuple, TypeAlias

from muniment.parameters import Parameters, Value
from muniment.representation import showing

Status: TypeAlias = Literal["started", "completed", "blocked", "failed", "interrupted"]
Stage: TypeAlias = Literal["system", "prompt", "input", "output", "item"]
Decision: TypeAlias = Literal["allow", "flag", "block"]
FinishReason: TypeAlias = Literal["stop", "length"]

FINISH_REASONS = (None, "stop", "length")
DECISIONS: tuple[Decision, ...] = ("allow", "flag", "block")  # from mild to severe
UNREAD_FILTER = "unread"  # of the verdict that blocks content which no filter reads

_BYTE_ORDER_MARK = "\ufeff"
_TEXT_TYPE = re.compile(r"text/.*|.*[/+](x-)?(json|jsonl|ndjson|xml|yaml|toml|javascript) *(;.*)?")


_JSON_TYPE = re.compile(r"application/json|.*\+json")


def is_text_type(media_type: str) -> bool:
    """Return whether outputs of a media type are shown as text, which `text/*` and JSON are."""
    kind = media_type.partition(";")[0].strip()
    return kind.startswith("text/") or _JSON_TYPE.fullmatch(kind) is not None


def _text(media_type: str, data: bytes) -> str | None:
    if media_type.startswith("text/"):
        return data.decode()
    try:
        return data.decode() if is_text_type(media_type) else None
    except UnicodeDecodeError:
        return None


def _shown_content(value: Any) -> str | bytes:
    """Return an excerpt of a text, or the bytes of any other content, for a representation."""
    content: Output | Input | Content = value
    if is_text_type(content.media_type):
        return content.data[:400].decode(errors="replace") + "…" * (len(content.data) > 400)
    return content.data


def _shown_output(value: Any) -> str | bytes | list[str]:
    outputs: tuple[Output, ...] = value.outputs
    if len(outputs) == 1 and is_text_type(outputs[0].media_type):
        return _shown_content(outputs[0])
    return [output.media_type for output in outputs]


@dataclass(frozen=True, slots=True)
class SelectionCommitment:
    """The commitment to the selection of a list, under the salt of the output's payload.

    `digest` is in hexadecimal. It reveals nothing after the payload was erased with its salt.

    Example:
        >>> muniment.SelectionCommitment(b"salt", "00ff").digest
        '00ff'
    """

    salt: bytes = field(repr=False)
    digest: str

    __repr__ = showing("digest")


@dataclass(frozen=True, slots=True)
class Output:
    """One output of a generation, as bytes of any media type.

    `finish_reason` of a text is `stop` if the model or a stop string ended it, and `length` if
    it reached the maximum length. `fingerprint` is what its media type computes to find the
    output from a file again.

    A list has items, the candidates. `kept` has the positions, from 0, of the items that the
    pipeline selected, and is None if it selected none. `wanted` is the number of items that the
    generator wanted. In a recorded output `data` has all candidates, and `selection` commits to
    the bytes of the selected ones. In the output that `Session.generate` returns `data` has the
    selected items. The pipeline sets these four fields.

    Example:
        >>> output = muniment.Output("text/plain", "你好".encode(), "stop")
        >>> output.text
        '你好'
        >>> output.sha256[:8]
        '670d9743'
    """

    media_type: str
    data: bytes
    finish_reason: FinishReason | None = None
    kept: tuple[int, ...] | None = None
    fingerprint: bytes | None = None
    wanted: int | None = None
    selection: SelectionCommitment | None = None

    __repr__ = showing("media_type", "finish_reason", "kept", content=_shown_content)

    @property
    def text(self) -> str | None:
        """The output as text, or None unless it is `text/*` or JSON."""
        return _text(self.media_type, self.data)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes in hexadecimal. It is computed on each access, never stored."""
        return hashlib.sha256(self.data).hexdigest()


def accepts_media_type(declared: Sequence[str], media_type: str) -> bool:
    """Return whether a plugin object with these declared media types accepts a media type.

    `text/plain` accepts every `text/*`. Parameters such as `charset` are ignored.
    """
    # A text filter must not be bypassed by labelling a text with another subtype.
    kind = media_type.partition(";")[0].strip()
    return kind in declared or (kind.startswith("text/") and "text/plain" in declared)


def Text(text: str, finish_reason: FinishReason | None = None) -> Output:
    """Return an output of plain text. The name is capitalised because it acts as a constructor.

    Example:
        >>> muniment.Text("Once upon a time", "stop")
        Output(media_type='text/plain', finish_reason='stop', content='Once upon a time')
    """
    return Output("text/plain", text.encode(), finish_reason)


@dataclass(frozen=True, slots=True)
class Input:
    """A file that was given with a prompt, under a name that the generator declares.

    Erased or altered content is empty.

    Example:
        >>> given = muniment.Input("context", "text/plain", b"a report")
        >>> given.text, len(given.sha256)
        ('a report', 64)
    """

    name: str
    media_type: str
    data: bytes

    __repr__ = showing("name", "media_type", content=_shown_content)

    @property
    def text(self) -> str | None:
        """The input as text, or None unless it is `text/*` or JSON.

        A byte order mark at its start is no part of the text.
        """
        text = _text(self.media_type, self.data)
        return text and text.removeprefix(_BYTE_ORDER_MARK)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes in hexadecimal. It is computed on each access, never stored."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True, slots=True)
class Item:
    """One item of an output that is a list.

    Attributes:
        id: The id of the item, which feedback on the item names. Filters read it too.
        text: The text that filters read.

    Example:
        >>> muniment.Item("b-17", "Moby-Dick").id
        'b-17'
    """

    id: str
    text: str

    __repr__ = showing()


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference between a recorded output and a new one, as a media type measures it.

    Attributes:
        distance: The distance of the two outputs, or None if they cannot be compared.
        unit: The unit of the distance, such as `largest difference of a pixel`.
        position: The first place where they differ, such as `sample 17`. Empty if unknown.

    Example:
        >>> print(muniment.Comparison(3.0, "largest difference of a pixel", "pixel 17"))
        largest difference of a pixel 3, first at pixel 17
    """

    distance: float | None
    unit: str
    position: str = ""

    __repr__ = showing()

    def __str__(self) -> str:
        distance = "" if self.distance is None else f" {self.distance:g}"
        return f"{self.unit}{distance}" + (f", first at {self.position}" if self.position else "")


@dataclass(frozen=True, slots=True)
class Provenance:
    """The facts of a generation that an exported file contains.

    Attributes:
        id: The id of the generation.
        generator: The name of the generator.
        prompt: The prompt, which is empty if it was erased or if the file is private.
        seed: The seed.
        parameters: The effective parameters, without those that name models. Empty if the file is
            private.
        model: The name of the model without its folder, or an empty text.
        model_digest: The digest of the model, or an empty text.
        created_at: The time of the request, in UTC.
        versions: The versions of the core and of the plugins that took part, by distribution.
        models: The digests of the models that parameters name, by the name of the parameter.
        producer: The code of the content's producer, as GB 45438-2025 defines it, or an empty text.

    Example:
        >>> muniment.Provenance
        <class 'muniment.types.Provenance'>
        >>> done.provenance.generator, done.provenance.seed
        ('text', 7)
    """

    id: str
    generator: str
    prompt: str
    seed: int
    parameters: Mapping[str, Value]
    model: str
    model_digest: str
    created_at: datetime
    versions: Mapping[str, str]
    models: Mapping[str, str] = field(default_factory=dict)
    producer: str = ""

    __repr__ = showing("id", "generator", "prompt", "seed", "model")


@dataclass(frozen=True, slots=True)
class InputSpec:
    """An input that a generator declares.

    Attributes:
        name: A lower-case letter, then lower-case letters, digits and `_`.
        media_types: The accepted media types. `text/plain` includes every `text/*`.
        max_bytes: The maximum size in bytes.
        help: A noun phrase for `--help`.
        option: An option of the generator's own, as in `--user TEXT` (the text itself) or
            `--only FILE` (the path of a file). Empty for an input that has only `--input`.

    Example:
        >>> muniment.InputSpec("context", ("text/plain",), help="text to summarise").max_bytes
        16000000
    """

    name: str
    media_types: tuple[str, ...]
    max_bytes: int = 16_000_000
    help: str = ""
    option: str = ""

    __repr__ = showing("name", "media_types", "max_bytes", "help", "option")


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
class TokenScores:
    """The probabilities that a model assigns to the tokens of a text.

    The three sequences have equal length. `logprobs` are natural logarithms of the probability of
    each token, given the prompt and the tokens before it, at temperature 1 without truncation.
    `offsets` are the first character of each token in the text, and the one after its last.

    Example:
        >>> scores = muniment.TokenScores([12, 7], [-0.5, -1.5], [(0, 3), (3, 8)])
        >>> sum(scores.logprobs) / len(scores.logprobs)
        -1.0
    """

    token_ids: Sequence[int]
    logprobs: Sequence[float]
    offsets: Sequence[tuple[int, int]]

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
class Model:
    """A model on disk (weights, tokenizer, configuration), identified by a digest of its bytes.

    Example:
        >>> muniment.Model("gemma-3-270m", "tree1-sha256:00ff", "/models/gemma-3-270m").name
        'gemma-3-270m'
    """

    name: str
    digest: str
    path: str

    __repr__ = showing()


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model that an installed package contains, so that adding it needs no network.

    `source` is the argument for the generator's `add_model`. `terms` is a sentence that is
    displayed once.

    Example:
        >>> muniment.PackagedModel("tiny", "tiny", "Apache-2.0.").terms
        'Apache-2.0.'
    """

    name: str
    source: str
    terms: str = ""

    __repr__ = showing("name", "terms")


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

    __repr__ = showing("stage", "media_type", "input", "parameter", content=_shown_content)

    @property
    def text(self) -> str:
        """The content as text. Raises UnicodeDecodeError for bytes that are not UTF-8.

        Only a filter that declares a text media type may use it.
        """
        text = self.data.decode()
        # Filters of inputs read the text that the generator gets.
        return text.removeprefix(_BYTE_ORDER_MARK) if self.stage == "input" else text

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


@dataclass(frozen=True, slots=True)
class Measure:
    """A quantity that an evaluator measures.

    `higher_is_better` is None if neither direction is better.

    Example:
        >>> muniment.Measure("perplexity", higher_is_better=False).name
        'perplexity'
    """

    name: str
    unit: str = ""
    higher_is_better: bool | None = None

    __repr__ = showing()


@dataclass(frozen=True, slots=True)
class Score:
    """One value that an evaluator measured.

    Attributes:
        evaluator: The name of the evaluator, with the parameters that differ from its defaults,
            as in `similarity(scale=2)`. Only the name remains after an erasure.
        version: Its version.
        name: The name of the measure.
        value: None if the evaluator failed.
        unit: The unit of the measure.
        higher_is_better: None if neither direction is better.
        failure: The reason why the evaluator failed, or None.
        parameters: The effective parameters of the evaluator, defaults included.
        models: The digests of the models of parameters, by the name of the parameter.
        latency_ms: The running time of the evaluator, which several values can share. Scores
            that differ only in it are equal.

    Example:
        >>> muniment.Score("words", "1", "words", 5.0, "words").value
        5.0
    """

    evaluator: str
    version: str
    name: str
    value: float | None
    unit: str = ""
    higher_is_better: bool | None = None
    failure: str | None = None
    parameters: Mapping[str, Value] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    latency_ms: float = field(default=0.0, compare=False)

    __repr__ = showing("evaluator", "name", "value", "unit", "failure")


@dataclass(frozen=True, slots=True)
class PluginRef:
    """The distribution that provides a plugin object.

    Attributes:
        distribution: The name of the distribution.
        version: Its version.
        digest: The digest of its code.

    Example:
        >>> muniment.PluginRef("muniment-text", "0.1.0", "tree1-sha256:00ff").version
        '0.1.0'
    """

    distribution: str
    version: str
    digest: str

    __repr__ = showing()


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why a generation failed, as a code and a sentence.

    Attributes:
        code: `invalid` if the request could not be resolved, `refused` if the generator returned
            `request.fail(...)`, `generator` if it raised or broke the contract.
        message: The reason as a sentence.

    Example:
        >>> muniment.Failure("refused", "the prompt is too long").code
        'refused'
    """

    code: Literal["invalid", "refused", "generator"]
    message: str

    __repr__ = showing()


class Cell(NamedTuple):
    """The place of a generation in an experiment, as numbers of levels from 0.

    Attributes:
        item: The item, such as a question.
        paraphrase: The wording of the item.
        setting: The combination of the values of the parameters.
        replicate: The repetition with another seed.

    Example:
        >>> muniment.Cell(item=0, paraphrase=1, setting=0, replicate=2)
        Cell(item=0, paraphrase=1, setting=0, replicate=2)
    """

    item: int
    paraphrase: int
    setting: int
    replicate: int


class Levels(NamedTuple):
    """The numbers of levels of an experiment, from 1. A cell has smaller numbers.

    Attributes:
        items: The number of items.
        paraphrases: The number of wordings of an item.
        settings: The number of combinations of the values of parameters.
        replicates: The number of repetitions of a combination.

    Example:
        >>> levels = muniment.Levels(items=4, paraphrases=2, settings=3, replicates=5)
        >>> levels.items * levels.paraphrases * levels.settings * levels.replicates
        120
    """

    items: int
    paraphrases: int
    settings: int
    replicates: int


@dataclass(frozen=True, slots=True)
class Generation:
    """The record of one request that went through the pipeline, as stored and displayed.

    `environment` contains everything else that the output may depend on, such as library
    versions, processor, number of threads and number format. `line` is the line number in a
    batch file, counted from 1. `erased` names the kinds of payloads that were erased, for
    example `prompt` and `output`. An erased trace is not listed. `altered` names the kinds of
    payloads that were changed after they were recorded. Their texts are empty. `inputs` are sorted
    by name. `models` has the models of parameters, such as an adapter, by the name of the
    parameter. `resolved_parameters` names the parameters that the caller left to the generator's
    `resolve`, and `resolved_inputs` the inputs that it added, sorted. `cell` is the place in an
    experiment, or None outside of one. `scores` are those of the outcome, and `added_scores` those
    that were added later, the oldest first.

    Example:
        >>> isinstance(done, muniment.Generation)
        True
        >>> done.status, done.text, done.decision
        ('completed', 'Once upon a time, 你好', 'allow')
        >>> done.newest_scores[0].value, done.unread, done.provenance.seed
        (5.0, (), 7)
        >>> done.to_json()["seed"]
        '7'
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
    models: Mapping[str, Model] = field(default_factory=dict)
    policy: str = ""
    tags: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    line: int | None = None
    cell: Cell | None = None
    inputs: tuple[Input, ...] = ()
    resolved_parameters: tuple[str, ...] = ()
    resolved_inputs: tuple[str, ...] = ()
    outputs: tuple[Output, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    scores: tuple[Score, ...] = ()
    usage: Usage | None = None
    trace: Trace | None = None
    plugins: tuple[PluginRef, ...] = ()
    environment: Mapping[str, str | int] = field(default_factory=dict)
    failure: Failure | None = None
    erased: tuple[str, ...] = ()
    altered: tuple[str, ...] = ()
    added_scores: tuple[Score, ...] = ()

    __repr__ = showing("id", "status", "prompt", output=_shown_output)

    @property
    def newest_scores(self) -> tuple[Score, ...]:
        """The newest score of each measure of each evaluator with its parameters."""
        if not self.added_scores:
            return self.scores
        newest: dict[tuple[str, str], Score] = {}
        for score in (*self.scores, *self.added_scores):
            newest[score.evaluator, score.name] = score
        return tuple(newest.values())

    @property
    def text(self) -> str:
        """The outputs that are text, joined by blank lines."""
        return "\n\n".join(output.text for output in self.outputs if output.text is not None)

    @property
    def provenance(self) -> Provenance:
        """The facts that an exported file contains. They include no path of this machine."""
        return Provenance(
            id=self.id,
            generator=self.generator,
            prompt=self.prompt,
            seed=self.seed,
            parameters={
                name: value for name, value in self.parameters.items() if name not in self.models
            },
            # The name of a model that was not added is its path.
            model=PurePath(self.model.name).name if self.model else "",
            model_digest=self.model.digest if self.model else "",
            created_at=self.started_at,
            versions={plugin.distribution: plugin.version for plugin in self.plugins},
            models={name: model.digest for name, model in self.models.items()},
        )

    @property
    def unread(self) -> tuple[str, ...]:
        """The outputs and inputs that are not text and have no verdict, as `output: image/png`.

        Empty without a policy.
        """
        if self.policy in ("", "none", "none@1") or not (self.outputs or self.inputs):
            return ()
        stages = {verdict.stage for verdict in self.verdicts}
        judged = {verdict.input for verdict in self.verdicts}
        inputs = [
            f"input {item.name}: {item.media_type}"
            for item in self.inputs
            if item.name not in judged and not is_text_type(item.media_type)
        ]
        types = [] if stages & {"output", "item"} else [item.media_type for item in self.outputs]
        outputs = [f"output: {name}" for name in dict.fromkeys(types) if not is_text_type(name)]
        return (*inputs, *outputs)

    @property
    def decision(self) -> Decision:
        """The most severe action of all verdicts, or `allow` if there are no verdicts."""
        return max((v.action for v in self.verdicts), key=DECISIONS.index, default="allow")

    def to_json(self) -> dict[str, Any]:
        """Return the generation in the shape that `--json` prints (docs/reference/json.md)."""
        from muniment.records import to_json  # which imports this module

        return to_json(self)


ReplayResult: TypeAlias = Literal["exact", "certified", "uncertified", "diverged", "impossible"]


def compared_facts(environment: Mapping[str, str | int]) -> dict[str, str | int]:
    """Return the facts of an environment without notes, which do not affect the outputs."""
    return {name: fact for name, fact in environment.items() if not name.startswith("note.")}


@dataclass(frozen=True, slots=True)
class Difference:
    """One value of the environment that differs from the recorded value.

    Attributes:
        name: The name of the fact.
        recorded: The recorded value.
        now: The present value.

    Example:
        >>> muniment.Difference("torch", recorded="2.12", now="2.13").name
        'torch'
    """

    name: str
    recorded: str
    now: str

    __repr__ = showing()


@dataclass(frozen=True, slots=True)
class Replay:
    """The result of replaying one generation. `detail` is a sentence or a part of one.

    `environment` and `plugins` describe the replay, not the recorded generation. `comparison`
    describes the first output that differs, if its media type compares outputs.

    Example:
        >>> (replay,) = session.replay([done])
        >>> isinstance(replay, muniment.Replay)
        True
        >>> replay.to_json()["result"]
        'exact'
    """

    id: str
    result: ReplayResult
    detail: str
    differences: tuple[Difference, ...] = ()
    environment: Mapping[str, str | int] = field(default_factory=dict, compare=False)
    plugins: tuple[PluginRef, ...] = field(default=(), compare=False)
    comparison: Comparison | None = None

    __repr__ = showing("id", "result", "detail", "differences")

    def to_json(self) -> dict[str, Any]:
        """Return the replay in the shape that `audit replay --json` prints."""
        comparison = self.comparison
        return {
            "id": self.id,
            "result": self.result,
            "detail": self.detail,
            "distance": comparison and comparison.distance,
            "unit": comparison and comparison.unit,
            "position": comparison and comparison.position,
            "differences": [dataclasses.asdict(item) for item in self.differences],
        }
