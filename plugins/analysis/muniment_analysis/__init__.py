"""Evaluators, analyses and reports for Muniment."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import muniment
    from muniment_analysis.audit.report import AuditReport

__all__ = ["report"]


def report(
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
) -> AuditReport:
    """Return the audit report on the generations that match a query.

    `replays` is the number of completed generations to generate again, chosen by `sample_key` or
    else at random. Their results are recorded unless `record` is false. `verify` verifies the
    record. With `names`, people have their names in place of numbers. Up to `limit` blocked and
    as many flagged generations are listed. Days and times are in UTC, or with `local_days` in the
    local time zone. Raises UsageError and StoreError.
    """
    from muniment_analysis.audit.report import audit_report

    return audit_report(
        session,
        query,
        replays=replays,
        sample_key=sample_key,
        record=record,
        verify=verify,
        names=names,
        limit=limit,
        local_days=local_days,
    )
