"""The pages of an export: as many generations at a time as memory should hold, made into bytes.

A large export is made by several processes, each page by one of them; the pages come in order, and
are the same however many make them. Each is a reading of its own, so that a long export stands in
nobody's way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from muniment.store.database.engine import Database
from muniment.store.export.formats import FORMATS
from muniment.store.export.reader import Reader
from muniment.store.queries.planner import QueryPlanner
from muniment.store.queries.query import Query

FIRST_PAGE = 16  # generations that are in memory at once, before it is known how long they are
MOST_PAGE = 1000
PAGE_BYTES = 8 << 20  # what the payloads of a page should not exceed by much
ALONE = 20_000  # generations before it is worth while to start other processes
AHEAD = 2  # pages that each process is given before the first of them is written


@dataclass(frozen=True, slots=True)
class Page:
    """The bytes of so many generations; `last` is the number after which to go on.

    `length` is what their payloads came to.
    """

    data: bytes
    rows: int
    last: int
    length: int


def make(database: Database, format: str, numbers: list[int], size: int) -> Page:
    """Return the page of generations by number, as a ledger of `size` entries has them."""
    lines = FORMATS[format].lines
    with database.reading() as connection:
        reader = Reader(connection, size)
        data = b"".join([lines(records) for records in reader.records(numbers)])
    return Page(data, len(numbers), numbers[-1], reader.length)


def pages(
    database: Database,
    format: str,
    query: Query,
    size: int,
    before: int,
    limit: int | None,
    processes: int,
) -> Generator[Page]:
    """Yield the wanted generations before entry number `before`, as a ledger of `size` has them.

    With more `processes` than one these make the pages as soon as there are many.
    """
    plan = _Plan(database, query, before, limit)
    for numbers in plan.parts(upto=ALONE if processes > 1 else None):
        page = make(database, format, numbers, size)
        plan.learn(page)
        yield page
    if plan.done:
        return
    from muniment.store.database.export_pool import worker_pool

    with worker_pool(database, processes) as started:
        waiting: deque[Future[Page]] = deque()
        for numbers in plan.parts():
            waiting.append(started.start(make, format, numbers, size))
            if len(waiting) > AHEAD * processes:
                page = waiting.popleft().result()
                plan.learn(page)
                yield page
        while waiting:
            yield waiting.popleft().result()


class _Plan:
    """Which generations make a page, by what the pages so far came to."""

    def __init__(self, database: Database, query: Query, before: int, limit: int | None) -> None:
        self._database, self._query = database, query
        self._before, self._left = before, limit
        self._wanted, self._planned = FIRST_PAGE, 0
        self.done = limit == 0

    def parts(self, upto: int | None = None) -> Iterator[list[int]]:
        """Yield the numbers of each page, until `upto` generations are planned or none is left."""
        while not self.done and (upto is None or self._planned < upto):
            number = self._wanted if self._left is None else min(self._wanted, self._left)
            with self._database.reading() as connection:
                found = QueryPlanner(connection, self._query).page(self._before, number)
            self._planned += len(found)
            if self._left is not None:
                self._left -= len(found)
            self.done = len(found) < number or self._left == 0
            if found:
                self._before = found[-1]
                yield found

    def learn(self, page: Page) -> None:
        """Note how long a page was, so that the next ones are neither too long nor too short."""
        fitting = page.rows * PAGE_BYTES // max(1, page.length)
        self._wanted = max(1, min(fitting, 2 * page.rows, MOST_PAGE))
