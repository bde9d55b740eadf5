"""The blocked and flagged generations of a report, with the recorded reasons and reviews."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, NamedTuple

import muniment

from .people import People

MAX_REASONS = 20  # of a generation: a list of a thousand items can have thousands


class FindingReason(NamedTuple):
    """A reason of a verdict that did not allow.

    Attributes:
        filter: The name of the filter, which is empty if it was erased.
        stage: The judged content, such as `prompt` or `output`.
        decision: The decision of the filter.
        action: The action under the policy.
        category: The category of the reason. Empty if none is recorded, or it was erased.
        message: The sentence of the filter, or the reason why the filter itself failed.
    """

    filter: str
    stage: str
    decision: str
    action: str
    category: str
    message: str


@dataclass(frozen=True)
class Finding:
    """A blocked or flagged generation.

    Attributes:
        id: The id of the generation.
        at: Its start.
        decision: The most severe action taken. In a report on one filter it can be `allow`.
        policy: The label of the policy, such as `default@1`, as in the counts by policy.
        policy_digest: The digest of the policy's text.
        actor: The label of the actor.
        reasons: Up to `MAX_REASONS` different reasons.
        more_reasons: The number of further reasons.
        reviews: The numbers of reviews by label of the reviewer and judgement.
        altered: The kinds of texts that were changed after they were recorded.
    """

    id: str
    at: datetime
    decision: str | None
    policy: str
    policy_digest: str
    actor: str
    reasons: Sequence[FindingReason]
    more_reasons: int
    reviews: Mapping[str, Mapping[str, int]]
    altered: Sequence[str]


@dataclass(frozen=True)
class Findings:
    """The newest generations with one decision, and the number of all of them."""

    listed: Sequence[Finding]
    total: int


def findings(
    session: muniment.Session,
    query: muniment.Query,
    decision: Literal["block", "flag"],
    *,
    limit: int,
    actors: People,
    reviewers: People,
    reviewed: bool,
    policies: Container[str],
) -> Findings:
    """Return up to `limit` of the matching generations that were blocked or flagged.

    If the query names a filter, they are those that the filter would block or flag, as in lists.
    `reviewed` is whether any matching generation has a review, so that reviews are read.
    `policies` has the labels of the policies of all matching generations.
    """
    if query.decision not in (None, decision):
        return Findings((), 0)
    wanted = replace(query, decision=decision)
    listed = [
        _finding(session, generation, actors, reviewers, reviewed, policies)
        for generation in session.generations(replace(wanted, limit=limit))
    ]
    total = len(listed) if len(listed) < limit else session.store.count(wanted)
    return Findings(listed, total)


def _finding(
    session: muniment.Session,
    generation: muniment.Generation,
    actors: People,
    reviewers: People,
    reviewed: bool,
    policies: Container[str],
) -> Finding:
    reviews: Mapping[str, Mapping[str, int]] = {}
    if reviewed:
        one = muniment.Query(ids=[generation.id])
        reviews = session.stats(one, by=("reviewer",)).groups["reviewer"]
    label = muniment.policy_label(generation.policy, generation.policy_digest)
    reasons = list(dict.fromkeys(_reasons(generation)))
    return Finding(
        id=generation.id,
        at=generation.started_at,
        decision=generation.decision,
        policy=label if label in policies else generation.policy,
        policy_digest=generation.policy_digest,
        actor=actors.label(generation.actor),
        reasons=reasons[:MAX_REASONS],
        more_reasons=max(0, len(reasons) - MAX_REASONS),
        reviews=reviewers.labelled(reviews),
        altered=generation.altered,
    )


def _reasons(generation: muniment.Generation) -> Iterator[FindingReason]:
    for verdict in generation.verdicts:
        if verdict.decision == verdict.action == "allow" and verdict.failure is None:
            continue
        about = (verdict.filter, verdict.stage, verdict.decision, verdict.action)
        if verdict.failure is not None:
            yield FindingReason(*about, "", f"the filter failed: {verdict.failure}")
        elif verdict.reasons:
            for reason in verdict.reasons:
                yield FindingReason(*about, reason.category, reason.message)
        else:
            names = [name for name, score in verdict.categories.items() if score > 0]
            for name in names or [""]:
                yield FindingReason(*about, name, "")
