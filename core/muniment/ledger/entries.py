"""Entries: what the ledger holds for ever, built here and documented in docs/reference/entries.md.

No text that a person wrote or a model said may be in an entry: ids, numbers, enumerations, names
that installed plugins declare, digests and commitments only. The rest goes to payloads
(`texts.py`), of which an entry holds a reference. A change to what a kind holds is a new version
of that kind; readers understand every version that ever was.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, TypeAlias

from muniment.ledger.canonical import canonical, wide
from muniment.parameters import Value
from muniment.types import Generation, PluginRef, Verdict

Body: TypeAlias = Mapping[str, Any]
Ref: TypeAlias = Mapping[str, str]

VERSION = 1  # of every kind so far

MODEL_DIGEST = re.compile(r"[a-z0-9][a-z0-9-]{0,31}:[0-9a-f]{16,128}")
PARAMETER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def genesis(log: str) -> Body:
    """The first entry: the random identity of this ledger."""
    return _entry("genesis", log=log)


def actor(actor: str, name: Ref) -> Body:
    """Someone who asks: an id that other entries refer to, and a name that can be erased."""
    return _entry("actor", actor=actor, name=name)


def policy(policy: str, document: Ref) -> Body:
    """A policy that was in force; its name and document are a payload."""
    return _entry("policy", policy=policy, document=document)


def environment(facts: Mapping[str, str | int]) -> Body:
    """What outputs depended on besides the record; its id is the digest of the facts."""
    held = {name: wide(fact) if isinstance(fact, int) else fact for name, fact in facts.items()}
    return _entry("environment", environment=environment_id(facts), facts=held)


def environment_id(facts: Mapping[str, str | int]) -> str:
    """Return the SHA-256, in hexadecimal, of the facts' canonical bytes."""
    held = {name: wide(fact) if isinstance(fact, int) else fact for name, fact in facts.items()}
    return sha256(canonical(held)).hexdigest()


def started(
    generation: Generation, *, actor: str, policy: str | None, prompt: Ref, request: Ref | None
) -> Body:
    """A generation was asked for. `actor` and `policy` are ids, the rest references."""
    model = generation.model
    return _entry(
        "started",
        generation=generation.id,
        run=generation.run_id,
        at=milliseconds(generation.started_at),
        actor=actor,
        generator=generation.generator if resolved(generation) else None,
        model={"digest": model.digest} if model and MODEL_DIGEST.fullmatch(model.digest) else None,
        seed=str(generation.seed),
        parameters={
            name: wide(value) if type(value) is int else value
            for name, value in generation.parameters.items()
            if numeric(generation, name, value)
        },
        policy=policy,
        prompt=prompt,
        request=request,
        parents=list(generation.parents),
        line=generation.line,
        plugins=_plugins(generation.plugins),
    )


def outcome(
    generation: Generation,
    *,
    declared: Mapping[str, frozenset[str]],
    outputs: Sequence[Ref],
    trace: Ref | None,
    detail: Ref | None,
    environment: str | None,
) -> Body:
    """How a generation ended. `declared` has, by filter, the categories that may be named;
    `environment` is an id, the rest references.
    """
    if generation.finished_at is None:
        raise ValueError(f"generation {generation.id} has an outcome but no time of it")
    return _entry(
        "outcome",
        generation=generation.id,
        at=milliseconds(generation.finished_at),
        status=generation.status,
        outputs=[
            {
                "media_type": output.media_type,
                "bytes": len(output.data),
                "finish_reason": output.finish_reason,
                "content": ref,
            }
            for output, ref in zip(generation.outputs, outputs, strict=True)
        ],
        verdicts=[
            {
                "filter": verdict.filter if names_filter(verdict, declared) else None,
                "version": verdict.version,
                "stage": verdict.stage,
                "decision": verdict.decision,
                "action": verdict.action,
                "latency_us": round(verdict.latency_ms * 1000),
                "categories": {
                    name: float(score)
                    for name, score in verdict.categories.items()
                    if name in declared.get(verdict.filter, ())
                },
                "failed": verdict.failure is not None,
            }
            for verdict in generation.verdicts
        ],
        scores=[
            {
                "evaluator": score.evaluator,
                "version": score.version,
                "name": score.name,
                "value": None if score.value is None else float(score.value),
                "unit": score.unit,
                "higher_is_better": score.higher_is_better,
                "failed": score.failure is not None,
            }
            for score in generation.scores
        ],
        usage=dataclasses.asdict(generation.usage) if generation.usage else None,
        trace=trace,
        detail=detail,
        environment=environment,
        failure=generation.failure.code if generation.failure else None,
        plugins=_plugins(generation.plugins),
    )


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
    return (
        not isinstance(value, str | tuple | list)
        and resolved(generation)
        and PARAMETER_NAME.fullmatch(name) is not None
    )


def milliseconds(moment: datetime) -> int:
    """Return a time as entries hold it: whole milliseconds since 1970 in UTC, rounded down."""
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * 1000 + moment.microsecond // 1000


def moment(milliseconds: int) -> datetime:
    """Return the time that an entry holds."""
    seconds, rest = divmod(milliseconds, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)


def _entry(kind: str, **fields: Any) -> Body:
    return {"kind": kind, "version": VERSION, **fields}


def _plugins(plugins: Sequence[PluginRef]) -> list[Body]:
    return [
        {"distribution": p.distribution, "version": p.version, "digest": p.digest} for p in plugins
    ]
