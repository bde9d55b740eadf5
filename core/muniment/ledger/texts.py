"""Texts: what of a generation goes into payloads, and how a generation is put together again.

Whatever a person wrote or a model said is here; what may stand in an entry is in `entries.py`.
`restore` is the inverse of both.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from muniment.ledger.canonical import decode_number
from muniment.ledger.entries import Body, moment, names_filter, numeric, resolved
from muniment.ledger.kinds import MODEL_DIGEST
from muniment.parameters import Value
from muniment.types import (
    Failure,
    Generation,
    Model,
    Output,
    PluginRef,
    Reason,
    Score,
    Status,
    Trace,
    Usage,
    Verdict,
)

Contents = Callable[[str, int], bytes | None]
"""Finds the content of one generation's payload by kind and position; None when it is gone."""


def request_of(generation: Generation) -> bytes | None:
    """Return the request payload: what the caller wrote besides the prompt; None when nothing."""
    held: dict[str, Any] = {}
    if generation.system is not None:
        held["system"] = generation.system
    if generation.tags:
        held["tags"] = generation.tags
    if not resolved(generation):
        held["generator"] = generation.generator
    if model := generation.model:
        held["model"] = {"name": model.name, "path": model.path}
        if not MODEL_DIGEST.fullmatch(model.digest):
            held["model"]["digest"] = model.digest
    texts = {
        name: value
        for name, value in generation.parameters.items()
        if not numeric(generation, name, value)
    }
    if texts:
        held["parameters"] = texts
    return _json(held) if held else None


def detail_of(
    generation: Generation, declared: Mapping[str, frozenset[str]], policy: str
) -> bytes | None:
    """Return the detail payload: reasons, undeclared categories and failures; None when nothing.

    `policy` is the version that verdicts are assumed to be made under.
    """
    held: dict[str, Any] = {}
    verdicts = {
        str(index): kept
        for index, verdict in enumerate(generation.verdicts)
        if (kept := _verdict_detail(verdict, declared, policy))
    }
    if verdicts:
        held["verdicts"] = verdicts
    scores = {
        str(index): {"failure": score.failure}
        for index, score in enumerate(generation.scores)
        if score.failure is not None
    }
    if scores:
        held["scores"] = scores
    if generation.failure:
        held["failure"] = generation.failure.message
    return _json(held) if held else None


def _verdict_detail(
    verdict: Verdict, declared: Mapping[str, frozenset[str]], policy: str
) -> dict[str, Any]:
    held: dict[str, Any] = {}
    if not names_filter(verdict, declared):
        held["filter"] = verdict.filter
    if verdict.reasons:
        held["reasons"] = [dataclasses.asdict(reason) for reason in verdict.reasons]
    known = declared.get(verdict.filter, frozenset())
    others = {k: _finite(v) for k, v in verdict.categories.items() if k not in known}
    if others:
        held["categories"] = others
    if verdict.failure is not None:
        held["failure"] = verdict.failure
    if verdict.observed_action is not None:
        held["observed_action"] = verdict.observed_action
    if verdict.policy_version != policy:
        held["policy_version"] = verdict.policy_version
    return held


def trace_of(generation: Generation) -> bytes | None:
    """Return the trace payload, or None; what is not finite is written as text."""
    trace = generation.trace
    if trace is None:
        return None
    return _json(
        {
            "token_ids": [int(token) for token in trace.token_ids],
            "logprobs": [_number(value) for value in trace.logprobs],
            "margins": [_number(value) for value in trace.margins],
        }
    )


def policy_of(name: str, document: str) -> bytes:
    """Return the payload of a policy: the name it goes by and its document."""
    return _json({"name": name, "document": document})


def policy_name(content: bytes | None) -> str:
    """Return the name that a policy's payload holds; empty when it is gone."""
    return str(_object(content).get("name", ""))


