"""Following the ledger: generations as they end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

from sqlalchemy import Connection, select

from muniment.store.database.engine import Database
from muniment.store.database.tables import entry, ledger_head
from muniment.store.queries.loader import PAGE, load
from muniment.store.queries.planner import QueryPlanner, rows
from muniment.store.queries.query import Query
from muniment.types import Generation

SECONDS = 1.0  # between two looks


def tail(database: Database, query: Query, *, follow: bool) -> Iterator[Generation]:
    """Yield the last generations that the query wants, as many as its limit, the oldest first.

    With `follow` it goes on for ever, with each that ends: every second one row is read that tells
    whether anything was recorded.
    """
    with database.reading() as connection:
        size = _size(connection)
        numbers = QueryPlanner(connection, query).page(None, query.limit or 0)
        loaded = load(connection, rows(connection, numbers), trace=False)
    yield from reversed(loaded)
    while follow:
        time.sleep(SECONDS)
        while True:
            with database.reading() as connection:
                reached = min(_size(connection), size + PAGE)
                numbers = sorted(_ended(connection, size, reached))
                wanted = QueryPlanner(connection, query).among(numbers) if numbers else []
                loaded = load(connection, rows(connection, wanted), trace=False)
            yield from reversed(loaded)
            if reached == size:
                break
            size = reached


def _size(connection: Connection) -> int:
    return connection.scalar(select(ledger_head.c.size)) or 0


def _ended(connection: Connection, start: int, end: int) -> Iterator[int]:
    """Yield the numbers of generations whose outcomes are the entries from `start` to `end`."""
    found = connection.scalars(
        select(entry.c.canonical_bytes).where(
            entry.c.seq >= start, entry.c.seq < end, entry.c.kind == "outcome"
        )
    )
    for data in found:
        yield json.loads(data)["generation"]
