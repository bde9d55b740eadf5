"""The records of an export: generations in the shape of `--json`, read in pages by key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from muniment.store.database import Database
from muniment.store.queries import Query, page
from muniment.store.reading import load
from muniment.store.tables import ledger_head
from muniment.types import Generation

FIRST_PAGE = 16  # generations that are in memory at once, before it is known how long they are
MOST_PAGE = 1000
PAGE_BYTES = 32 << 20  # what the prompts and outputs of a page should not exceed by much


@dataclass(frozen=True, slots=True)
class Page:
    """Records, the newest first; `last` is the number after which to go on."""

    records: list[dict[str, Any]]
    last: int


def state(database: Database) -> tuple[str, int]:
    """Return which ledger the store holds, and how many entries it has."""
    with database.reading() as connection:
        head = connection.execute(select(ledger_head.c.log_id, ledger_head.c.size)).one()
    return head.log_id, head.size


def pages(database: Database, query: Query, before: int, limit: int | None) -> Iterator[Page]:
    """Yield the wanted generations that began before entry number `before`.

    Each page is a reading of its own, so that a long export stands in nobody's way.
    """
    left, size = limit, FIRST_PAGE
    while left is None or left > 0:
        wanted = size if left is None else min(size, left)
        with database.reading() as connection:
            rows = page(connection, query, before, wanted)
            found = load(connection, rows, trace=False)
        if rows:
            before = rows[-1].seq
            yield Page([generation.to_json() for generation in found], before)
        if len(rows) < wanted:
            return
        left = None if left is None else left - wanted
        size = _next_size(size, sum(_length(generation) for generation in found))


def _next_size(size: int, length: int) -> int:
    """Return how many to read next, where that many were `length` bytes long."""
    fitting = size * PAGE_BYTES // max(1, length)
    return max(1, min(fitting, 2 * size, MOST_PAGE))


def _length(generation: Generation) -> int:
    return len(generation.prompt) + sum(len(output.data) for output in generation.outputs)
