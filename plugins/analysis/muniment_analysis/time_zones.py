"""The time zone of the days and times of a report."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

_SYSTEM = "/etc/localtime"  # a link to the file of the zone, which is named by its path


@dataclass(frozen=True)
class TimeZone:
    """The local time zone of the process, or UTC."""

    local: bool = False

    def moment(self, time: datetime) -> datetime:
        """Return a time in this zone."""
        return time.astimezone(None if self.local else UTC)

    def midnight(self, day: date) -> datetime:
        """Return the first moment of a day in this zone."""
        naive = datetime.combine(day, datetime.min.time())
        return naive.astimezone() if self.local else naive.replace(tzinfo=UTC)

    def text(self, time: datetime) -> str:
        """Return a time to the minute, without the zone."""
        return f"{self.moment(time):%Y-%m-%d %H:%M}"

    def full_text(self, time: datetime) -> str:
        """Return a time with its offset, such as `2026-01-31 12:00 UTC+8`."""
        return f"{self.text(time)} {self._offset(time)}"

    def name(self, *times: datetime) -> str:
        """Return the name with the offsets at some times, such as `Asia/Shanghai (UTC+8)`."""
        offsets = ", ".join(dict.fromkeys(map(self._offset, sorted(times))))
        name = "" if offsets == "UTC" else self._recognised(times)
        return f"{name} ({offsets})" if name else offsets

    def _offset(self, time: datetime) -> str:
        """Return the difference to UTC, such as `UTC`, `UTC+8` or `UTC-3:30`."""
        minutes = int((self.moment(time).utcoffset() or timedelta()).total_seconds()) // 60
        hours, rest = divmod(abs(minutes), 60)
        difference = f"{'-' if minutes < 0 else '+'}{hours}{f':{rest:02}' if rest else ''}"
        return f"UTC{difference if minutes else ''}"

    def _recognised(self, times: tuple[datetime, ...]) -> str:
        """Return the name in the database of zones, if its offsets are those of the process."""
        name = os.environ.get("TZ")
        if name is None:
            name = os.path.realpath(_SYSTEM).partition("zoneinfo/")[2]
        name = name.removeprefix(":")
        try:
            zone = ZoneInfo(name)
        except (KeyError, OSError, ValueError):  # no zone of the database, such as `CET-1CEST`
            return ""
        same = all(
            time.astimezone(zone).utcoffset() == self.moment(time).utcoffset() for time in times
        )
        return name if same else ""
