"""Entries of what people do, about generations and in the house: each has its actor.

An act is a commit of its own: nothing that was recorded before is changed by it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias

from muniment.ledger.entries import Body, entry, milliseconds
from muniment.ledger.kinds import MODEL_DIGEST
from muniment.types import PluginRef, ReplayResult

Rating: TypeAlias = Literal["up", "down", "1", "2", "3", "4", "5"]
Judgement: TypeAlias = Literal["approve", "overturn"]
Cause: TypeAlias = Literal["request", "retention"]
PluginAct: TypeAlias = Literal["installed", "upgraded", "removed", "enabled", "disabled"]
ModelAct: TypeAlias = Literal["added", "removed"]


def feedback(
    generation: int, *, at: datetime, actor: int, rating: Rating | None, comment: str | None
) -> Body:
    """What someone thinks of a generation; `comment` is a commitment."""
    return entry(
        "feedback",
        generation=generation,
        at=milliseconds(at),
        actor=actor,
        rating=rating,
        comment=comment,
    )


def review(
    generation: int, *, at: datetime, actor: int, decision: Judgement, reason: str | None
) -> Body:
    """What a person decided about what filters found; `reason` is a commitment."""
    return entry(
        "review",
        generation=generation,
        at=milliseconds(at),
        actor=actor,
        decision=decision,
        reason=reason,
    )


def replay(
    generation: int,
    *,
    at: datetime,
    actor: int,
    result: ReplayResult,
    environment: int,
    plugins: Sequence[int],
    detail: str,
) -> Body:
    """What came of making a generation again; `detail` is a commitment, the rest numbers."""
    return entry(
        "replay",
        generation=generation,
        at=milliseconds(at),
        actor=actor,
        result=result,
        environment=environment,
        plugins=list(plugins),
        detail=detail,
    )


def erasure(
    *,
    at: datetime,
    actor: int,
    cause: Cause,
    reason: str | None,
    payloads: Mapping[int, Sequence[str]],
) -> Body:
    """Payloads that were destroyed: the kinds by the number of their entry."""
    return entry(
        "erasure",
        at=milliseconds(at),
        actor=actor,
        cause=cause,
        reason=reason,
        payloads=[
            {"entry": number, "kinds": sorted(kinds)} for number, kinds in sorted(payloads.items())
        ],
    )


def hold(*, at: datetime, actor: int, hold: str, reason: str, generations: Sequence[int]) -> Body:
    """Generations that may not be erased until the hold is released; `reason` is a commitment.

    A hold on many generations is several entries with one id.
    """
    return entry(
        "hold",
        at=milliseconds(at),
        actor=actor,
        hold=hold,
        reason=reason,
        generations=sorted(generations),
    )


def release(*, at: datetime, actor: int, hold: str, reason: str | None) -> Body:
    """A hold that ended."""
    return entry("release", at=milliseconds(at), actor=actor, hold=hold, reason=reason)


def retention(*, at: datetime, actor: int, rules: Sequence[Mapping[str, Any]]) -> Body:
    """How long payloads are kept from then on; it replaces what was in force."""
    return entry(
        "retention", at=milliseconds(at), actor=actor, rules=[dict(rule) for rule in rules]
    )


def installation(
    plugin: PluginRef, *, at: datetime, actor: int, act: PluginAct, signer: str | None
) -> Body:
    """What was done to a plugin; `signer` is the fingerprint of the key that signed its bundle."""
    return entry(
        "installation",
        at=milliseconds(at),
        actor=actor,
        act=act,
        plugin=dataclasses.asdict(plugin),
        signer=signer,
    )


def model(*, at: datetime, actor: int, act: ModelAct, digest: str, detail: str) -> Body:
    """A model was added or removed; `detail` is a commitment, to its name and where it is from.

    A digest that is none (its record was spoilt) is left out.
    """
    known = digest if MODEL_DIGEST.fullmatch(digest) else None
    return entry("model", at=milliseconds(at), actor=actor, act=act, digest=known, detail=detail)
