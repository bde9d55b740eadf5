"""An index from start times to ranges of generation numbers.

The table `period` has the earliest and latest start of each block of numbers. With it, a time range
is converted to ranges of numbers, so that no other index needs the time as a further column.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import Connection, select, text

from muniment.ledger.fields import milliseconds
from muniment.store.database import bulk
from muniment.store.database.tables import period

BLOCK = 4096  # numbers in one block
MAX_SEQ = 2**63 - 1

_UPSERT = (
    "INSERT INTO period (block, earliest, latest) VALUES (?, ?, ?) "
    "ON CONFLICT (block) DO UPDATE SET "
    "earliest = CASE WHEN excluded.earliest < period.earliest "
    "THEN excluded.earliest ELSE period.earliest END, "
    "latest = CASE WHEN excluded.latest > period.latest "
    "THEN excluded.latest ELSE period.latest END"
)
_EXPECTED = (
    f"SELECT seq / {BLOCK} AS block, min(started_at) AS earliest, max(started_at) AS latest "
    "FROM generation GROUP BY 1"
)


def add(connection: Connection, starts: Iterable[tuple[int, int]]) -> None:
    """Add generations, given as numbers and starts in Unix milliseconds, to the index."""
    periods: dict[int, tuple[int, int]] = {}
    for number, at in starts:
        block = number // BLOCK
        earliest, latest = periods.get(block, (at, at))
        periods[block] = min(earliest, at), max(latest, at)
    for block, (earliest, latest) in periods.items():
        bulk.execute(connection, _UPSERT, (block, earliest, latest))


def ranges(
    connection: Connection, since: datetime | None, until: datetime | None
) -> Sequence[tuple[int, int]]:
    """Return ranges of numbers with all generations that started in [since, until).

    The ranges include both ends and are in descending order. They can contain generations that
    started at other times.
    """
    if since is None and until is None:
        return [(0, MAX_SEQ)]
    low_at = -MAX_SEQ if since is None else milliseconds(since)
    high_at = MAX_SEQ if until is None else milliseconds(until)
    # Numbers grow with time, but not strictly: a generation that started earlier can be recorded
    # later, and clocks are set back. Every block is therefore compared with the time range.
    merged: list[tuple[int, int]] = []
    adjacent = False
    for row in connection.execute(select(period).order_by(period.c.block.desc())):
        if row.latest >= low_at and row.earliest < high_at:
            low = row.block * BLOCK
            high = merged.pop()[1] if adjacent else low + BLOCK - 1
            merged.append((low, high))
            adjacent = True
        else:
            adjacent = False
    return merged


def rebuild(connection: Connection) -> None:
    """Delete the index and recompute it from the generations."""
    connection.execute(period.delete())
    connection.execute(text(f"INSERT INTO period (block, earliest, latest) {_EXPECTED}"))


def mismatches(connection: Connection) -> list[int]:
    """Return the blocks whose period differs from the starts of their generations."""
    expected = set(map(tuple, connection.execute(text(_EXPECTED))))
    stored = set(map(tuple, connection.execute(select(period))))
    return sorted({block for block, *_ in expected ^ stored})
