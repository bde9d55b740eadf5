"""Checking one range of entries, with everything that belongs to them.

A range begins where a subtree of the ledger's tree does, so that its tree is part of the whole.
What is found in it depends on one state of the database alone, not on other ranges, and can be
found by any process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from sqlalchemy import Connection, func, select

from muniment.ledger.tree import TILE_BITS, Frontier
from muniment.store.database.tables import entry
from muniment.store.verification.entries import Entries
from muniment.store.verification.payloads import PayloadComparison
from muniment.store.verification.projections import RowComparison
from muniment.store.verification.report import Problem, Report
from muniment.store.verification.search_index import (
    Index,
    TermChecksums,
    TermComparison,
    hashing,
    index_of,
)
from muniment.store.verification.tree import HASHED, WHOLE, RangeHasher, compare_nodes, pages

RANGE_SIZE = 1 << 14  # entries of a range: some hundredths of a second of hashing
_LAST = 2**63 - 1  # the largest number that a database can hold


class EntryRange(NamedTuple):
    """The entries from number `low` to `high`, both included."""

    low: int
    high: int


class SearchIndexTask:
    """The search index, which is not kept by entries."""


Task: TypeAlias = EntryRange | SearchIndexTask


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What is to be checked besides the tree; `secret` is a key for sums of terms."""

    rows: bool
    payloads: bool
    search: bool
    secret: bytes

    @property
    def entries(self) -> bool:
        """Whether entries are to be read."""
        return self.rows or self.payloads or self.search


@dataclass(frozen=True, slots=True)
class RangeResult:
    """What was found in a range.

    `last` is the number of its last entry, `tree` the tree of its entries, None where it cannot be
    part of the ledger's; `nodes` counts the kept nodes that were compared, `met` the rows by table
    that entries make. `sums` has those of the terms by which generations should be found whose
    outcomes are in the range.
    """

    span: EntryRange
    last: int
    tree: Frontier | None
    nodes: int
    met: Counter[str]
    sums: TermChecksums
    problems: list[Problem]


def entry_ranges(connection: Connection, start: int, size: int) -> Iterator[EntryRange]:
    """Yield ranges of that many numbers in which there are entries, from number `start` on."""
    first = select(func.min(entry.c.seq))
    low = connection.scalar(first.where(entry.c.seq >= start) if start else first)
    while low is not None:
        begin = low // size * size
        high = min(begin + size - 1, _LAST)
        yield EntryRange(max(begin, start) if start else begin, high)
        low = connection.scalar(first.where(entry.c.seq > high))


Answer: TypeAlias = RangeResult | Index


class Checker:
    """Checks ranges in one state of the database, and its search index."""

    def __init__(self, connection: Connection, asked: CheckOptions) -> None:
        self._connection, self._asked = connection, asked
        self._hash = hashing(asked.secret)

    def each(self, tasks: Iterable[Task]) -> Iterator[Answer]:
        """Yield the answers to tasks, one after the other."""
        return map(self.check, tasks)

    def check(self, task: Task) -> Answer:
        """Return what was found in a range, or what the whole search index has."""
        if isinstance(task, SearchIndexTask):
            return index_of(self._connection, self._hash)
        connection, asked, report = self._connection, self._asked, Report()
        leaves = RangeHasher(task.low, report)
        entries = Entries(connection, report)
        rows = RowComparison(connection, report)
        payloads = PayloadComparison(connection, report)
        terms = TermComparison(connection, report, self._hash)
        for page in pages(connection, *task, WHOLE if asked.entries else HASHED):
            leaves.page(page)
            if asked.entries:
                found, low, high = entries.page(page), page[0][0], page[-1][0]
                if asked.rows:
                    rows.page(found, low, high)
                if asked.payloads:
                    payloads.page(found, low, high)
                if asked.search:
                    terms.page(found)
        tree, nodes = None, 0
        if leaves.complete and task.low % (1 << TILE_BITS) == 0:
            tree, first = leaves.tree, task.low >> TILE_BITS
            made = [replace(one, index=first + one.index) for one in leaves.nodes]
            nodes = compare_nodes(connection, report, made)
        met = rows.met + payloads.met
        return RangeResult(task, leaves.next - 1, tree, nodes, met, terms.sums, report.problems)
