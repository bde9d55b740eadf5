"""Make the audit report: counts, findings, events, replays and the state of the record.

The counts are those of `session.stats`, and only the listed generations are read whole. So memory
depends on their number and on that of people, and not on the number of generations.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

import muniment
from muniment.command import Progress
from muniment_analysis.replays import Replays, replay_sample
from muniment_analysis.time_zones import TimeZone

from .events import event_counts
from .evidence import Evidence, read_evidence
from .findings import Findings, findings
from .people import People

GROUPS = ("policy", "category", "filter", "actor", "reviewer", "generator", "model", "day")
"""The groups of `session.stats` that have counts by decision."""

Phase = Callable[[str, int | None], AbstractContextManager[Progress]]
"""A function like `muniment.command.progress`, which is called for each part of the work."""


@dataclass(frozen=True)
class ReplayResults:
    """A sample of the completed generations that was generated again.

    `key` is the key by which the sample was chosen, to repeat it.
    """

    key: str
    replays: Replays


@dataclass(frozen=True)
class AuditReport:
    """The audit report on the generations that match a query.

    Attributes:
        at: The time of the report.
        zone: The time zone of its days and times.
        since: The start of the period, or None for the first generation.
        until: Its end, which is the time of the report unless the query has one.
        query: The filters of the query as texts by name.
        names: Whether people have their names in place of numbers.
        total: The number of generations.
        statuses: Counts by status.
        decisions: Counts by decision, with an empty text for undecided generations.
        groups: Counts by value and decision, for each of `GROUPS`. Those of filters and
            categories are by decision of the filter, and those of reviewers by judgement.
        erased: The number of generations whose names of models or categories may be erased.
        blocked: The blocked generations.
        flagged: The flagged generations.
        events: Numbers of events of the whole record in the period, by kind.
        replay: The replayed sample, or None.
        verification: The result of `session.verify`, or None if the record was not verified.
        evidence: The state of the record.
    """

    at: datetime
    zone: TimeZone
    since: datetime | None
    until: datetime
    query: Mapping[str, str]
    names: bool
    total: int
    statuses: Mapping[str, int]
    decisions: Mapping[str, int]
    groups: Mapping[str, Mapping[str, Mapping[str, int]]]
    erased: int
    blocked: Findings
    flagged: Findings
    events: Mapping[str, int]
    replay: ReplayResults | None
    verification: Any
    evidence: Evidence

    @property
    def time_zone(self) -> str:
        """The time zone with its offsets in the period, such as `Asia/Shanghai (UTC+8)`."""
        return self.zone.name(self.at, self.until, self.since or self.at)

    @property
    def verified(self) -> bool:
        """Whether a verification was made and found no problem."""
        return self.verification is not None and self.verification.ok

    @property
    def ok(self) -> bool:
        """Whether nothing that was tested contradicts the record."""
        diverged = self.replay is not None and self.replay.replays.diverged
        return not diverged and (self.verification is None or self.verification.ok)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        from .report_json import to_json

        return to_json(self)

    def html(self) -> str:
        """Return the report as a self-contained HTML page."""
        from .report_page import html

        return html(self)

    def markdown(self) -> str:
        """Return the report as Markdown."""
        from .report_page import markdown

        return markdown(self)

    def csv(self) -> str:
        """Return the counts as CSV."""
        from .report_page import csv

        return csv(self)


def audit_report(
    session: muniment.Session,
    query: muniment.Query | None = None,
    *,
    replays: int = 0,
    sample_key: str | None = None,
    record: bool = True,
    verify: bool = False,
    names: bool = False,
    limit: int = 20,
    local_days: bool = False,
    phase: Phase = lambda label, total: nullcontext(Progress()),
) -> AuditReport:
    """Return the audit report on the generations that match a query.

    See `muniment_analysis.report`.
    """
    at, zone = datetime.now(UTC), TimeZone(local_days)
    since, until = (query or muniment.Query()).period
    until = until or at  # so that all counts are of the same generations
    period = replace(query or muniment.Query(), until=until, limit=None, sort=None)
    completed = _completed(period) if replays else None
    actors, reviewers = People("actor", names=names), People("reviewer", names=names)
    with phase("counting generations", None):
        stats = session.stats(period, by=GROUPS, local_days=local_days)
        groups = dict(stats.groups)
        groups["actor"] = actors.labelled(groups["actor"])
        groups["reviewer"] = reviewers.labelled(groups["reviewer"])
    with phase("reading reasons and events", None):
        reviewed = bool(groups["reviewer"])
        labels: dict[str, Any] = {"actors": actors, "reviewers": reviewers, "reviewed": reviewed}
        labels["policies"] = groups["policy"]
        blocked = findings(session, period, "block", limit=limit, **labels)
        flagged = findings(session, period, "flag", limit=limit, **labels)
        events = event_counts(session, since, until)
    results = None
    if completed is not None:
        key = sample_key or secrets.token_hex(8)
        with phase("replaying", min(replays, stats.statuses.get("completed", 0))) as bar:
            step = lambda: bar.advance(1)  # noqa: E731
            sample = replay_sample(
                session, completed, replays, key=key, record=record, on_replay=step
            )
        results = ReplayResults(key, sample)
    verification = None
    if verify:
        with phase("verifying", None):
            verification = session.verify(projections=True, payloads=True)
    return AuditReport(
        at=at,
        zone=zone,
        since=since,
        until=until,
        query=_described(period, actors, zone),
        names=names,
        total=stats.total,
        statuses=stats.statuses,
        decisions=stats.decisions,
        groups=groups,
        erased=stats.erased,
        blocked=blocked,
        flagged=flagged,
        events=events,
        replay=results,
        verification=verification,
        evidence=read_evidence(session, verification),
    )


def _completed(query: muniment.Query) -> muniment.Query:
    """Return the query for the completed ones of its generations, which can be replayed."""
    if query.status not in (None, "completed"):
        raise muniment.UsageError(
            f"generations with the status {query.status} cannot be replayed; remove the number of "
            "replays, or the status from the query"
        )
    return replace(query, status="completed")


def _described(query: muniment.Query, actors: People, zone: TimeZone) -> dict[str, str]:
    """Return the filters of a query as texts by name, without the names of people."""
    described: dict[str, str] = {}
    for field in fields(query):
        value = getattr(query, field.name)
        if value is None:
            continue
        if field.name == "actor":
            value = actors.label(value)
        if isinstance(value, datetime):
            value = zone.full_text(value)
        described[field.name] = value if isinstance(value, str) else _joined(value)
    return described


def _joined(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
