"""The entries of the ledger: one class for each kind and version.

A class is the only list of the fields of its entries. The encoding and the checks (`schema.py`),
the payloads of an entry, its references and docs/reference/entries.md follow from it.

An entry contains no text that a person wrote or a model produced. It contains numbers, ids,
enumerations, names that installed plugins declare, digests, and commitments to payloads.
Entries that others share (an actor, a policy, an environment, a plugin) are referred to by number.

To add a kind, declare its class here. A change to the fields of a kind is a new version. Every
version stays readable: a class named `…V1` reads the entries of version 1, and `newest` returns
them as the class of the newest version. Until the first release, version 2 may get more fields
with defaults. A field that has its default value is not in the canonical bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from msgspec import Meta, Struct, StructMeta, field

from muniment.ledger.canonical import SAFE, decode_number, encode_float, encode_number
from muniment.ledger.payloads import Kind
from muniment.types import Decision, FinishReason, ReplayResult, Stage

ULID = re.compile(r"\A[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")
COMMITMENT = re.compile(r"\A[0-9a-f]{64}\Z")
MEDIA_TYPE = re.compile(r"\A[a-z]+/[A-Za-z0-9.+-]+(; ?[a-z]+=[A-Za-z0-9.-]+)*\Z")
MODEL_DIGEST = re.compile(r"\A[a-z0-9][a-z0-9-]{0,31}:[0-9a-f]{16,128}\Z")
PARAMETER = re.compile(r"\A[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
_NUMBER = r"\A-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?\Z"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PayloadOf:
    """A mark on a field that commits to payloads of a kind.

    Its value is a commitment, None, or a list of objects with `content` (the commitment) and
    `bytes` (the size of the payload).
    """

    kind: Kind


@dataclass(frozen=True, slots=True)
class EntryOf:
    """A mark on a field that refers to earlier entries of a kind: a number, None, or a list."""

    kind: str


# ---- types of fields; `schema.py` checks the characters of names -------------------------------
# The pattern of an `_unchecked` type is in the JSON schema only. `invalid_field` checks it, because
# msgspec's matching took half of the time of decoding. Such types are for the fields that nearly
# every generation has.


def _unchecked(pattern: str, description: str) -> Meta:
    return Meta(extra_json_schema={"pattern": pattern}, description=description)


Integer: TypeAlias = Annotated[int, Meta(ge=-SAFE, le=SAFE)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=SAFE, description="count")]
Time: TypeAlias = Annotated[int, Meta(ge=-SAFE, le=SAFE, description="time")]
Float: TypeAlias = Annotated[str, _unchecked(_NUMBER, "float")]
Scalar: TypeAlias = Integer | bool | Annotated[str, _unchecked(_NUMBER, "number")] | None
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255, description="name")]
Label: TypeAlias = Annotated[str, Meta(max_length=255, description="label")]
Parameter: TypeAlias = Annotated[str, _unchecked(PARAMETER.pattern, "identifier")]
TrainingCount: TypeAlias = Literal["epochs", "steps", "examples", "classes", "tokens"]
Ulid: TypeAlias = Annotated[str, Meta(pattern=ULID.pattern, description="ULID")]
LogId: TypeAlias = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z", description="log identity")]
Commitment: TypeAlias = Annotated[str, Meta(pattern=COMMITMENT.pattern, description="commitment")]
Seed: TypeAlias = Annotated[str, _unchecked(r"\A(0|[1-9][0-9]{0,19})\Z", "seed")]
ModelDigest: TypeAlias = Annotated[str, Meta(pattern=MODEL_DIGEST.pattern, description="digest")]
Fingerprint: TypeAlias = Annotated[
    str, Meta(pattern=r"\A[0-9a-f]{64}\Z", description="fingerprint")
]
Fact: TypeAlias = Annotated[str, Meta(pattern=r"\A[^\x00]*\Z", description="text")] | Integer

UncheckedUlid: TypeAlias = Annotated[str, _unchecked(ULID.pattern, "ULID")]
UncheckedCommitment: TypeAlias = Annotated[str, _unchecked(COMMITMENT.pattern, "commitment")]
UncheckedModelDigest: TypeAlias = Annotated[str, _unchecked(MODEL_DIGEST.pattern, "digest")]
MediaType: TypeAlias = Annotated[str, _unchecked(MEDIA_TYPE.pattern, "media type")]

ActorNumber: TypeAlias = Annotated[Count, EntryOf("actor")]
StartedNumber: TypeAlias = Annotated[Count, EntryOf("started")]
PluginNumbers: TypeAlias = Annotated[list[Count], EntryOf("plugin")]

Rating: TypeAlias = Literal["up", "down", "1", "2", "3", "4", "5"]
Action: TypeAlias = Literal["impression", "click", "like", "dislike", "buy"]
Judgement: TypeAlias = Literal["approve", "overturn"]
Cause: TypeAlias = Literal["request", "retention"]
PluginAct: TypeAlias = Literal["installed", "upgraded", "removed", "enabled", "disabled"]
ModelAct: TypeAlias = Literal["added", "removed"]
TrainingStatus: TypeAlias = Literal["completed", "stopped", "failed"]
EndStatus: TypeAlias = Literal["completed", "blocked", "failed", "interrupted"]
FailureCode: TypeAlias = Literal["invalid", "refused", "generator"]
_NEW_STAGES = frozenset(("input", "item"))  # which version 1 does not have


class _RecordMeta(StructMeta):
    """The metaclass of entries and their parts, which are frozen and have no other fields.

    The class arguments `kind` and `version` become fields that have only this value.
    """

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        kind: str = "",
        version: int = 0,
    ) -> Any:
        if kind:
            own = {"kind": Literal[kind], "version": Literal[version]}
            namespace["__annotations__"] = own | namespace.get("__annotations__", {})
            # Values of factories are encoded, although fields with default values are not.
            namespace["kind"] = field(default_factory=lambda: kind)
            namespace["version"] = field(default_factory=lambda: version)
        return super().__new__(
            mcls,
            name,
            bases,
            namespace,
            frozen=True,
            kw_only=True,
            forbid_unknown_fields=True,
            omit_defaults=True,
            gc=False,  # records have no reference cycles
        )


class _Record(Struct, metaclass=_RecordMeta):
    """An object with exactly the declared fields."""


class Entry(_Record):
    """The base class of all entries. Each class has one `kind` and `version`."""

    # Fields of each class that has a kind: see the metaclass.
    kind: ClassVar[str]
    version: ClassVar[int]

    def invalid_field(self) -> str | None:
        """Return the name of a field whose value its type allows but the entry does not."""
        return None

    def newest(self) -> Entry:
        """Return the entry as the class of the newest version of its kind."""
        return self


# ---- parts of entries --------------------------------------------------------------------------


class PluginFact(_Record):
    """A distribution at one version and state of its code.

    Attributes:
        digest: The digest of the code.
    """

    distribution: Name
    version: Label
    digest: Label


class OutputFact(_Record):
    """One output. If the status is `failed` or `interrupted`, the chunks that were streamed.

    Attributes:
        bytes: The size of the output.
        content: The commitment to the payload `output` with the position of this object.
        kept: The positions of the selected items, from 0, in their order, each once. Absent
            if none were selected from the candidates. Only in version 2.
        wanted: The number of items that the generator wanted. Absent if it wanted all that pass.
            Only in version 2.
        selection: The commitment to the selection that the caller got. It is the HMAC-SHA-256,
            under the salt of the payload `output`, of `selection`, a zero byte and the bytes.
            Absent if no selection was made. Only in version 2.
    """

    media_type: MediaType
    bytes: Count
    finish_reason: FinishReason | None
    content: UncheckedCommitment
    kept: list[Count] | None = None
    wanted: Annotated[int, Meta(ge=1, le=SAFE, description="number from 1")] | None = None
    selection: Commitment | None = None


class FingerprintFact(_Record):
    """The fingerprint of an output, by which its media type finds a file again.

    Attributes:
        output: The position of the output.
        bytes: The size of the fingerprint.
        content: The commitment to the payload `fingerprint` with the position of this object.
    """

    output: Count
    bytes: Count
    content: Commitment


class VerdictFact(_Record):
    """One filter's finding, and the action of the pipeline.

    Attributes:
        filter: None if no plugin declares the filter. The payload `detail` then contains its name.
        version: The version of the filter.
        policy_rule: The position of the filter's rule in the policy, from 0.
        decision: The finding of the filter.
        action: The action of the pipeline.
        latency_us: The running time of the filter in microseconds.
        categories: Scores from 0 to 1 of the categories that the filter's class declares. Others
            are in the payload `detail`.
        failed: Whether the filter itself failed, which blocks.
        item: The position of the judged item among the candidates of all outputs, from 1. Absent
            unless one item was judged. Only in version 2.
        input: The name of the judged input. Absent unless an input was judged. Only in version 2.
        parameter: The name of the judged parameter. Absent unless a parameter was judged. Only in
            version 2.
    """

    filter: Name | None
    version: Label
    policy_rule: Count | None
    stage: Stage
    decision: Decision
    action: Decision
    latency_us: Count
    categories: dict[Name, Float]
    failed: bool
    item: Annotated[int, Meta(ge=1, le=SAFE, description="position from 1")] | None = None
    input: Parameter | None = None
    parameter: Parameter | None = None


class ScoreFact(_Record):
    """One value that an evaluator measured.

    Attributes:
        evaluator: The name of the evaluator. Its parameters are in the payload `detail`.
        version: The version of the evaluator.
        name: The name of the measure.
        value: None if the evaluator failed.
        unit: The unit of the measure.
        higher_is_better: None if neither direction is better.
        latency_us: The running time of the evaluator in microseconds, which values can share.
        failed: Whether the evaluator failed.
        models: The digests of the models that parameters of the evaluator name, by the name of the
            parameter. Only in version 2.
    """

    evaluator: Name
    version: Label
    name: Name
    value: Float | None
    unit: Label
    higher_is_better: bool | None
    latency_us: Count
    failed: bool
    models: dict[Parameter, ModelDigest] = {}


class UsageFact(_Record):
    """Numbers of tokens.

    Attributes:
        prompt_tokens: The number of tokens of the prompt.
        output_tokens: The number of tokens of the outputs.
    """

    prompt_tokens: Count
    output_tokens: Count


class ErasedFact(_Record):
    """The kinds of an entry's payloads that were erased.

    Attributes:
        entry: The number of the entry.
    """

    entry: Count
    kinds: list[Kind]


class RetentionFact(_Record):
    """The minimum and maximum age of payloads of a kind, of generations with a decision.

    Attributes:
        payload: None for all kinds.
        decision: None for all decisions.
        least_days: The days before which such payloads are not erased, or None if not set.
        most_days: The days after which such payloads are erased, or None if not set.
    """

    payload: Kind | None
    decision: Decision | None
    least_days: Count | None
    most_days: Count | None


# ---- entries that others refer to --------------------------------------------------------------


class GenesisEntry(Entry, kind="genesis", version=1):
    """The first entry, number 0, and only the first.

    Attributes:
        log: 128 random bits that identify the ledger.
    """

    log: LogId


class ActorEntry(Entry, kind="actor", version=1):
    """A user or program that made a request, as an OS user or a given name.

    It is written at the first request of an actor, and again after the name was erased.

    Attributes:
        name: The name of the actor.
    """

    name: Annotated[Commitment, PayloadOf("actor")]


class PolicyEntry(Entry, kind="policy", version=1):
    """A policy that was in force.

    It is written with the first generation under this name and document. A changed policy is
    therefore another entry.

    Attributes:
        document: The name and document of the policy.
    """

    document: Annotated[Commitment, PayloadOf("policy")]


class EnvironmentEntry(Entry, kind="environment", version=1):
    """Facts outside the record on which outputs depended.

    They are versions of libraries, the processor, threads and the number format. Each distinct set
    of facts is written once.

    Attributes:
        facts: Facts from the core and the generator.
    """

    facts: dict[Name, Fact]


class PluginEntry(Entry, kind="plugin", version=1):
    """A plugin, or the core itself, at one version and state of its code.

    It is written with the first generation in which the plugin takes part. A changed plugin is
    therefore another entry.
    """

    plugin: PluginFact


# ---- generations -------------------------------------------------------------------------------


class InputEntry(Entry, kind="input", version=1):
    """A file that was given with a prompt.

    It is written before the `started` entries that refer to it. Generations of a run share the
    entry of equal inputs.

    Attributes:
        bytes: The size of the file.
        content: The content of the file.
    """

    media_type: MediaType
    bytes: Count
    content: Annotated[Commitment, PayloadOf("input")]

    def invalid_field(self) -> str | None:
        """Return `media_type` if it does not have the form of one."""
        return None if _is_media_type(self.media_type) else "media_type"


class _Started(Entry):
    """The request of a generation, written before anything is generated.

    Attributes:
        generation: The id of the generation.
        run: The id of the run that it belongs to.
        at: The time of the request.
        generator: None if the request could not be resolved.
        model: None without a model, or if its digest does not have this form.
        parameters: The effective parameters that are numbers, truth values or None. Texts and lists
            are in the payload `request`. Empty if the request could not be resolved.
        prompt: The prompt, which is empty if the request has none.
        parents: The ids of the generations that this one was made from.
        line: The line of the batch file, from 1, or None outside a batch.
        plugins: The plugin that contains the generator. Empty if the request could not be resolved.
    """

    generation: UncheckedUlid
    run: UncheckedUlid
    at: Time
    actor: ActorNumber
    generator: Name | None
    model: UncheckedModelDigest | None
    seed: Seed
    parameters: dict[Parameter, Scalar]
    policy: Annotated[Count | None, EntryOf("policy")]
    prompt: Annotated[UncheckedCommitment, PayloadOf("prompt")]
    request: Annotated[UncheckedCommitment | None, PayloadOf("request")]
    parents: list[Ulid]
    line: Count | None
    plugins: PluginNumbers

    def invalid_field(self) -> str | None:
        """Return a field with a text or number that does not have its only form."""
        if not ULID.match(self.generation):
            return "generation"
        if not ULID.match(self.run):
            return "run"
        if not COMMITMENT.match(self.prompt):
            return "prompt"
        if self.request is not None and not COMMITMENT.match(self.request):
            return "request"
        if self.model is not None and not _is_model_digest(self.model):
            return "model"
        seed = int(self.seed)
        if not 0 <= seed < 2**64 or str(seed) != self.seed:
            return "seed"
        for name, value in self.parameters.items():
            if not is_parameter(name) or (isinstance(value, str) and not _is_encoded_number(value)):
                return "parameters"
        return None


class StartedEntryV1(_Started, kind="started", version=1):
    """The request of a generation, as it was recorded before there were inputs."""

    def newest(self) -> StartedEntry:
        """Return the entry as version 2, without inputs."""
        return StartedEntry(**_fields(self))


class StartedEntry(_Started, kind="started", version=2):
    """The request of a generation, written before anything is generated.

    Attributes:
        inputs: The entries of the inputs, by the names that the generator declares.
        models: The digests of the models that parameters name, such as an adapter. Their names are
            in the payload `request`.
    """

    inputs: Annotated[dict[Parameter, Count], EntryOf("input")] = {}
    models: dict[Parameter, ModelDigest] = {}

    def invalid_field(self) -> str | None:
        """Return a field with a text or number that does not have its only form."""
        if not all(map(is_parameter, self.inputs)):
            return "inputs"
        if not all(map(is_parameter, self.models)):
            return "models"
        return super().invalid_field()


class _Outcome(Entry):
    """The end of a generation. There is at most one for each `started` entry.

    Attributes:
        at: The time of the end. After a kill, the time when it was noticed.
        plugins: All plugins that took part. Empty after a kill, where those of `started` apply.
    """

    generation: StartedNumber
    at: Time
    status: EndStatus
    outputs: Annotated[list[OutputFact], PayloadOf("output")]
    verdicts: list[VerdictFact]
    scores: list[ScoreFact]
    usage: UsageFact | None
    trace: Annotated[Commitment | None, PayloadOf("trace")]
    detail: Annotated[Commitment | None, PayloadOf("detail")]
    environment: Annotated[Count | None, EntryOf("environment")]
    failure: FailureCode | None
    plugins: PluginNumbers

    def invalid_field(self) -> str | None:
        """Return a field with a text or float that does not have its only form."""
        for output in self.outputs:
            if not (COMMITMENT.match(output.content) and _is_media_type(output.media_type)):
                return "outputs"
        for verdict in self.verdicts:
            for category in verdict.categories.values():
                if not _is_encoded_float(category):
                    return "verdicts"
        for score in self.scores:
            if score.value is not None and not _is_encoded_float(score.value):
                return "scores"
        return None


class OutcomeEntryV1(_Outcome, kind="outcome", version=1):
    """The end of a generation, as it was recorded before there were items and fingerprints."""

    def invalid_field(self) -> str | None:
        """Return a field with an invalid value, or with a field of version 2."""
        for output in self.outputs:
            if output.kept is not None or output.wanted or output.selection:
                return "outputs"
        for verdict in self.verdicts:
            if (
                verdict.item is not None
                or verdict.input is not None
                or verdict.parameter is not None
                or verdict.stage in _NEW_STAGES
            ):
                return "verdicts"
        if any(score.models for score in self.scores):
            return "scores"
        return super().invalid_field()

    def newest(self) -> OutcomeEntry:
        """Return the entry as version 2, without fingerprints."""
        return OutcomeEntry(**_fields(self))


class OutcomeEntry(_Outcome, kind="outcome", version=2):
    """The end of a generation. There is at most one for each `started` entry.

    Attributes:
        fingerprints: The fingerprints of the outputs whose media types compute them, in the order
            of the outputs.
    """

    fingerprints: Annotated[list[FingerprintFact], PayloadOf("fingerprint")] = []

    def invalid_field(self) -> str | None:
        """Return a field with a text or float that does not have its only form."""
        for output in self.outputs:
            if output.kept is not None and len(set(output.kept)) < len(output.kept):
                return "outputs"
            if output.kept is None and output.selection is not None:
                return "outputs"
        for verdict in self.verdicts:
            if verdict.input is not None and not is_parameter(verdict.input):
                return "verdicts"
            if verdict.parameter is not None and not is_parameter(verdict.parameter):
                return "verdicts"
        for score in self.scores:
            if not all(map(is_parameter, score.models)):
                return "scores"
        if self.fingerprints:
            positions = [fact.output for fact in self.fingerprints]
            if positions != sorted(set(positions)) or positions[-1] >= len(self.outputs):
                return "fingerprints"
        return super().invalid_field()


# ---- events ------------------------------------------------------------------------------------


class Event(Entry):
    """The base class of entries about an action of an actor.

    The table `event` has one row for each of the `subjects`.

    Attributes:
        at: The time of the event.
        actor: The actor who caused it.
    """

    at: Time
    actor: ActorNumber

    @property
    def subjects(self) -> Sequence[int | None]:
        """The numbers of the generations that the event is about, or one None."""
        return (None,)

    @property
    def key(self) -> str | None:
        """The text by which events of the kind are found, such as the id of a hold."""
        return None


class GenerationEvent(Event):
    """The base class of events about one generation.

    Attributes:
        generation: The generation that it is about.
    """

    generation: StartedNumber

    @property
    def subjects(self) -> Sequence[int | None]:
        """The number of the generation."""
        return (self.generation,)


class _Feedback(GenerationEvent):
    """A rating of, or a comment on, a generation."""

    rating: Rating | None
    comment: Annotated[Commitment | None, PayloadOf("comment")]


class FeedbackEntryV1(_Feedback, kind="feedback", version=1):
    """A rating of, or a comment on, a generation."""

    def newest(self) -> FeedbackEntry:
        """Return the entry as version 2, without an action."""
        return FeedbackEntry(**_fields(self))


class FeedbackEntry(_Feedback, kind="feedback", version=2):
    """A rating of, a comment on, or an action with a generation or one of its items.

    Attributes:
        action: The action of a user, if there was one.
        item: The position of the item among the candidates, unless the feedback is about the whole
            generation.
    """

    action: Action | None = None
    item: Annotated[int, Meta(ge=1, le=SAFE, description="position from 1")] | None = None


class ReviewEntry(GenerationEvent, kind="review", version=1):
    """A person's decision on the action of the filters. The verdicts stay unchanged.

    Attributes:
        decision: `approve` if the action was right, `overturn` if it was wrong.
    """

    decision: Judgement
    reason: Annotated[Commitment | None, PayloadOf("reason")]


class ReplayEntry(GenerationEvent, kind="replay", version=1):
    """The result of making a generation again and comparing it with its record.

    Attributes:
        environment: The environment of the replay. The outcome has that of the generation.
        plugins: The core and the plugin that contains the generator, if it is available, as they
            were at the replay.
    """

    result: ReplayResult
    environment: Annotated[Count, EntryOf("environment")]
    plugins: PluginNumbers
    detail: Annotated[Commitment, PayloadOf("replay")]


class ErasureEntry(Event, kind="erasure", version=1):
    """Payloads that were destroyed with their salts, before the entry was committed.

    Attributes:
        cause: `request` if someone requested it, `retention` if their maximum age had passed.
    """

    cause: Cause
    reason: Annotated[Commitment | None, PayloadOf("reason")]
    payloads: list[ErasedFact]


class HoldEntry(Event, kind="hold", version=1):
    """Generations that may not be erased until the hold is released.

    A hold on many generations has several entries with one id.

    Attributes:
        hold: The id of the hold.
    """

    hold: Ulid
    reason: Annotated[Commitment, PayloadOf("reason")]
    generations: Annotated[list[Count], EntryOf("started")]

    @property
    def subjects(self) -> Sequence[int | None]:
        """The numbers of the generations under the hold."""
        return self.generations

    @property
    def key(self) -> str | None:
        """The id of the hold."""
        return self.hold


class ReleaseEntry(Event, kind="release", version=1):
    """The end of a hold.

    Attributes:
        hold: The id of the hold.
    """

    hold: Ulid
    reason: Annotated[Commitment | None, PayloadOf("reason")]

    @property
    def key(self) -> str | None:
        """The id of the hold."""
        return self.hold


class RetentionEntry(Event, kind="retention", version=1):
    """The retention rules from then on. They replace the earlier rules."""

    rules: list[RetentionFact]


class InstallationEntry(Event, kind="installation", version=1):
    """A change of a plugin by `muniment plugins`, written after the change.

    Attributes:
        act: `upgraded` if it replaced another version, older or newer.
        plugin: The state of the plugin after the change, or its last state.
        signer: The key that signed the bundle it was installed from. None if it was not signed.
    """

    act: PluginAct
    plugin: PluginFact
    signer: Fingerprint | None

    @property
    def key(self) -> str | None:
        """The name of the distribution."""
        return self.plugin.distribution


class ModelEntry(Event, kind="model", version=1):
    """The addition of a model to the home folder, or its removal.

    Attributes:
        digest: The digest of the model when it was added. None if its record was corrupt.
        detail: The name and the source of the model.
    """

    act: ModelAct
    digest: ModelDigest | None
    detail: Annotated[Commitment, PayloadOf("model")]

    @property
    def key(self) -> str | None:
        """The digest of the model."""
        return self.digest


class TrainingEntry(Event, kind="training", version=1):
    """The training of a model.

    Attributes:
        claimed: Whether it took place elsewhere, and was read from the model's `training.json`.
        base: The digest of the model that the training began with. None if there was none.
        result: The digest of the trained model. None if no model was written.
        counts: The numbers of epochs, steps, examples, classes and tokens, as far as given. Counts
            with other names are in the payload, because a person may have written the names.
        plugins: The core and the plugin that trained the model. Empty if it is claimed.
        detail: Everything else, such as the data, the parameters and the losses.
    """

    status: TrainingStatus
    claimed: bool
    base: ModelDigest | None
    result: ModelDigest | None
    counts: dict[TrainingCount, Count]
    plugins: PluginNumbers
    detail: Annotated[Commitment, PayloadOf("training")]

    @property
    def key(self) -> str | None:
        """The digest of the trained model."""
        return self.result


# ---- values of fields --------------------------------------------------------------------------


def milliseconds(moment: datetime) -> int:
    """Return a time as entries contain it: whole milliseconds since 1970 in UTC, rounded down."""
    since = moment - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


def moment(milliseconds: int) -> datetime:
    """Return the time that an entry contains."""
    seconds, rest = divmod(milliseconds, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)


def _fields(entry: Entry) -> dict[str, Any]:
    """Return the fields of an entry by name, without its kind and version."""
    names = entry.__struct_fields__
    return {name: getattr(entry, name) for name in names if name not in ("kind", "version")}


_is_model_digest = lru_cache(1024)(MODEL_DIGEST.match)
_is_media_type = lru_cache(1024)(MEDIA_TYPE.match)


@lru_cache(4096)
def is_parameter(name: str) -> bool:
    """Return whether an entry may contain a parameter of this name."""
    return PARAMETER.match(name) is not None


def _is_encoded_float(text: str) -> bool:
    return encode_float(float(text)) == text


@lru_cache(4096)
def _is_encoded_number(text: str) -> bool:
    return encode_number(decode_number(text)) == text
