"""The record of a generation, which is its only shape outside Python.

`--json`, exports as JSON lines, CSV and Parquet, and docs/reference/schema.json follow from
`GenerationRecord`. Its fields are written in their order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from msgspec import UNSET, Struct, UnsetType, to_builtins

from muniment.parameters import Value
from muniment.times import iso
from muniment.types.generations import Failure, Generation, Status
from muniment.types.inputs import Input
from muniment.types.outputs import FinishReason, Output
from muniment.types.plugins import PluginRef
from muniment.types.replies import Usage
from muniment.types.scores import Score
from muniment.types.verdicts import Decision, Judgement, Reason, Stage, Verdict


class RecordedModel(Struct, frozen=True, gc=False):
    """The model of a generation.

    Attributes:
        name: The name of the model.
        digest: The digest of its files. Empty if the request could not be resolved.
    """

    name: str
    digest: str


class RecordedCell(Struct, frozen=True, gc=False):
    """The place of a generation in an experiment, as numbers of levels from 0.

    Attributes:
        item: The item, such as a question.
        paraphrase: The wording of the item.
        setting: The combination of the values of the parameters.
        replicate: The repetition with another seed.
    """

    item: int
    paraphrase: int
    setting: int
    replicate: int


class RecordedInput(Struct, frozen=True, gc=False):
    """An input. Only `name` and `media_type` remain of an erased or altered one.

    Attributes:
        name: The name that the generator declares.
        media_type: The media type, as in `image/png`.
        text: The text, or None unless it is `text/*` or JSON.
        sha256: The SHA-256 of the bytes.
        bytes: The number of these bytes.
    """

    name: str
    media_type: str
    text: str | None
    sha256: str | None
    bytes: int | None


class RecordedOutput(Struct, frozen=True, gc=False):
    """An output. Only `media_type` and `finish_reason` remain of an erased or altered one.

    Attributes:
        media_type: The media type, as in `text/plain`.
        text: The text, or None unless it is `text/*` or JSON.
        sha256: The SHA-256 of the bytes. Those of a recorded list contain all candidates.
        bytes: The number of these bytes.
        finish_reason: `stop` if the model or a stop string ended a text. `length` if it reached
            the maximum length.
        kept: The positions of the selected items, from 0. None if none were selected from the
            candidates.
        wanted: The number of items that the generator wanted. None if it wanted all that pass.
        file: Only from `audit export --outputs`. The name of the file of the output, or None if
            it has none, as it was erased, altered or cannot be written.
    """

    media_type: str
    text: str | None
    sha256: str | None
    bytes: int | None
    finish_reason: FinishReason | None
    kept: Sequence[int] | None
    wanted: int | None
    file: str | UnsetType | None = UNSET


class RecordedVerdict(Struct, frozen=True, gc=False):
    """The verdict of one filter.

    Attributes:
        filter: The name of the filter.
        version: The version of the filter.
        policy_rule: The position of the filter's rule in the policy, from 0.
        decision: The finding of the filter.
        action: The action under the policy.
        observed_action: The action that enforcing would have taken, thresholds included. None
            unless the policy only observes.
        categories: Scores from 0 to 1 by category.
        policy_version: The policy, as in `default@1`.
        latency_ms: The running time of the filter in milliseconds.
        failure: The reason why the filter itself failed, which blocks. None if it did not fail.
        item: The position of the judged item among the candidates of all outputs, from 1. None
            unless one item was judged.
        input: The name of the judged input. None unless an input was judged.
        parameter: The name of the judged parameter. None unless a parameter was judged.
    """

    filter: str
    version: str
    policy_rule: int | None
    stage: Stage
    decision: Decision
    action: Decision
    observed_action: Decision | None
    categories: Mapping[str, float]
    reasons: Sequence[Reason]
    policy_version: str
    latency_ms: float
    failure: str | None
    item: int | None
    input: str | None
    parameter: str | None


class RecordedFeedback(Struct, frozen=True, gc=False):
    """A rating of, a comment on, or an action with a generation or one of its items.

    Attributes:
        at: The time of the feedback.
        actor: The name of the actor.
        rating: The rating, if there was one.
        comment: The text. None if there is none, or if it was erased or altered.
        action: The action of a user, if there was one.
        item: The position of the item among the candidates, from 1. None if the feedback is about
            the whole generation.
        altered: The kinds of the texts that were changed after they were recorded. These texts are
            None.
    """

    at: str
    actor: str
    rating: str | None
    comment: str | None
    action: str | None
    item: int | None
    altered: Sequence[str]


class RecordedReview(Struct, frozen=True, gc=False):
    """A person's decision on the action of the filters.

    Attributes:
        at: The time of the review.
        actor: The name of the actor.
        decision: `approve` if the action was right, `overturn` if it was wrong.
        reason: The text. None if there is none, or if it was erased or altered.
        altered: The kinds of the texts that were changed after they were recorded. These texts are
            None.
    """

    at: str
    actor: str
    decision: Judgement
    reason: str | None
    altered: Sequence[str]


class GenerationRecord(Struct, frozen=True, gc=False):
    """A generation, with all its texts. Times are in UTC, with milliseconds.

    Attributes:
        run_id: The run that the generation belongs to.
        actor: The user or program that made the request.
        decision: The most severe action of all verdicts, `allow` without a finding. None if the
            generation is undecided: without a finding, and failed, interrupted or still running.
        categories: The categories that filters found, of verdicts that did not allow or whose
            action did not. Sorted by name.
        generator: The name of the generator. If the request could not be resolved, the requested
            name.
        model: None if the generator uses no model.
        prompt: The prompt.
        system: The system prompt.
        seed: A number from 0 to 2^64 - 1, as text because not every JSON reader keeps 64 bits.
        parameters: The effective parameters, defaults included, sorted by name.
        models: The models of parameters, such as an adapter, by the name of the parameter.
        policy: The name and version of the policy in force, as in `default@1`.
        policy_digest: The SHA-256 of the policy's text, after `sha256:`. Empty without a policy, or
            if its text was altered.
        inputs: The files that were given with the prompt, sorted by name.
        scores: The newest score of each measure of each evaluator with its parameters.
        outputs: If the status is `failed` or `interrupted`, the texts that were streamed.
        unread: The outputs and inputs that are not text and that no filter read, as in `output:
            image/png`. Empty without a policy.
        plugins: The core and every plugin that took part, the core first.
        environment: Other facts on which the output can depend: versions, processor, number format.
        tags: The tags.
        parents: The generations that this one was made from.
        line: The line of a batch file, from 1.
        cell: The place in an experiment. None outside of one.
        failure: None unless the generation failed.
        erased: The kinds of the erased payloads, such as `prompt`, `request`, `output`, `detail`.
        altered: The kinds of the payloads that were changed after they were recorded, and `entry`
            for an entry. Their texts are empty.
        feedback: The feedback, the oldest first. Only from `audit show` and `audit export`.
        reviews: The reviews, the oldest first. Only from `audit show` and `audit export`.
    """

    id: str
    run_id: str
    actor: str
    status: Status
    decision: Decision | None
    categories: Sequence[str]
    generator: str
    model: RecordedModel | None
    prompt: str
    system: str | None
    seed: str
    parameters: Mapping[str, Value]
    models: Mapping[str, RecordedModel]
    policy: str
    policy_digest: str
    inputs: Sequence[RecordedInput]
    outputs: Sequence[RecordedOutput]
    verdicts: Sequence[RecordedVerdict]
    unread: Sequence[str]
    scores: Sequence[Score]
    usage: Usage | None
    plugins: Sequence[PluginRef]
    environment: Mapping[str, str | int]
    tags: Sequence[str]
    parents: Sequence[str]
    line: int | None
    cell: RecordedCell | None
    failure: Failure | None
    erased: Sequence[str]
    altered: Sequence[str]
    started_at: str
    finished_at: str | None
    feedback: Sequence[RecordedFeedback] | UnsetType = UNSET
    reviews: Sequence[RecordedReview] | UnsetType = UNSET


def record(generation: Generation) -> GenerationRecord:
    """Return the record of a generation. Its mappings are sorted by key."""
    model, finished_at = generation.model, generation.finished_at
    gone = {*generation.erased, *generation.altered}
    return GenerationRecord(
        id=generation.id,
        run_id=generation.run_id,
        actor=generation.actor,
        status=generation.status,
        decision=generation.decision,
        categories=_categories(generation.verdicts),
        generator=generation.generator,
        model=None if model is None else RecordedModel(model.name, model.digest),
        prompt=generation.prompt,
        system=generation.system,
        seed=str(generation.seed),
        parameters=dict(sorted(generation.parameters.items())),
        models={
            name: RecordedModel(item.name, item.digest)
            for name, item in sorted(generation.models.items())
        },
        policy=generation.policy,
        policy_digest=generation.policy_digest,
        inputs=[_input(item, gone) for item in generation.inputs],
        outputs=[_output(output, gone) for output in generation.outputs],
        verdicts=[
            RecordedVerdict(
                filter=verdict.filter,
                version=verdict.version,
                policy_rule=verdict.policy_rule,
                stage=verdict.stage,
                decision=verdict.decision,
                action=verdict.action,
                observed_action=verdict.observed_action,
                categories=dict(sorted(verdict.categories.items())),
                reasons=verdict.reasons,
                policy_version=verdict.policy_version,
                latency_ms=round(verdict.latency_ms, 3),
                failure=verdict.failure,
                item=verdict.item,
                input=verdict.input,
                parameter=verdict.parameter,
            )
            for verdict in generation.verdicts
        ],
        unread=generation.unread,
        scores=generation.newest_scores,
        usage=generation.usage,
        plugins=generation.plugins,
        environment=dict(sorted(generation.environment.items())),
        tags=generation.tags,
        parents=generation.parents,
        line=generation.line,
        cell=None if generation.cell is None else RecordedCell(*generation.cell),
        failure=generation.failure,
        erased=generation.erased,
        altered=generation.altered,
        started_at=iso(generation.started_at),
        finished_at=None if finished_at is None else iso(finished_at),
    )


def to_json(generation: Generation) -> dict[str, Any]:
    """Return the record of a generation as a JSON object."""
    values: dict[str, Any] = to_builtins(record(generation))
    return values


def _categories(verdicts: Iterable[Verdict]) -> Sequence[str]:
    """Return the categories with a score above 0 of verdicts that have a consequence."""
    found = (item for item in verdicts if not item.decision == item.action == "allow")
    return sorted({name for item in found for name, score in item.categories.items() if score > 0})


def _input(item: Input, gone: Collection[str]) -> RecordedInput:
    if "input" in gone and not item.data:  # other inputs of the generation may remain
        return RecordedInput(item.name, item.media_type, None, None, None)
    return RecordedInput(item.name, item.media_type, item.text, item.sha256, len(item.data))


def _output(output: Output, gone: Collection[str]) -> RecordedOutput:
    is_gone = "output" in gone
    return RecordedOutput(
        output.media_type,
        None if is_gone else output.text,
        None if is_gone else output.sha256,
        None if is_gone else len(output.data),
        output.finish_reason,
        output.kept,
        output.wanted,
    )
