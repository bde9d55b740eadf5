"""Comparing the search index with the texts that generations should be found by.

The terms of a generation are made again from its payloads. What an SQLite index has is asked of it
as searching asks, term by term, so that what is not found is not there; in PostgreSQL the rows are
read, and the server is believed to find them. Neither is kept: each generation has the sum of its
terms' hashes under a key drawn for this one comparison, which nobody could know who altered the
index; the sums must be the same.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from muniment.store.database.raw import raw, tuples
from muniment.store.database.tables import payload
from muniment.store.errors import UNREADABLE
from muniment.store.search import index, tokenizer
from muniment.store.verification.entries import Page
from muniment.store.verification.report import Report

BATCH = 100  # generations whose texts are in memory at once
_OF_STARTED = ("prompt", "request")  # payloads of the entry that began a generation
_KINDS = (*_OF_STARTED, "output", "detail")
_PAGE = 12  # a page of sums is for 2**12 numbers
_WITHIN = (1 << _PAGE) - 1
_MASK = 2**64 - 1

Hash: TypeAlias = Callable[[str], int]


def hashing(secret: bytes) -> Hash:
    """Return the hash of a term under a key."""

    @lru_cache(1 << 16)
    def of(term: str) -> int:
        return int.from_bytes(blake2b(term.encode(), key=secret, digest_size=8).digest())

    return of


class TermChecksums:
    """The sum of the hashes of each generation's terms, by number; 0 where there are none."""

    def __init__(self) -> None:
        self._pages: dict[int, array[int]] = {}

    def add(self, numbers: Iterable[int], value: int) -> None:
        """Add a value to what these generations have."""
        pages = self._pages
        for number in numbers:
            page = pages.get(number >> _PAGE)
            if page is None:
                page = pages[number >> _PAGE] = _empty()
            page[number & _WITHIN] = page[number & _WITHIN] + value & _MASK

    def merge(self, other: TermChecksums) -> None:
        """Add what another has."""
        for at, page in other._pages.items():
            mine = self._pages.setdefault(at, _empty())
            self._pages[at] = array("Q", (a + b & _MASK for a, b in zip(mine, page, strict=True)))

    def differences(self, other: TermChecksums) -> Iterator[tuple[int, int, int]]:
        """Yield each number that has not the same in both, in order, and what it has in each."""
        for at in sorted(self._pages.keys() | other._pages.keys()):
            mine, theirs = (sums._pages.get(at, _empty()) for sums in (self, other))
            if mine != theirs:
                for number, (a, b) in enumerate(zip(mine, theirs, strict=True), at << _PAGE):
                    if a != b:
                        yield number, a, b


def _empty() -> array[int]:
    return array("Q", bytes(8 << _PAGE))


class Index(NamedTuple):
    """What the whole search index has; `damaged` says that it cannot be read to its end."""

    sums: TermChecksums
    damaged: bool


def index_of(connection: Connection, hash: Hash) -> Index:
    """Read the whole index."""
    sums = TermChecksums()
    try:
        for numbers, terms in index.contents(connection):
            sums.add(numbers, sum(map(hash, map(str, terms))))
    except (DBAPIError, ValueError):
        return Index(sums, damaged=True)
    return Index(sums, damaged=False)


def compare_index(report: Report, expected: TermChecksums, index: Index) -> None:
    """Name each generation that the index has not by the terms that its texts make."""
    if index.damaged:
        report.add("search", "search", "the index cannot be read: it is damaged")
        return
    for number, made, held in expected.differences(index.sums):
        if not held:
            message = "it is not found: the index has none of the terms that its texts make"
        elif not made:
            message = "the index has terms for it, and there are no texts that make any"
        else:
            message = "the index does not have the terms that its texts make"
        report.add("search", f"generation of entry {number}", message)


class TermComparison:
    """Makes the terms of the generations whose outcomes are in a range."""

    def __init__(self, connection: Connection, report: Report, hash: Hash) -> None:
        self._connection, self._report, self._hash = connection, report, hash
        self.sums = TermChecksums()

    def page(self, page: Page) -> None:
        """Make the terms of the outcomes of a page."""
        outcomes = [(seq, body) for seq, body in page if body["kind"] == "outcome"]
        for start in range(0, len(outcomes), BATCH):
            self._add(outcomes[start : start + BATCH])

    def _add(self, outcomes: Page) -> None:
        entries = {number for seq, body in outcomes for number in (seq, body["generation"])}
        statement = select(*raw(payload, "entry", "kind", "position", "content")).where(
            payload.c.entry.in_(entries), payload.c.kind.in_(_KINDS)
        )
        held = {row[:3]: row[3] for row in tuples(self._connection, statement)}
        for seq, body in outcomes:
            number: int = body["generation"]

            def content(kind: str, position: int, seq: int = seq, number: int = number) -> Any:
                entry = number if kind in _OF_STARTED else seq
                return held.get((entry, kind, position))

            try:
                terms = tokenizer.terms(index.recorded_texts(body, content))
            except UNREADABLE:
                where = f"generation of entry {number}"
                self._report.add("search", where, "its texts cannot be read")
            else:
                self.sums.add((number,), sum(map(self._hash, terms)))