def restore(
    started: Body,
    outcome: Body | None,
    contents: Contents,
    *,
    actor: str,
    policy: str,
    environment: Mapping[str, str | int],
    plugins: Mapping[int, PluginRef],
    status: Status,
) -> Generation:
    """Put a generation together from its entries and payloads.

    `actor` and `policy` are the names of the entries that are named by number, `environment` the
    facts, `plugins` the plugins by number; `status` counts where there is no outcome. A payload
    that is gone leaves its place empty.
    """
    request = _object(contents("request", 0))
    generation = Generation(
        id=started["generation"],
        run_id=started["run"],
        actor=actor,
        status=status,
        generator=started["generator"] or request.get("generator", ""),
        prompt=(contents("prompt", 0) or b"").decode(),
        seed=int(started["seed"]),
        started_at=moment(started["at"]),
        system=request.get("system"),
        model=_model(started, request),
        parameters=_parameters(started, request),
        policy=policy,
        tags=tuple(request.get("tags", ())),
        parents=tuple(started["parents"]),
        line=started["line"],
        plugins=tuple(plugins[number] for number in started["plugins"]),
    )
    if outcome is None:
        return generation
    detail = _object(contents("detail", 0))
    failure = outcome["failure"]
    return dataclasses.replace(
        generation,
        status=outcome["status"],
        finished_at=moment(outcome["at"]),
        outputs=tuple(
            _output(held, contents("output", index))
            for index, held in enumerate(outcome["outputs"])
        ),
        verdicts=tuple(
            _verdict(held, detail.get("verdicts", {}).get(str(index), {}), policy)
            for index, held in enumerate(outcome["verdicts"])
        ),
        scores=tuple(
            _score(held, detail.get("scores", {}).get(str(index), {}))
            for index, held in enumerate(outcome["scores"])
        ),
        usage=Usage(**outcome["usage"]) if outcome["usage"] else None,
        trace=_trace(contents("trace", 0)) if outcome["trace"] else None,
        plugins=tuple(plugins[number] for number in outcome["plugins"]) or generation.plugins,
        environment=environment,
        failure=Failure(failure, detail.get("failure", "")) if failure else None,
    )


def _output(held: Body, content: bytes | None) -> Output:
    return Output(held["media_type"], content or b"", held["finish_reason"])


def _model(started: Body, request: Mapping[str, Any]) -> Model | None:
    named, held = request.get("model", {}), started["model"]
    if not named and not held:
        return None
    digest = held or named.get("digest", "")
    return Model(named.get("name", ""), digest, named.get("path", ""))


def _parameters(started: Body, request: Mapping[str, Any]) -> dict[str, Value]:
    numbers = {name: decode_number(value) for name, value in started["parameters"].items()}
    texts = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in request.get("parameters", {}).items()
    }
    return dict(sorted((numbers | texts).items()))


def _verdict(held: Body, detail: Mapping[str, Any], policy: str) -> Verdict:
    return Verdict(
        decision=held["decision"],
        categories={
            name: float(score)
            for name, score in (held["categories"] | detail.get("categories", {})).items()
        },
        reasons=tuple(Reason(**reason) for reason in detail.get("reasons", ())),
        filter=held["filter"] or detail.get("filter", ""),
        version=held["version"],
        stage=held["stage"],
        action=held["action"],
        policy_version=detail.get("policy_version", policy),
        latency_ms=held["latency_us"] / 1000,
        failure=detail.get("failure", "") if held["failed"] else None,
        observed_action=detail.get("observed_action"),
    )


def _score(held: Body, detail: Mapping[str, Any]) -> Score:
    return Score(
        held["evaluator"],
        held["version"],
        held["name"],
        None if held["value"] is None else float(held["value"]),
        held["unit"],
        held["higher_is_better"],
        detail.get("failure", "") if held["failed"] else None,
    )


def _trace(content: bytes | None) -> Trace | None:
    if content is None:
        return None
    held = json.loads(content)
    return Trace(
        tuple(held["token_ids"]),
        tuple(float(value) for value in held["logprobs"]),
        tuple(float(value) for value in held["margins"]),
    )


def plugin_of(body: Body) -> PluginRef:
    """Return the plugin that an entry of that kind tells of."""
    return PluginRef(**body["plugin"])


def facts_of(body: Body) -> Mapping[str, str | int]:
    """Return the facts that an entry of kind `environment` tells."""
    facts: Mapping[str, str | int] = body["facts"]
    return facts


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} is no score of a category")
    return float(value)


def _number(value: float) -> float | str:
    value = float(value)
    return value if math.isfinite(value) else str(value)


def _json(held: Mapping[str, Any]) -> bytes:
    """Return JSON in its own order of keys, not `canonical`: a payload is kept as it is."""
    try:
        return _encode(held)
    except OverflowError:  # an integer beyond 64 bits
        return _any_integer(held).encode()


_encode = msgspec.json.Encoder().encode
_any_integer = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _object(content: bytes | None) -> Mapping[str, Any]:
    held: Mapping[str, Any] = json.loads(content) if content else {}
    return held
