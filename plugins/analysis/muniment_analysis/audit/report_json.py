"""The JSON of the audit report. Values with an interval are `{value, low, high, n}`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .findings import Finding, Findings
from .report import AuditReport, ReplayResults


def to_json(report: AuditReport) -> dict[str, Any]:
    """Return a report as JSON values."""
    return {
        "at": report.at.isoformat(timespec="seconds"),
        "time_zone": report.time_zone,
        "query": dict(report.query),
        "people": "names" if report.names else "numbers",
        "total": report.total,
        "status": dict(report.statuses),
        "decision": dict(report.decisions),
        "groups": {
            group: {value: dict(decisions) for value, decisions in values.items()}
            for group, values in report.groups.items()
        },
        "erased": report.erased,
        "blocked": _findings(report.blocked),
        "flagged": _findings(report.flagged),
        "events": dict(report.events),
        "replay": None if report.replay is None else _replay(report.replay),
        "verified": report.verified,
        "verification": None if report.verification is None else _verification(report.verification),
        "record": asdict(report.evidence),
    }


def _findings(found: Findings) -> dict[str, Any]:
    return {"total": found.total, "listed": [_finding(item) for item in found.listed]}


def _finding(item: Finding) -> dict[str, Any]:
    return {
        "generation": item.id,
        "at": item.at.isoformat(timespec="milliseconds"),
        "decision": item.decision,
        "policy": item.policy,
        "policy_digest": item.policy_digest,
        "actor": item.actor,
        "reasons": [reason._asdict() for reason in item.reasons],
        "more_reasons": item.more_reasons,
        "reviews": [
            {"reviewer": reviewer, **judgements} for reviewer, judgements in item.reviews.items()
        ],
        "altered": list(item.altered),
    }


def _replay(results: ReplayResults) -> dict[str, Any]:
    replays = results.replays
    return {
        "sample_key": results.key,
        **replays.to_json(),
        "shares": {name: share.to_json() for name, share in replays.shares.items()},
    }


def _verification(verification: Any) -> dict[str, Any]:
    return {
        "ok": verification.ok,
        "checked": list(verification.checked),
        "unsigned_tail": verification.unsigned_tail,
        "problems": [
            {"kind": item.kind, "where": item.where, "message": item.message}
            for item in verification.problems
        ],
    }
