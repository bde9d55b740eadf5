"""Encode the generations of an export page by page, to limit the use of memory.

In a large export several processes encode pages in parallel. The pages are yielded in order, and
their bytes together do not depend on the number of processes. Each page is read in a transaction
of its own, so that a long export does not hold a snapshot open.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from msgspec import structs
from sqlalchemy import Connection

from muniment.ledger.events import FeedbackEntry, GenerationEvent, ReviewEntry
from muniment.records import GenerationRecord, RecordedFeedback, RecordedReview, record
from muniment.store.database.engine import Database, chunks
from muniment.store.database.tables import event
from muniment.store.export.formats import FORMATS
from muniment.store.queries import loader
from muniment.store.queries.loader import SharedReader, load
from muniment.store.queries.planner import QueryPlanner
from muniment.store.queries.query import Query
from muniment.store.recording.events import RecordedEvent, select_events
from muniment.times import iso
from muniment.types.generations import Generation

E = TypeVar("E", bound=GenerationEvent)
R = TypeVar("R")

FIRST_PAGE = 16  # generations of the first page, when their size is unknown
MAX_PAGE = 1000  # generations of a page
PAGE_BYTES = 8 << 20  # target size of the payloads of a page
PARALLEL_AFTER = 20_000  # exported generations before processes are started; fewer do not pay
_ROWS = 100  # generations of a page that are loaded at once
PAGES_AHEAD = 2  # pages that each process may encode before the first of them is written

WriteOutputs: TypeAlias = Callable[[Generation], Sequence[str | None]]
"""A function that writes the outputs of a generation to files, and returns their names.

