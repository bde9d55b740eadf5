"""Periods: between which times the generations of each stretch of numbers were started.

Numbers grow with time, but not strictly: who started first may be recorded last, and clocks are
set back. The earliest and the latest start of every stretch say exactly where in the numbers the
generations of a span of time can be, so that no index by time is needed beside every other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, select, text

from muniment.store.database.tables import period

STRETCH = 4096  # numbers

_NOTE = text(
    "INSERT INTO period (stretch, earliest, latest) VALUES (:stretch, :earliest, :latest) "
    "ON CONFLICT (stretch) DO UPDATE SET "
    "earliest = CASE WHEN excluded.earliest < period.earliest "
    "THEN excluded.earliest ELSE period.earliest END, "
    "latest = CASE WHEN excluded.latest > period.latest "
    "THEN excluded.latest ELSE period.latest END"
)
_EXPECTED = (
    f"SELECT seq / {STRETCH} AS stretch, min(started_at) AS earliest, max(started_at) AS latest "
    "FROM generation GROUP BY 1"
)


def note(connection: Connection, starts: Iterable[tuple[int, int]]) -> None:
    """Note generations, given as number and start in milliseconds, in the caller's transaction."""
    spans: dict[int, tuple[int, int]] = {}
    for number, at in starts:
        stretch = number // STRETCH
        earliest, latest = spans.get(stretch, (at, at))
        spans[stretch] = min(earliest, at), max(latest, at)
    rows = [
        {"stretch": stretch, "earliest": earliest, "latest": latest}
        for stretch, (earliest, latest) in spans.items()
    ]
    if rows:
        connection.execute(_NOTE, rows)


def ranges(
    connection: Connection, since: int | None, until: int | None
) -> Sequence[tuple[int, int]]:
    """Return the ranges of numbers that hold what started from `since` on and before `until`.

    Both ends are included, the newest range comes first. What lies in them may have started at
    other times, too.
    """
    found: list[tuple[int, int]] = []
    near = False
    for row in connection.execute(select(period).order_by(period.c.stretch.desc())):
        if (since is None or row.latest >= since) and (until is None or row.earliest < until):
            low = row.stretch * STRETCH
            high = found.pop()[1] if near else low + STRETCH - 1
            found.append((low, high))
            near = True
        else:
            near = False
    return found


def rebuild(connection: Connection) -> None:
    """Make all periods again from the generations."""
    connection.execute(period.delete())
    connection.execute(text(f"INSERT INTO period (stretch, earliest, latest) {_EXPECTED}"))


def wrong(connection: Connection) -> list[int]:
    """Return the stretches whose period is not what their generations say."""
    expected = set(map(tuple, connection.execute(text(_EXPECTED))))
    held = set(map(tuple, connection.execute(select(period))))
    return sorted({stretch for stretch, *_ in expected ^ held})
