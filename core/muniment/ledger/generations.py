"""The entries and payloads of a generation, and the generation that they record.

`start` and `finish` divide a generation into entries and payloads. `assemble` is their inverse and
the only reader. Texts that a person wrote or a model produced become payloads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hmac import compare_digest
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from muniment.ledger.canonical import decode_number, encode_float, encode_number, is_key
from muniment.ledger.entries import (
    MODEL_DIGEST,
    Entry,
    FingerprintFact,
    InputEntry,
    OutcomeEntry,
    OutputFact,
    PluginFact,
    ScoreFact,
    StartedEntry,
    UsageFact,
    VerdictFact,
    is_parameter,
    milliseconds,
    moment,
)
from muniment.ledger.payloads import Payload, Payloads, commitment
from muniment.ledger.schema import references
from muniment.parameters import Value
from muniment.types import (
    Decision,
    Failure,
    Generation,
    Input,
    Model,
    Output,
    PluginRef,
    Reason,
    Score,
    SelectionCommitment,
    Status,
    Trace,
    Usage,
    Verdict,
)

T = TypeVar("T", bound=Struct)

# ---- the contents of payloads, as JSON; fields without a value are omitted ----------------------


class _Text(Struct, frozen=True, omit_defaults=True, gc=False):
    pass


class ModelText(_Text, frozen=True):
    """The model of a request.

    Attributes:
        name: The name of the model.
        path: The path of its files.
        digest: The digest, if it does not have the form that an entry needs.
    """

    name: str = ""
    path: str = ""
    digest: str = ""


class RequestText(_Text, frozen=True):
    """Everything that the caller wrote besides the prompt.

    Attributes:
        system: The system prompt.
        tags: The tags.
        generator: The requested name, if the request could not be resolved.
        parameters: Parameters that are texts or lists. If the request could not be resolved, all
            parameters.
        models: The models of parameters, by the name of the parameter.
        resolved_parameters: The names of parameters that the caller left to the generator's
            `resolve`.
        resolved_inputs: The names of inputs that it added.
    """

    system: str | None = None
    tags: tuple[str, ...] = ()
    generator: str = ""
    model: ModelText | None = None
    parameters: Mapping[str, Any] = {}
    models: Mapping[str, ModelText] = {}
    resolved_parameters: tuple[str, ...] = ()
    resolved_inputs: tuple[str, ...] = ()


class VerdictText(_Text, frozen=True):
    """The texts of a verdict.

    Attributes:
        filter: The name of the filter, if no plugin declares it.
        categories: Scores of the categories that the filter does not declare.
        failure: The reason why the filter failed.
        observed_action: The action that enforcing would have taken, if the policy only observes.
        policy_version: The policy, as in `default@1`, if it is not that of the generation.
    """

    filter: str = ""
    reasons: tuple[Reason, ...] = ()
    categories: Mapping[str, float] = {}
    failure: str | None = None
    observed_action: Decision | None = None
    policy_version: str | None = None


class ScoreText(_Text, frozen=True):
    """The texts of a score.

    Attributes:
        evaluator: The name of the evaluator with parameters, unless it is the name in the entry.
        parameters: All parameters of the evaluator.
        models: The digests of models that do not have the form that an entry needs.
        failure: The reason why the evaluator failed.
    """

    evaluator: str = ""
    parameters: Mapping[str, Any] = {}
    models: Mapping[str, str] = {}
    failure: str | None = None


class DetailText(_Text, frozen=True):
    """The texts of an outcome. Those of verdicts and scores are by position, as a string.

    Attributes:
        verdicts: The texts of verdicts.
        scores: The texts of scores.
        failure: The reason why the generation failed.
    """

    verdicts: Mapping[str, VerdictText] = {}
    scores: Mapping[str, ScoreText] = {}
    failure: str = ""


class TraceText(Struct, frozen=True):
    """The tokens of a text, in three lists of equal length.

    Attributes:
        token_ids: The numbers of the tokens.
        logprobs: Their log-probabilities. A number that is not finite is a text, as in `"inf"`.
        margins: The changes of logits that could change them, as numbers of the same form.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float | str, ...]
    margins: tuple[float | str, ...]


