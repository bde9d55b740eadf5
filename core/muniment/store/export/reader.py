"""Read the records of an export in an earlier state of the store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from muniment.records import GenerationRecord, record
from muniment.store.queries import loader, planner
from muniment.store.queries.query import GenerationRow
from muniment.types import Generation

_ROWS = 100  # generations in memory at once


class Reader:
    """Reads records as a ledger of `size` entries has them.

    `length` is the number of bytes of the prompts and outputs read so far.
    """

    def __init__(self, connection: Connection, size: int) -> None:
        self._connection, self._size = connection, size
        self._shared = loader.SharedReader(connection)
        self.length = 0

    def records(self, numbers: Sequence[int]) -> Iterator[list[GenerationRecord]]:
        """Yield the records of generations by number, a few at a time, the newest first."""
        for start in range(0, len(numbers), _ROWS):
            rows = planner.rows(self._connection, numbers[start : start + _ROWS])
            past = [self._past(row) for row in rows]
            loaded = loader.load(self._connection, past, trace=False, shared=self._shared)
            yield [
                record(replace(generation, status="started") if row != now else generation)
                for row, now, generation in zip(past, rows, loaded, strict=True)
            ]
            self.length += sum(map(_length, loaded))

    def _past(self, row: GenerationRow) -> GenerationRow:
        """Return a row without an outcome that was recorded later."""
        if row.outcome is not None and row.outcome >= self._size:
            return row._replace(outcome=None)
        return row


def _length(generation: Generation) -> int:
    return len(generation.prompt) + sum(len(output.data) for output in generation.outputs)