It returns one name for each output, and None for an output without a file.
"""


@dataclass(frozen=True, slots=True)
class Page:
    """The encoded bytes of some generations.

    `rows` is their number, and `last` is the entry number of the last one, where the next page
    continues. `length` is the size of their payloads in bytes. `altered` has the ids of those with
    texts that were altered after they were recorded.
    """

    data: bytes
    rows: int
    last: int
    length: int
    altered: list[str]


def encode_page(
    database: Database,
    format: str,
    numbers: list[int],
    size: int,
    write_outputs: WriteOutputs | None = None,
) -> Page:
    """Encode the generations with these numbers, in the state of the first `size` entries.

    With `write_outputs`, their outputs are written to files, which the records name.
    """
    data, length = b"", 0
    altered: list[str] = []
    with database.reading() as connection:
        shared = SharedReader(connection)
        for part in chunks(numbers, _ROWS):
            rows = loader.rows(connection, part)
            # An outcome that was recorded later is left out.
            past = [
                row if (row.outcome or 0) < size else row._replace(outcome=None) for row in rows
            ]
            loaded = load(connection, past, trace=False, shared=shared)
            records = [
                record(replace(generation, status="started") if row != now else generation)
                for row, now, generation in zip(past, rows, loaded, strict=True)
            ]
            records = _with_events(connection, records, part, size)
            if write_outputs is not None:
                pairs = zip(records, loaded, strict=True)
                records = [_with_files(item, write_outputs(written)) for item, written in pairs]
            data += FORMATS[format].lines(records)
            length += sum(map(_length, loaded))
            altered += [item.id for item in records if _is_altered(item)]
    return Page(data, len(numbers), numbers[-1], length, altered)


def pages(
    database: Database,
    format: str,
    query: Query,
    size: int,
    before: int,
    limit: int | None,
    processes: int,
    write_outputs: WriteOutputs | None = None,
) -> Generator[Page]:
    """Yield the pages of the generations that match a query, the newest first.

    The generations are those with numbers below `before`, at most `limit`, in the state of the
    first `size` entries. With `processes` above 1, that many processes encode the pages after
    the first `PARALLEL_AFTER` generations. With `write_outputs`, this process encodes all pages.
    """
    if write_outputs is not None:
        processes = 1
    division = _PagePlanner(database, query, before, limit)
    for numbers in division.pages(upto=PARALLEL_AFTER if processes > 1 else None):
        page = encode_page(database, format, numbers, size, write_outputs)
        division.adjust(page)
        yield page
    if division.done:
        return
    from muniment.store.database.export_pool import worker_pool

    with worker_pool(database, encode_page, processes) as start:
        futures: deque[Future[Page]] = deque()
        for numbers in division.pages():
            futures.append(start(format, numbers, size))
            if len(futures) > PAGES_AHEAD * processes:
                page = futures.popleft().result()
                division.adjust(page)
                yield page
        while futures:
            yield futures.popleft().result()


def _with_events(
    connection: Connection, records: Sequence[GenerationRecord], numbers: Sequence[int], size: int
) -> list[GenerationRecord]:
    """Return records with their feedback and reviews among the first `size` entries.

    `numbers` are those of their generations. Events are in order, the oldest first.
    """
    condition = event.c.subject.in_(numbers) & (event.c.seq < size)

    def by_generation(
        event_class: type[E], record_of: Callable[[RecordedEvent[E]], R]
    ) -> Mapping[int, Sequence[R]]:
        found: dict[int, list[R]] = {}
        for item in select_events(connection, event_class, condition, allow_altered=True):
            found.setdefault(item.entry.generation, []).append(record_of(item))
        return found

    feedback = by_generation(FeedbackEntry, _feedback)
    reviews = by_generation(ReviewEntry, _review)
    return [
        structs.replace(item, feedback=feedback.get(number, ()), reviews=reviews.get(number, ()))
        for item, number in zip(records, numbers, strict=True)
    ]


def _feedback(item: RecordedEvent[FeedbackEntry]) -> RecordedFeedback:
    return RecordedFeedback(
        at=iso(item.at),
        actor=item.actor,
        rating=item.entry.rating,
        comment=item.text("comment"),
        action=item.entry.action,
        item=item.entry.item,
        altered=item.altered,
    )


def _review(item: RecordedEvent[ReviewEntry]) -> RecordedReview:
    return RecordedReview(
        at=iso(item.at),
        actor=item.actor,
        decision=item.entry.decision,
        reason=item.text("reason"),
        altered=item.altered,
    )


def _is_altered(item: GenerationRecord) -> bool:
    """Return whether texts of a generation or of its feedback and reviews were altered."""
    altered = [event.altered for event in item.feedback or ()]
    altered += [event.altered for event in item.reviews or ()]
    return bool(item.altered) or any(altered)


def _with_files(item: GenerationRecord, names: Sequence[str | None]) -> GenerationRecord:
    """Return a record whose outputs name their files."""
    outputs = [
        structs.replace(output, file=name) for output, name in zip(item.outputs, names, strict=True)
    ]
    return structs.replace(item, outputs=outputs)


class _PagePlanner:
    """The division of an export into pages, whose size follows the size of the earlier ones."""

    def __init__(self, database: Database, query: Query, before: int, limit: int | None) -> None:
        self._database, self._query = database, query
        self._before, self._remaining = before, limit
        self._page_rows, self._planned = FIRST_PAGE, 0
        self.done = limit == 0

    def pages(self, upto: int | None = None) -> Iterator[list[int]]:
        """Yield the numbers of the generations of each page.

        Stop when at least `upto` generations are planned, or when no more match the query.
        """
        while not self.done and (upto is None or self._planned < upto):
            rows = self._page_rows
            if self._remaining is not None:
                rows = min(rows, self._remaining)
            with self._database.reading() as connection:
                numbers = QueryPlanner(connection, self._query).page(self._before, rows)
            self._planned += len(numbers)
            if self._remaining is not None:
                self._remaining -= len(numbers)
            self.done = len(numbers) < rows or self._remaining == 0
            if numbers:
                self._before = numbers[-1]
                yield numbers

    def adjust(self, page: Page) -> None:
        """Set the number of generations of the next pages by the size of an encoded page."""
        rows = page.rows * PAGE_BYTES // max(1, page.length)
        self._page_rows = max(1, min(rows, 2 * page.rows, MAX_PAGE))


def _length(generation: Generation) -> int:
    """Return the number of characters of the prompt and bytes of the outputs."""
    return len(generation.prompt) + sum(len(output.data) for output in generation.outputs)
