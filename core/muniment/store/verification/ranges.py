"""Check one range of entries, with their payloads, rows and search terms.

A range begins where a subtree of the ledger's tree begins, so that its tree is a part of that
tree. The result depends only on one snapshot of the database and not on other ranges. So any
process can check any range.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

from sqlalchemy import Connection, func, select

from muniment.ledger.tree import TILE_BITS, Frontier
from muniment.store.database import catalog
from muniment.store.database.tables import entry
from muniment.store.verification.entries import EntryReader
from muniment.store.verification.payloads import PayloadComparison
from muniment.store.verification.projections import RowComparison
from muniment.store.verification.report import Problem, Report
from muniment.store.verification.search_index import (
    TermChecksums,
    TermComparison,
    keyed_hash,
    read_index,
)
from muniment.store.verification.tree import RangeHasher, compare_nodes, pages

PAGE = 128  # entries in memory at once, few enough for the caches of a processor
WIDE_PAGE = 1024  # entries whose rows are read with one statement for each table
RANGE_SIZE = 1 << 14  # entries of a range, which take some hundredths of a second to hash
_MAX_NUMBER = 2**63 - 1  # the largest integer of both databases


class EntryRange(NamedTuple):
    """The entries from number `low` to `high`, both included."""

    low: int
    high: int


Task: TypeAlias = EntryRange | Literal["search", "integrity"]
"""A range to check, the search index to read, or the indexes of an SQLite file to compare.

The search index is not ordered by entries, so that it is read at once.
"""


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """The checks to make in addition to those of the entries.

    `secret` is the key of the term checksums.
    """

    rows: bool
    payloads: bool
    search: bool
    secret: bytes

    @property
    def contents(self) -> bool:
        """Whether other tables are compared with the entries."""
        return self.rows or self.payloads or self.search


@dataclass(frozen=True, slots=True)
class RangeResult:
    """The result of checking one range.

    `last` is the number of the last existing entry. `tree` is the tree of the range's entries,
    or None if it cannot be a part of the ledger's tree. `nodes` is the number of stored nodes
    that were compared. `row_counts` has the number of stored rows that belong to the entries, by
    table. `checksums` are the expected term checksums of the generations whose outcomes are in
    the range.
    """

    range: EntryRange
    last: int
    tree: Frontier | None
    nodes: int
    row_counts: Counter[str]
    checksums: TermChecksums
    problems: list[Problem]


def entry_ranges(connection: Connection, start: int, size: int) -> Iterator[EntryRange]:
    """Yield the ranges of `size` numbers that contain entries, from number `start` on.

    Numbers before `start` are not in the first range. Without `start` negative numbers, which
    only an altered store has, are in ranges too.
    """
    first = select(func.min(entry.c.seq))
    low = connection.scalar(first.where(entry.c.seq >= start) if start else first)
    while low is not None:
        begin = low // size * size
        high = min(begin + size - 1, _MAX_NUMBER)
        yield EntryRange(max(begin, start) if start else begin, high)
        low = connection.scalar(first.where(entry.c.seq > high))


Result: TypeAlias = RangeResult | TermChecksums | list[Problem] | None
"""The result of a range, of the search index (None if it is damaged), or of the other indexes."""


class Checker:
    """A checker of ranges and of indexes, in the snapshot of one connection."""

    def __init__(self, connection: Connection, options: CheckOptions) -> None:
        self._connection, self._options = connection, options
        self._hash = keyed_hash(options.secret)

    def check(self, task: Task) -> Result:
        """Return the result of a task."""
        if task == "search":
            return read_index(self._connection, self._hash)
        connection, options, report = self._connection, self._options, Report()
        if task == "integrity":
            for where, message in catalog.damage(connection):
                report.add("integrity", where, message)
            return report.problems
        hasher = RangeHasher(task.low, report)
        entries = EntryReader(connection, report)
        rows = RowComparison(connection, report)
        payloads = PayloadComparison(connection, report)
        terms = TermComparison(connection, report, self._hash)
        for page in pages(connection, *task, WIDE_PAGE if options.rows else PAGE):
            hasher.add_page(page)
            bodies, low, high = entries.read_page(page), page[0][0], page[-1][0]
            if options.rows:
                rows.compare_page(bodies, low, high)
            if options.payloads:
                payloads.compare_page(bodies, low, high)
            if options.search:
                terms.add_page(bodies)
        tree, node_count = None, 0
        if hasher.complete and task.low % (1 << TILE_BITS) == 0:
            tree, first = hasher.tree, task.low >> TILE_BITS
            nodes = [replace(node, index=first + node.index) for node in hasher.nodes]
            node_count = compare_nodes(connection, report, nodes)
        return RangeResult(
            task,
            hasher.next - 1,
            tree,
            node_count,
            rows.row_counts + payloads.row_counts,
            terms.checksums,
            report.problems,
        )
