"""The entries of the ledger: one class for each kind and version.

A class is the only list of the fields of its entries. The encoding and the checks (`schema.py`),
the payloads of an entry, its references and docs/reference/entries.md follow from it.

An entry contains no text that a person wrote or a model produced. It contains numbers, ids,
enumerations, names that installed plugins declare, digests, and commitments to payloads.
Entries that others share (an actor, a policy, an environment, a plugin) are referred to by number.

To add a kind, declare its class here or in `events.py`. A change to the fields of a kind is a new
version. Every version stays readable: a class of `old_versions.py` reads the entries of version 1,
and `newest` returns them as the class of the newest version. Until the first release, version 2 may
get more fields with defaults. A field that has its default value is not in the canonical bytes.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from muniment.ledger.facts import (
    FingerprintFact,
    OutputFact,
    PluginFact,
    Record,
    ScoreFact,
    UsageFact,
    VerdictFact,
    are_valid_scores,
)
from muniment.ledger.fields import (
    COMMITMENT,
    ULID,
    ActorNumber,
    Commitment,
    Count,
    EndStatus,
    EntryOf,
    Fact,
    FailureCode,
    LogId,
    MediaType,
    ModelDigest,
    Name,
    Parameter,
    PayloadOf,
    PluginNumbers,
    Scalar,
    Seed,
    StartedNumber,
    Time,
    Ulid,
    UncheckedCommitment,
    UncheckedModelDigest,
    UncheckedUlid,
    is_encoded_float,
    is_encoded_number,
    is_media_type,
    is_model_digest,
    is_parameter,
)


class Entry(Record):
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
        return None if is_media_type(self.media_type) else "media_type"


class StartedFields(Entry):
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
        if self.model is not None and not is_model_digest(self.model):
            return "model"
        seed = int(self.seed)
        if not 0 <= seed < 2**64 or str(seed) != self.seed:
            return "seed"
        for name, value in self.parameters.items():
            if not is_parameter(name) or (isinstance(value, str) and not is_encoded_number(value)):
                return "parameters"
        return None


class StartedEntry(StartedFields, kind="started", version=2):
    """The request of a generation, written before anything is generated.

    Attributes:
        inputs: The entries of the inputs, by the names that the generator declares.
        models: The digests of the models that parameters name, such as an adapter. Their names are
            in the payload `request`.
        cell: The item, paraphrase, setting and replicate of an experiment, or None outside of one.
    """

    inputs: Annotated[dict[Parameter, Count], EntryOf("input")] = {}
    models: dict[Parameter, ModelDigest] = {}
    cell: Annotated[list[Count], Meta(min_length=4, max_length=4)] | None = None

    def invalid_field(self) -> str | None:
        """Return a field with a text or number that does not have its only form."""
        if not all(map(is_parameter, self.inputs)):
            return "inputs"
        if not all(map(is_parameter, self.models)):
            return "models"
        return super().invalid_field()


class OutcomeFields(Entry):
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
            if not (COMMITMENT.match(output.content) and is_media_type(output.media_type)):
                return "outputs"
            if output.kept is not None and len(set(output.kept)) < len(output.kept):
                return "outputs"
            if output.kept is None and output.selection is not None:
                return "outputs"
        for verdict in self.verdicts:
            for category in verdict.categories.values():
                if not is_encoded_float(category):
                    return "verdicts"
            if verdict.input is not None and not is_parameter(verdict.input):
                return "verdicts"
            if verdict.parameter is not None and not is_parameter(verdict.parameter):
                return "verdicts"
        return None if are_valid_scores(self.scores) else "scores"


class OutcomeEntry(OutcomeFields, kind="outcome", version=2):
    """The end of a generation. There is at most one for each `started` entry.

    Attributes:
        fingerprints: The fingerprints of the outputs whose media types compute them, in the order
            of the outputs.
    """

    fingerprints: Annotated[list[FingerprintFact], PayloadOf("fingerprint")] = []

    def invalid_field(self) -> str | None:
        """Return a field with a text or float that does not have its only form."""
        if self.fingerprints:
            positions = [fact.output for fact in self.fingerprints]
            if positions != sorted(set(positions)) or positions[-1] >= len(self.outputs):
                return "fingerprints"
        return super().invalid_field()