class PolicyText(Struct, frozen=True):
    """The name of a policy, and its document.

    Attributes:
        name: The name of the policy.
        document: The text of its file.
    """

    name: str = ""
    document: str = ""


class TrainingText(Struct, frozen=True):
    """The texts of a training. A claimed one has neither data folder, files nor environment.

    Attributes:
        other_counts: The counts whose names an entry does not contain.
        parameters: The parameters of the training.
        losses: The losses in their order. A number that is not finite is a text, as in `"nan"`.
        data_digest: The digest of the data, in a form that the plugin chose.
        data_folder: The folder of the data.
        data_files: The names of the files of the data.
        classes: The names of the classes of the data.
        environment: The facts on which the result can depend.
        failure: The reason why the training failed.
    """

    other_counts: Mapping[str, int] | None = None
    parameters: Mapping[str, Any] | None = None
    losses: tuple[float | str, ...] | None = None
    data_digest: str | None = None
    data_folder: str | None = None
    data_files: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    environment: Mapping[str, str | int] | None = None
    failure: str | None = None


encode_text = msgspec.json.Encoder().encode
"""Return a text structure as the JSON of its payload."""


def decode_text(text_class: type[T], content: bytes | None) -> T:
    """Return the structure in a payload, or an empty one for a payload that is gone."""
    return _decoder(text_class).decode(content) if content else text_class()


