"""The text form of times in JSON and in messages."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(time: datetime) -> str:
    """Return a time in UTC with milliseconds, such as `2026-01-31T12:00:00.000Z`."""
    text = time.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
