"""Follow the ledger and yield generations as they end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from sqlalchemy import Connection, select

from muniment.store.database.engine import Database
from muniment.store.database.tables import entry, ledger_head
from muniment.store.queries.loader import PAGE, load_numbers
from muniment.store.queries.planner import QueryPlanner
from muniment.store.queries.query import Query
from muniment.types import Generation

POLL_SECONDS = 1.0  # between two reads of the size of the ledger


def tail(database: Database, query: Query, *, follow: bool) -> Iterator[Generation]:
    """Yield the last `query.limit` generations that match, the oldest first.

    With `follow`, go on without end and yield each matching generation when it ends. Every
    `POLL_SECONDS` one row is read to detect new entries.
    """
    with database.reading() as connection:
        size = _ledger_size(connection)
        numbers = QueryPlanner(connection, query).page(None, query.limit or 0)
        loaded = load_numbers(connection, numbers)
    yield from (generation for _, generation in reversed(loaded))
    while follow:
        time.sleep(POLL_SECONDS)
        while True:
            with database.reading() as connection:
                end = min(_ledger_size(connection), size + PAGE)
                numbers = sorted(_ended(connection, size, end))
                matching = QueryPlanner(connection, query).among(numbers) if numbers else []
                loaded = load_numbers(connection, matching)
            yield from (generation for _, generation in reversed(loaded))
            if end == size:
                break
            size = end


def _ledger_size(connection: Connection) -> int:
    return connection.scalar(select(ledger_head.c.size)) or 0


def _ended(connection: Connection, start: int, end: int) -> Iterator[int]:
    """Yield the numbers of generations whose outcomes are entries in range(start, end)."""
    bodies = connection.scalars(
        select(entry.c.canonical_bytes).where(
            entry.c.seq >= start, entry.c.seq < end, entry.c.kind == "outcome"
        )
    )
    for body in bodies:
        yield json.loads(body)["generation"]