@cache
def _decoder(text_class: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(text_class)


# ---- from a generation to entries --------------------------------------------------------------

_NO_REQUEST_TEXT, _NO_VERDICT_TEXT, _NO_DETAIL_TEXT = RequestText(), VerdictText(), DetailText()
_NO_SCORE_TEXT = ScoreText()
_NOTHING: frozenset[str] = frozenset()
_TEXTS, _FLAGS = (str, tuple, list), (bool, type(None))  # types of parameters


def start(
    generation: Generation,
    *,
    actor: int,
    policy: int | None,
    plugins: Sequence[int],
    inputs: Mapping[str, int],
) -> tuple[StartedEntry, list[Payload]]:
    """Return the `started` entry of a generation with its payloads.

    `actor`, `policy` and `plugins` are numbers of entries, and `inputs` has those of the inputs by
    name.
    """
    payloads = Payloads()
    numbers = _numbers(generation)
    model = generation.model
    entry = StartedEntry(
        generation=generation.id,
        run=generation.run_id,
        at=milliseconds(generation.started_at),
        actor=actor,
        generator=generation.generator if _is_resolved(generation) else None,
        model=model.digest if model and MODEL_DIGEST.fullmatch(model.digest) else None,
        seed=str(generation.seed),
        parameters=numbers,
        policy=policy,
        prompt=payloads.add("prompt", generation.prompt.encode()),
        request=payloads.add_optional("request", _request(generation, numbers)),
        parents=list(generation.parents),
        line=generation.line,
        plugins=list(plugins),
        inputs=dict(inputs),
        models={
            name: model.digest
            for name, model in generation.models.items()
            if MODEL_DIGEST.fullmatch(model.digest)
        },
    )
    return entry, payloads


def finish(
    generation: Generation,
    *,
    started: int,
    declared: Mapping[str, frozenset[str]],
    environment: int | None,
    plugins: Sequence[int],
) -> tuple[OutcomeEntry, list[Payload]]:
    """Return the `outcome` entry of a generation with its payloads.

    `declared` has the categories that each filter declares, which the entry may contain.
    `started`, `environment` and `plugins` are numbers of entries.
    """
    if generation.finished_at is None:
        raise ValueError(f"generation {generation.id} has an outcome without a time")
    payloads = Payloads()
    usage = generation.usage
    verdicts = [_divided(verdict, declared, generation.policy) for verdict in generation.verdicts]
    scores = [_divided_score(score) for score in generation.scores]
    entry = OutcomeEntry(
        generation=started,
        at=milliseconds(generation.finished_at),
        status=generation.status,  # type: ignore[arg-type]  # encoding checks it
        outputs=[
            _divided_output(output, position, payloads)
            for position, output in enumerate(generation.outputs)
        ],
        verdicts=[fact for fact, _ in verdicts],
        scores=[fact for fact, _ in scores],
        usage=None
        if usage is None
        else UsageFact(prompt_tokens=usage.prompt_tokens, output_tokens=usage.output_tokens),
        trace=payloads.add_optional("trace", _trace(generation)),
        detail=payloads.add_optional("detail", _detail(generation, verdicts, scores)),
        environment=environment,
        failure=generation.failure.code if generation.failure else None,
        plugins=list(plugins),
        fingerprints=_fingerprints(generation, payloads),
    )
    return entry, payloads


def _divided_output(output: Output, position: int, payloads: Payloads) -> OutputFact:
    """Add the payload of an output, and return its fact."""
    selection = output.selection
    salt = None if selection is None else selection.salt
    return OutputFact(
        media_type=output.media_type,
        bytes=len(output.data),
        finish_reason=output.finish_reason,
        content=payloads.add("output", output.data, position, salt),
        kept=None if output.kept is None else list(output.kept),
        wanted=output.wanted,
        selection=None if selection is None else selection.digest,
    )


def _fingerprints(generation: Generation, payloads: Payloads) -> list[FingerprintFact]:
    """Add the fingerprints of the outputs that have one, and return their facts."""
    facts: list[FingerprintFact] = []
    for position, output in enumerate(generation.outputs):
        if (content := output.fingerprint) is not None:
            commitment = payloads.add("fingerprint", content, len(facts))
            facts.append(FingerprintFact(output=position, bytes=len(content), content=commitment))
    return facts


def _is_resolved(generation: Generation) -> bool:
    """Return whether generator and parameters have names that a plugin declares.

    A request that could not be resolved is recorded without plugins.
    """
    return bool(generation.plugins)


def _numbers(generation: Generation) -> dict[str, int | str | bool | None]:
    """Return the parameters that are numbers, truth values or None, as an entry has them."""
    if not _is_resolved(generation):
        return {}
    return {
        name: value if isinstance(value, _FLAGS) else encode_number(value)
        for name, value in generation.parameters.items()
        if not isinstance(value, _TEXTS) and is_parameter(name)
    }


def _request(generation: Generation, numbers: Mapping[str, object]) -> bytes | None:
    """Return the `request` payload, or None if the caller wrote nothing besides the prompt."""
    model = generation.model
    text = RequestText(
        system=generation.system,
        tags=generation.tags,
        generator="" if _is_resolved(generation) else generation.generator,
        model=None if model is None else _model_text(model),
        parameters={
            name: value for name, value in generation.parameters.items() if name not in numbers
        },
        models={name: _model_text(item) for name, item in generation.models.items()},
        resolved_parameters=generation.resolved_parameters,
        resolved_inputs=generation.resolved_inputs,
    )
    return None if text == _NO_REQUEST_TEXT else encode_text(text)


def _model_text(model: Model) -> ModelText:
    digest = "" if MODEL_DIGEST.fullmatch(model.digest) else model.digest
    return ModelText(name=model.name, path=model.path, digest=digest)


def _divided(
    verdict: Verdict, declared: Mapping[str, frozenset[str]], policy: str
) -> tuple[VerdictFact, VerdictText]:
    """Return the parts of a verdict for the entry and for the payload `detail`.

    Only the policy names a filter that is not installed. Such a filter is not in `declared`, and
    its name is not in the entry.
    """
    named = verdict.failure is None or verdict.filter in declared
    names = declared.get(verdict.filter, _NOTHING)
    in_entry: dict[str, str] = {}
    others: dict[str, float] = {}
    for name, score in verdict.categories.items():
        encoded = encode_float(score)  # which also raises for a score that is not finite
        if name in names and is_key(name):
            in_entry[name] = encoded
        else:
            others[name] = score
    return VerdictFact(
        filter=verdict.filter if named else None,
        version=verdict.version,
        policy_rule=verdict.policy_rule,
        stage=verdict.stage,
        decision=verdict.decision,
        action=verdict.action,
        latency_us=round(verdict.latency_ms * 1000),
        categories=in_entry,
        failed=verdict.failure is not None,
        item=verdict.item,
        input=verdict.input,
        parameter=verdict.parameter,
    ), VerdictText(
        filter="" if named else verdict.filter,
        reasons=verdict.reasons,
        categories=others,
        failure=verdict.failure,
        observed_action=verdict.observed_action,
        policy_version=None if verdict.policy_version == policy else verdict.policy_version,
    )


def _divided_score(score: Score) -> tuple[ScoreFact, ScoreText]:
    """Return the parts of a score for the entry and for the payload `detail`."""
    name = score.evaluator.partition("(")[0]
    in_entry = {
        parameter: digest
        for parameter, digest in score.models.items()
        if MODEL_DIGEST.fullmatch(digest)
    }
    return ScoreFact(
        evaluator=name,
        version=score.version,
        name=score.name,
        value=None if score.value is None else encode_float(score.value),
        unit=score.unit,
        higher_is_better=score.higher_is_better,
        latency_us=round(score.latency_ms * 1000),
        failed=score.failure is not None,
        models=in_entry,
    ), ScoreText(
        evaluator="" if score.evaluator == name else score.evaluator,
        parameters=score.parameters,
        models={key: value for key, value in score.models.items() if key not in in_entry},
        failure=score.failure,
    )


def _detail(
    generation: Generation,
    verdicts: Sequence[tuple[VerdictFact, VerdictText]],
    scores: Sequence[tuple[ScoreFact, ScoreText]],
) -> bytes | None:
    """Return the `detail` payload, or None if there are no such texts."""
    detail = DetailText(
        verdicts={
            str(position): text
            for position, (_, text) in enumerate(verdicts)
            if text != _NO_VERDICT_TEXT
        },
        scores={
            str(position): text
            for position, (_, text) in enumerate(scores)
            if text != _NO_SCORE_TEXT
        },
        failure=generation.failure.message if generation.failure else "",
    )
    return None if detail == _NO_DETAIL_TEXT else encode_text(detail)


def _trace(generation: Generation) -> bytes | None:
    trace = generation.trace
    if trace is None:
        return None
    return encode_text(
        TraceText(
            tuple(map(int, trace.token_ids)),
            tuple(map(finite_or_text, trace.logprobs)),
            tuple(map(finite_or_text, trace.margins)),
        )
    )


def finite_or_text(value: float) -> float | str:
    """Return a number, or its text if it is not finite, because JSON has no such numbers."""
    value = float(value)
    return value if math.isfinite(value) else str(value)


# ---- from entries to a generation --------------------------------------------------------------


class Texts:
    """The payloads of entries that match their commitments, by kind and position.

    `erased` and `altered` have the kinds of payloads that are gone, and of those that do not
    match. `altered` has `entry` too if the bytes of an entry were altered.
    """

    def __init__(self) -> None:
        self._payloads: dict[tuple[str, int], tuple[bytes, bytes]] = {}
        self.erased: set[str] = set()
        self.altered: set[str] = set()

    def add(
        self,
        entry: Entry,
        stored: Mapping[tuple[str, int], tuple[bytes, bytes]],
        *,
        trace: bool = True,
    ) -> None:
        """Add the payloads of an entry. `stored` has salts and contents by kind and position.

        `trace=False` ignores payloads of that kind.
        """
        for kind, position, expected, _ in references(entry):
            if kind == "trace" and not trace:
                continue
            if (payload := stored.get((kind, position))) is None:
                self.erased.add(kind)
            elif _matches(kind, payload, expected):
                self._payloads[kind, position] = payload
            else:
                self.altered.add(kind)

    def add_altered(self, *entries: Entry) -> None:
        """Count all payloads of entries as altered, because the bytes of one entry were altered."""
        kinds = {reference.kind for entry in entries for reference in references(entry)}
        self.altered |= {"entry"} | (kinds - {"trace"})

    def get(self, kind: str, position: int = 0) -> bytes | None:
        """Return the content of a payload, or None for one that is gone or altered."""
        payload = self._payloads.get((kind, position))
        return None if payload is None else payload[1]

    def selection(self, position: int, digest: str | None) -> SelectionCommitment | None:
        """Return the commitment to a selection of an output, or None if the output is gone."""
        payload = self._payloads.get(("output", position))
        if payload is None or digest is None:
            return None
        return SelectionCommitment(payload[0], digest)

    def text(self, kind: str) -> str | None:
        """Return a payload as text, or None for one that is gone or altered."""
        content = self.get(kind)
        return None if content is None else content.decode()


def _matches(kind: str, payload: tuple[object, object], expected: str) -> bool:
    """Return whether salt and content of a payload have a commitment, in hexadecimal."""
    salt, content = payload
    # An altered SQLite file can have a text or a number in a column of bytes.
    if not (isinstance(salt, bytes) and isinstance(content, bytes)):
        return False
    return compare_digest(commitment(kind, salt, content).hex(), expected)


@dataclass
class SharedEntries:
    """The entries that generations share, by number. `altered` has those with altered texts."""

    actors: dict[int, str] = field(default_factory=dict)
    policies: dict[int, str] = field(default_factory=dict)
    environments: dict[int, Mapping[str, str | int]] = field(default_factory=dict)
    plugins: dict[int, PluginRef] = field(default_factory=dict)
    altered: dict[int, str] = field(default_factory=dict)


def assemble(
    started: StartedEntry,
    outcome: OutcomeEntry | None,
    texts: Texts,
    shared: SharedEntries,
    *,
    status: Status,
    inputs: Mapping[int, tuple[InputEntry, Texts]],
) -> Generation:
    """Return the generation that entries and payloads record.

    `status` applies without an outcome. `inputs` has the entries of inputs by number, with their
    payloads. A text that is gone or altered is empty.
    """
    request = decode_text(RequestText, texts.get("request"))
    detail = decode_text(DetailText, texts.get("detail"))
    policy = "" if started.policy is None else shared.policies[started.policy]
    plugins = outcome.plugins if outcome and outcome.plugins else started.plugins
    altered = texts.altered | {
        shared.altered[number]
        for number in (
            started.actor,
            started.policy,
            outcome and outcome.environment,
            *plugins,
        )
        if number in shared.altered
    }
    erased = texts.erased - {"trace"}
    for number in started.inputs.values():
        erased |= inputs[number][1].erased
        altered |= inputs[number][1].altered
    end: dict[str, Any] = {}
    if outcome is not None:
        end = {
            "finished_at": moment(outcome.at),
            "outputs": _outputs(outcome, texts),
            "verdicts": tuple(
                _verdict(fact, detail.verdicts.get(str(position), _NO_VERDICT_TEXT), policy)
                for position, fact in enumerate(outcome.verdicts)
            ),
            "scores": tuple(
                _score(fact, detail.scores.get(str(position), _NO_SCORE_TEXT))
                for position, fact in enumerate(outcome.scores)
            ),
            "usage": outcome.usage
            and Usage(outcome.usage.prompt_tokens, outcome.usage.output_tokens),
            "trace": _trace_of(texts.get("trace")),
            "environment": {}
            if outcome.environment is None
            else shared.environments[outcome.environment],
            "failure": outcome.failure and Failure(outcome.failure, detail.failure),
        }
    return Generation(
        id=started.generation,
        run_id=started.run,
        actor=shared.actors[started.actor],
        status=outcome.status if outcome else status,
        generator=started.generator or request.generator,
        prompt=texts.text("prompt") or "",
        seed=int(started.seed),
        started_at=moment(started.at),
        system=request.system,
        model=_model(started.model, request.model),
        parameters=_parameters(started.parameters, request.parameters),
        models=_models(started.models, request.models),
        policy=policy,
        tags=request.tags,
        parents=tuple(started.parents),
        line=started.line,
        inputs=tuple(
            Input(name, inputs[number][0].media_type, inputs[number][1].get("input") or b"")
            for name, number in sorted(started.inputs.items())
        ),
        resolved_parameters=request.resolved_parameters,
        resolved_inputs=request.resolved_inputs,
        plugins=tuple([shared.plugins[number] for number in plugins]),
        erased=tuple(sorted(erased)),
        altered=tuple(sorted(altered)),
        **end,
    )


def _outputs(outcome: OutcomeEntry, texts: Texts) -> tuple[Output, ...]:
    fingerprints = {
        fact.output: texts.get("fingerprint", position)
        for position, fact in enumerate(outcome.fingerprints)
    }
    return tuple(
        [
            Output(
                fact.media_type,
                texts.get("output", position) or b"",
                fact.finish_reason,
                None if fact.kept is None else tuple(fact.kept),
                fingerprints.get(position),
                fact.wanted,
                texts.selection(position, fact.selection),
            )
            for position, fact in enumerate(outcome.outputs)
        ]
    )


def _model(digest: str | None, text: ModelText | None) -> Model | None:
    if digest is None and text is None:
        return None
    text = text or ModelText()
    return Model(text.name, digest or text.digest, text.path)


def _models(digests: Mapping[str, str], texts: Mapping[str, ModelText]) -> dict[str, Model]:
    if not (digests or texts):  # as in most generations
        return {}
    models: dict[str, Model] = {}
    for name in sorted(digests.keys() | texts.keys()):
        if (model := _model(digests.get(name), texts.get(name))) is not None:
            models[name] = model
    return models


def _parameters(numbers: Mapping[str, Any], texts: Mapping[str, Any]) -> dict[str, Value]:
    parameters: dict[str, Value] = {
        name: decode_number(value) if isinstance(value, str) else value
        for name, value in numbers.items()
    }
    if texts:
        parameters |= _values(texts)
    return dict(sorted(parameters.items()))


def _values(values: Mapping[str, Any]) -> dict[str, Value]:
    """Return the values of parameters in a payload, with tuples instead of lists."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }


def _verdict(fact: VerdictFact, text: VerdictText, policy: str) -> Verdict:
    categories = {name: float(score) for name, score in fact.categories.items()}
    categories.update(text.categories)
    return Verdict(
        decision=fact.decision,
        categories=categories,
        reasons=text.reasons,
        filter=fact.filter or text.filter,
        version=fact.version,
        policy_rule=fact.policy_rule,
        stage=fact.stage,
        action=fact.action,
        policy_version=policy if text.policy_version is None else text.policy_version,
        latency_ms=fact.latency_us / 1000,
        failure=(text.failure or "") if fact.failed else None,
        observed_action=text.observed_action,
        item=fact.item,
        input=fact.input,
        parameter=fact.parameter,
    )


def _score(fact: ScoreFact, text: ScoreText) -> Score:
    return Score(
        text.evaluator or fact.evaluator,
        fact.version,
        fact.name,
        None if fact.value is None else float(fact.value),
        fact.unit,
        fact.higher_is_better,
        (text.failure or "") if fact.failed else None,
        _values(text.parameters) if text.parameters else {},
        {**fact.models, **text.models} if fact.models or text.models else {},
        fact.latency_us / 1000,
    )


def _trace_of(content: bytes | None) -> Trace | None:
    if content is None:
        return None
    text = _decoder(TraceText).decode(content)
    return Trace(text.token_ids, tuple(map(float, text.logprobs)), tuple(map(float, text.margins)))


def plugin_fact(plugin: PluginRef) -> PluginFact:
    """Return a plugin as entries contain it."""
    return PluginFact(
        distribution=plugin.distribution, version=plugin.version, digest=plugin.digest
    )


def plugin_ref(fact: PluginFact) -> PluginRef:
    """Return the plugin that an entry contains."""
    return PluginRef(fact.distribution, fact.version, fact.digest)
