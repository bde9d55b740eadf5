"""Times are written in one form."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, strategies as st

from muniment.times import iso


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (datetime(2026, 1, 31, 12, tzinfo=UTC), "2026-01-31T12:00:00.000Z"),
        (datetime(2026, 1, 31, 12, 0, 1, 999_999, tzinfo=UTC), "2026-01-31T12:00:01.999Z"),
        (
            datetime(2026, 1, 31, 1, tzinfo=timezone(timedelta(hours=2))),
            "2026-01-30T23:00:00.000Z",
        ),
    ],
)
def test_iso_is_utc_with_milliseconds(time: datetime, text: str) -> None:
    assert iso(time) == text


@given(st.datetimes(timezones=st.timezones()).filter(lambda time: 2 < time.year < 9999))
def test_iso_any_time_is_read_back_rounded_down(time: datetime) -> None:
    again = datetime.fromisoformat(iso(time))
    assert timedelta() <= time.astimezone(UTC) - again < timedelta(milliseconds=1)
