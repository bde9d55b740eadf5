"""The parts of entries: outputs, verdicts, scores and other objects inside them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, StructMeta, field

from muniment.ledger.canonical import SAFE
from muniment.ledger.fields import (
    Commitment,
    Count,
    Float,
    Label,
    MediaType,
    ModelDigest,
    Name,
    Parameter,
    Positive,
    UncheckedCommitment,
    is_encoded_float,
    is_parameter,
)
from muniment.ledger.payloads import Kind
from muniment.representation import showing
from muniment.types.outputs import FinishReason
from muniment.types.verdicts import Decision, Stage


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


class Record(Struct, metaclass=_RecordMeta):
    """An object with exactly the declared fields."""

    __repr__ = showing()


class PluginFact(Record):
    """A distribution at one version and state of its code.

    Attributes:
        digest: The digest of the code.
    """

    distribution: Name
    version: Label
    digest: Label


class OutputFact(Record):
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
            Absent if no selection was made, or without `kept`. Only in version 2.
    """

    media_type: MediaType
    bytes: Count
    finish_reason: FinishReason | None
    content: UncheckedCommitment
    kept: list[Count] | None = None
    wanted: Positive | None = None
    selection: Commitment | None = None


class FingerprintFact(Record):
    """The fingerprint of an output, by which its media type finds a file again.

    Attributes:
        output: The position of the output.
        bytes: The size of the fingerprint.
        content: The commitment to the payload `fingerprint` with the position of this object.
    """

    output: Count
    bytes: Count
    content: Commitment


class VerdictFact(Record):
    """One filter's finding, and the action of the pipeline.

    Attributes:
        filter: None if neither a plugin nor the core declares the filter. The payload `detail`
            then contains its name.
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


class ScoreFact(Record):
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


def are_valid_scores(scores: Iterable[ScoreFact]) -> bool:
    """Return whether the values and the names of parameters of scores have their only forms."""
    return all(
        (score.value is None or is_encoded_float(score.value))
        and all(map(is_parameter, score.models))
        for score in scores
    )


class UsageFact(Record):
    """Numbers of tokens.

    Attributes:
        prompt_tokens: The number of tokens of the prompt.
        output_tokens: The number of tokens of the outputs.
    """

    prompt_tokens: Count
    output_tokens: Count


class ErasedFact(Record):
    """The kinds of an entry's payloads that were erased.

    Attributes:
        entry: The number of the entry.
    """

    entry: Count
    kinds: list[Kind]


class RetentionFact(Record):
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
