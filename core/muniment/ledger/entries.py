"""Entries: what the ledger holds for ever, built here and documented in docs/reference/entries.md.

No text that a person wrote or a model said may be in an entry: numbers, ids, enumerations, names
that installed plugins declare, digests and commitments only. The rest goes to payloads
(`texts.py`), to which an entry commits. What happened once and is spoken of often (an actor, a
policy, an environment, a plugin) is an entry of its own, and others name it by its number.

What each kind holds is declared in `kinds.py`. A change to it is a new version of that kind;
readers understand every version that ever was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, TypeAlias

from muniment.ledger.canonical import SAFE, canonical, encode_integer
from muniment.ledger.kinds import MODEL_DIGEST, is_parameter
from muniment.parameters import Value
from muniment.types import Generation, PluginRef, Verdict

Body: TypeAlias = Mapping[str, Any]

VERSION = 1  # of every kind so far
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def genesis(log: str) -> Body:
    """The first entry: the random identity of this ledger."""
    return entry("genesis", log=log)


def actor(name: str) -> Body:
    """Someone who asks; `name` is the commitment to what they are called, which can be erased."""
    return entry("actor", name=name)


def policy(document: str) -> Body:
    """A policy that was in force; its name and document are the payload committed to."""
    return entry("policy", document=document)


def environment(facts: Mapping[str, str | int]) -> Body:
    """What outputs depended on besides the record."""
    return entry("environment", facts=_held(facts))


def environment_digest(facts: Mapping[str, str | int]) -> str:
    """Return the SHA-256, in hexadecimal, of the canonical bytes of an environment's facts."""
    return sha256(canonical(_held(facts))).hexdigest()


def plugin(plugin: PluginRef) -> Body:
    """A plugin at one version and state of its code, when it first touched a generation."""
    return entry("plugin", plugin=dataclasses.asdict(plugin))


def started(
    generation: Generation,
    *,
    actor: int,
    policy: int | None,
    plugins: Sequence[int],
    prompt: str,
    request: str | None,
) -> Body:
    """A generation was asked for. `prompt` and `request` are commitments, the rest numbers."""
    model = generation.model
    return {
        "kind": "started",
        "version": VERSION,
        "generation": generation.id,
        "run": generation.run_id,
        "at": milliseconds(generation.started_at),
        "actor": actor,
        "generator": generation.generator if resolved(generation) else None,
        "model": model.digest if model and MODEL_DIGEST.fullmatch(model.digest) else None,
        "seed": str(generation.seed),
        "parameters": {
            name: _parameter(value)
            for name, value in generation.parameters.items()
            if numeric(generation, name, value)
        },
        "policy": policy,
        "prompt": prompt,
        "request": request,
        "parents": list(generation.parents),
        "line": generation.line,
        "plugins": list(plugins),
    }


def outcome(
    generation: Generation,
    *,
    started: int,
    declared: Mapping[str, frozenset[str]],
    outputs: Sequence[str],
    trace: str | None,
    detail: str | None,
    environment: int | None,
    plugins: Sequence[int],
) -> Body:
    """How the generation of entry `started` ended.

    `declared` has, by filter, the categories that may be named; `environment` and `plugins` are
    numbers, the rest commitments.
    """
    if generation.finished_at is None:
        raise ValueError(f"generation {generation.id} has an outcome but no time of it")
    usage = generation.usage
    return {
        "kind": "outcome",
        "version": VERSION,
        "generation": started,
        "at": milliseconds(generation.finished_at),
        "status": generation.status,
        "outputs": [
            {
                "media_type": output.media_type,
                "bytes": len(output.data),
                "finish_reason": output.finish_reason,
                "content": content,
            }
            for output, content in zip(generation.outputs, outputs, strict=True)
        ],
        "verdicts": [
            {
                "filter": verdict.filter if names_filter(verdict, declared) else None,
                "version": verdict.version,
                "stage": verdict.stage,
                "decision": verdict.decision,
                "action": verdict.action,
                "latency_us": round(verdict.latency_ms * 1000),
                "categories": {
                    name: _amount(score)
                    for name, score in verdict.categories.items()
                    if name in declared.get(verdict.filter, ())
                },
                "failed": verdict.failure is not None,
            }
            for verdict in generation.verdicts
        ],
        "scores": [
            {
                "evaluator": score.evaluator,
                "version": score.version,
                "name": score.name,
                "value": None if score.value is None else _amount(score.value),
                "unit": score.unit,
                "higher_is_better": score.higher_is_better,
                "failed": score.failure is not None,
            }
            for score in generation.scores
        ],
        "usage": usage
        and {"prompt_tokens": usage.prompt_tokens, "output_tokens": usage.output_tokens},
        "trace": trace,
        "detail": detail,
        "environment": environment,
        "failure": generation.failure.code if generation.failure else None,
        "plugins": list(plugins),
    }


def resolved(generation: Generation) -> bool:
    """Whether generator and parameter names are a plugin's own words, not only a user's.

    A request that could not be resolved is recorded without plugins.
    """
    return bool(generation.plugins)


def names_filter(verdict: Verdict, declared: Mapping[str, frozenset[str]]) -> bool:
    """Whether an entry may name the verdict's filter.

    One that could not be had is named by nobody but the policy's author, and is not in `declared`.
    """
    return verdict.failure is None or verdict.filter in declared


def numeric(generation: Generation, name: str, value: Value) -> bool:
    """Whether an entry may hold this parameter: a number, a truth value or nothing, by a plugin."""
    return not isinstance(value, str | tuple | list) and resolved(generation) and is_parameter(name)


def milliseconds(moment: datetime) -> int:
    """Return a time as entries hold it: whole milliseconds since 1970 in UTC, rounded down."""
    since = moment - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


def moment(milliseconds: int) -> datetime:
    """Return the time that an entry holds."""
    seconds, rest = divmod(milliseconds, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)


def entry(kind: str, **fields: Any) -> Body:
    """Return an entry of a kind at its newest version; it is checked when it is written."""
    return {"kind": kind, "version": VERSION, **fields}


def _amount(value: float) -> float:
    """Return a number as canonical JSON writes it: an integer where it is one."""
    value = float(value)
    return int(value) if -SAFE <= value <= SAFE and value.is_integer() else value


def _parameter(value: Any) -> Any:
    if type(value) is int:
        return encode_integer(value)
    return _amount(value) if isinstance(value, float) else value


def _held(facts: Mapping[str, str | int]) -> dict[str, Any]:
    return {
        name: encode_integer(fact) if isinstance(fact, int) else fact
        for name, fact in facts.items()
    }
