"""The entries and payloads of a generation.

Texts that a person wrote or a model produced become payloads. `assembly.assemble` is the inverse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from muniment.ledger.canonical import encode_float, encode_number, is_key
from muniment.ledger.entries import OutcomeEntry, StartedEntry
from muniment.ledger.events import ScoredEntry
from muniment.ledger.facts import (
    FingerprintFact,
    OutputFact,
    PluginFact,
    ScoreFact,
    UsageFact,
    VerdictFact,
)
from muniment.ledger.fields import MODEL_DIGEST, is_parameter, milliseconds
from muniment.ledger.payload_texts import (
    NO_DETAIL_TEXT,
    NO_REQUEST_TEXT,
    NO_SCORE_TEXT,
    NO_VERDICT_TEXT,
    DetailText,
    ModelText,
    RequestText,
    ScoreText,
    TraceText,
    VerdictText,
    encode_text,
    finite_or_text,
)
from muniment.ledger.payloads import Payload, Payloads
from muniment.types.generations import Generation
from muniment.types.models import Model
from muniment.types.outputs import Output
from muniment.types.plugins import PluginRef
from muniment.types.scores import Score
from muniment.types.verdicts import UNREAD_FILTER, Verdict

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
        cell=None if generation.cell is None else list(generation.cell),
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


def add_scores(
    scores: Sequence[Score],
    references: str | None,
    *,
    at: int,
    actor: int,
    generation: int,
    siblings: Sequence[int],
    plugins: Sequence[int],
) -> tuple[ScoredEntry, list[Payload]]:
    """Return the `scored` entry of scores that are added to a generation, with its payloads.

    `actor`, `generation`, `siblings` and `plugins` are numbers of entries.
    """
    payloads = Payloads()
    divided = [_divided_score(score) for score in scores]
    detail = DetailText(scores=_score_texts(divided))
    entry = ScoredEntry(
        at=at,
        actor=actor,
        generation=generation,
        scores=[fact for fact, _ in divided],
        siblings=list(siblings),
        plugins=list(plugins),
        detail=None if detail == NO_DETAIL_TEXT else payloads.add("detail", encode_text(detail)),
        references=payloads.add_optional(
            "references", None if references is None else references.encode()
        ),
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
    return None if text == NO_REQUEST_TEXT else encode_text(text)


def _model_text(model: Model) -> ModelText:
    digest = "" if MODEL_DIGEST.fullmatch(model.digest) else model.digest
    return ModelText(name=model.name, path=model.path, digest=digest)


def _divided(
    verdict: Verdict, declared: Mapping[str, frozenset[str]], policy: str
) -> tuple[VerdictFact, VerdictText]:
    """Return the parts of a verdict for the entry and for the payload `detail`.

    Only the policy names a filter that is not installed. Such a filter is not in `declared`, and
    its name is not in the entry. The entry has the name of the core's own verdict.
    """
    known = verdict.filter in declared or verdict.filter == UNREAD_FILTER
    named = verdict.failure is None or known
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
    in_entry: dict[str, str] = {}
    others: dict[str, str] = {}
    for parameter, digest in score.models.items():
        if MODEL_DIGEST.fullmatch(digest):
            in_entry[parameter] = digest
        else:
            others[parameter] = digest
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
        models=others,
        failure=score.failure,
    )


def _score_texts(scores: Sequence[tuple[ScoreFact, ScoreText]]) -> dict[str, ScoreText]:
    """Return the texts of scores that have any, by position."""
    return {
        str(position): text for position, (_, text) in enumerate(scores) if text != NO_SCORE_TEXT
    }


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
            if text != NO_VERDICT_TEXT
        },
        scores=_score_texts(scores),
        failure=generation.failure.message if generation.failure else "",
    )
    return None if detail == NO_DETAIL_TEXT else encode_text(detail)


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


def plugin_fact(plugin: PluginRef) -> PluginFact:
    """Return a plugin as entries contain it."""
    return PluginFact(
        distribution=plugin.distribution, version=plugin.version, digest=plugin.digest
    )
