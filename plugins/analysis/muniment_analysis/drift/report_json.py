"""The report on drift as JSON."""

from __future__ import annotations

import dataclasses
from typing import Any

from .analysis import DriftReport
from .periods import Period


def to_json(report: DriftReport) -> dict[str, Any]:
    """Return the report as plain values."""
    trend = change = None
    if report.trend is not None:
        trend = {**dataclasses.asdict(report.trend), "slope": report.trend.slope.to_json()}
    if report.change is not None:
        start = report.periods[report.change.position].start.isoformat()
        change = {"start": start, **dataclasses.asdict(report.change)}
    return {
        "measure": report.measure,
        "by": report.unit,
        "time_zone": report.time_zone,
        "periods": list(map(period_record, report.periods)),
        "trend": trend,
        "change": change,
        "without_score": report.without_score,
        "warnings": report.warnings,
    }


def period_record(period: Period) -> dict[str, Any]:
    """Return a period as plain values."""
    interval = period.interval
    return {
        "start": period.start.isoformat(),
        "value": period.mean,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "items": period.items,
        "outputs": period.outputs,
    }
