"""The generation that entries and payloads record. `assemble` is their only reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any

from muniment.ledger.canonical import decode_number
from muniment.ledger.entries import Entry, InputEntry, OutcomeEntry, StartedEntry
from muniment.ledger.events import ScoredEntry
from muniment.ledger.facts import PluginFact, ScoreFact, VerdictFact
from muniment.ledger.fields import moment
from muniment.ledger.payload_texts import (
    NO_SCORE_TEXT,
    NO_VERDICT_TEXT,
    DetailText,
    ModelText,
    RequestText,
    ScoreText,
    TraceText,
    VerdictText,
    decode_text,
    text_decoder,
)
from muniment.ledger.payloads import commitment
from muniment.ledger.schema import references
from muniment.parameters import Value
from muniment.representation import showing
from muniment.types.experiments import Cell
from muniment.types.generations import Failure, Generation, Status
from muniment.types.inputs import Input
from muniment.types.models import Model
from muniment.types.outputs import Output, SelectionCommitment
from muniment.types.plugins import PluginRef
from muniment.types.replies import Trace, Usage
from muniment.types.scores import Score
from muniment.types.verdicts import Verdict


class Texts:
    """The payloads of entries that match their commitments, by kind and position.

    `erased` and `altered` have the kinds of payloads that are gone, and of those that do not
    match. `altered` has `entry` too if the bytes of an entry were altered.
    """

    __repr__ = showing("erased", "altered")

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
    """The entries that generations share, by number. `altered` has those with altered texts.

    `policies` has the name and the digest of the text of each policy.
    """

    actors: dict[int, str] = field(default_factory=dict)
    policies: dict[int, tuple[str, str]] = field(default_factory=dict)
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
    scored: Sequence[tuple[ScoredEntry, Texts]] = (),
) -> Generation:
    """Return the generation that entries and payloads record.

    `status` applies without an outcome. `inputs` has the entries of inputs by number, with their
    payloads, and `scored` the entries of scores that were added later. A text that is gone or
    altered is empty.
    """
    request = decode_text(RequestText, texts.get("request"))
    detail = decode_text(DetailText, texts.get("detail"))
    if scored and any("entry" in added.altered for _, added in scored):
        texts.altered.add("entry")
    policy, digest = ("", "") if started.policy is None else shared.policies[started.policy]
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
                _verdict(fact, detail.verdicts.get(str(position), NO_VERDICT_TEXT), policy)
                for position, fact in enumerate(outcome.verdicts)
            ),
            "scores": _scores(outcome.scores, detail),
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
        policy_digest=digest,
        tags=request.tags,
        parents=tuple(started.parents),
        line=started.line,
        cell=None if started.cell is None else Cell(*started.cell),
        inputs=tuple(
            Input(name, inputs[number][0].media_type, inputs[number][1].get("input") or b"")
            for name, number in sorted(started.inputs.items())
        ),
        resolved_parameters=request.resolved_parameters,
        resolved_inputs=request.resolved_inputs,
        plugins=tuple([shared.plugins[number] for number in plugins]),
        erased=tuple(sorted(erased)),
        altered=tuple(sorted(altered)),
        added_scores=tuple([score for item in scored for score in scores_of(*item)]),
        **end,
    )


def scores_of(entry: ScoredEntry, texts: Texts) -> tuple[Score, ...]:
    """Return the scores of a `scored` entry."""
    return _scores(entry.scores, decode_text(DetailText, texts.get("detail")))


def _scores(facts: Sequence[ScoreFact], detail: DetailText) -> tuple[Score, ...]:
    return tuple(
        [
            _score(fact, detail.scores.get(str(position), NO_SCORE_TEXT))
            for position, fact in enumerate(facts)
        ]
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
    text = text_decoder(TraceText).decode(content)
    return Trace(text.token_ids, tuple(map(float, text.logprobs)), tuple(map(float, text.margins)))


def plugin_ref(fact: PluginFact) -> PluginRef:
    """Return the plugin that an entry contains."""
    return PluginRef(fact.distribution, fact.version, fact.digest)
