"""The pace of counted work: its rate, and the remaining time."""

from __future__ import annotations

import time

_RATE_SECONDS = 1.0  # before that a rate is only noise


class Pace:
    """The amount of work done, its rate since it began, and the remaining time."""

    def __init__(self, label: str, total: float | None) -> None:
        self.label, self.total = label, total
        self.begin()

    def begin(self) -> None:
        """Restart the clock, because the time before it was spent on something else."""
        self.done = 0.0
        self._began = self._last = time.monotonic()

    def advance(self, steps: float) -> None:
        """Add to the amount done."""
        self.done += steps
        self._last = time.monotonic()

    @property
    def rate(self) -> float | None:
        """The amount done in a second, or None if it is too early to tell.

        The time since the last advance is not counted, because items are finished in groups.
        """
        seconds = self._last - self._began
        return self.done / seconds if self.done and seconds >= _RATE_SECONDS else None

    @property
    def remaining(self) -> float | None:
        """The remaining time in seconds, or None if it is unknown."""
        if self.total is None or (rate := self.rate) is None:
            return None
        since = time.monotonic() - self._last
        return max(0.0, (self.total - self.done) / rate - since)


def rate_text(rate: float) -> str:
    """Return a number of items in a second, with two significant digits."""
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"


def duration(seconds: float) -> str:
    """Return a time as text in its largest unit or two: `40 s`, `4 min`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min"
