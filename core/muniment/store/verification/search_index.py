"""Compare the search index with the texts of the generations.

The terms of each generation are computed from its payloads. The terms in the index are read by
`muniment.store.search.index.contents`. SQLite is queried term by term, as a search does it. In
PostgreSQL the rows are read, and its GIN index over them is trusted.

Memory does not hold the terms of a large store. Instead each generation has a checksum: the sum
of the keyed hashes of its terms. The key is random and used for one comparison, so that nobody who
alters the index can produce other terms with the same sum.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import blake2b
from typing import Any, TypeAlias

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from muniment.ledger.entries import OutcomeEntry
from muniment.store.database.raw import raw, tuples
from muniment.store.database.tables import payload
from muniment.store.errors import UNREADABLE
from muniment.store.queries.loader import text_inputs_of
from muniment.store.search import index, tokenizer
from muniment.store.verification.entries import Page
from muniment.store.verification.report import Report
from muniment.types.inputs import Input

BATCH = 100  # generations whose texts are in memory at once
_STARTED_KINDS = ("prompt", "request")  # payload kinds of `started` entries
_KINDS = (*_STARTED_KINDS, "output", "detail")
_PAGE_BITS = 12  # a page has the checksums of 2**12 entry numbers
_OFFSET_MASK = (1 << _PAGE_BITS) - 1
_MASK = 2**64 - 1

Hash: TypeAlias = Callable[[str], int]


def keyed_hash(secret: bytes) -> Hash:
    """Return a function that hashes a term to 64 bits with the key `secret`."""

    @lru_cache(1 << 16)
    def hash_term(term: str) -> int:
        return int.from_bytes(blake2b(term.encode(), key=secret, digest_size=8).digest())

    return hash_term


class TermChecksums:
    """The checksum of each generation's terms, by the number of its `started` entry.

    The checksum of a generation without terms is 0. Checksums are sums modulo 2**64.
    """

    def __init__(self) -> None:
        self._pages: dict[int, array[int]] = {}

    def add(self, numbers: Iterable[int], value: int) -> None:
        """Add a value to the checksums of these generations."""
        pages = self._pages
        for number in numbers:
            page = pages.get(number >> _PAGE_BITS)
            if page is None:
                page = pages[number >> _PAGE_BITS] = _empty_page()
            page[number & _OFFSET_MASK] = page[number & _OFFSET_MASK] + value & _MASK

    def merge(self, other: TermChecksums) -> None:
        """Add the checksums of another object to these."""
        for number, page in other._pages.items():
            own = self._pages.setdefault(number, _empty_page())
            self._pages[number] = array(
                "Q", (a + b & _MASK for a, b in zip(own, page, strict=True))
            )

    def differences(self, other: TermChecksums) -> Iterator[tuple[int, int, int]]:
        """Yield number, own checksum and other checksum of each generation that differs.

        The numbers are in ascending order.
        """
        for page_number in sorted(self._pages.keys() | other._pages.keys()):
            own, others = (
                checksums._pages.get(page_number, _empty_page()) for checksums in (self, other)
            )
            if own != others:
                for number, (a, b) in enumerate(
                    zip(own, others, strict=True), page_number << _PAGE_BITS
                ):
                    if a != b:
                        yield number, a, b


def _empty_page() -> array[int]:
    return array("Q", bytes(8 << _PAGE_BITS))


def read_index(connection: Connection, hash: Hash) -> TermChecksums | None:
    """Read the search index. Return its checksums, or None if it cannot be read to its end."""
    checksums = TermChecksums()
    try:
        for numbers, terms in index.contents(connection):
            checksums.add(numbers, sum(map(hash, map(str, terms))))
    except (DBAPIError, ValueError):
        return None
    return checksums


def compare_index(report: Report, expected: TermChecksums, indexed: TermChecksums | None) -> None:
    """Report each generation whose terms in the index are not the terms of its texts."""
    if indexed is None:
        report.add("search", "search", "the index is damaged; run `muniment db rebuild`")
        return
    for number, expected_sum, indexed_sum in expected.differences(indexed):
        if not indexed_sum:
            message = "it is not found: the index has none of its terms"
        elif not expected_sum:
            message = "the index has terms for it, but it has no texts"
        else:
            message = "the index does not have exactly the terms of its texts"
        report.add("search", f"generation of entry {number}", message)


class TermComparison:
    """The expected checksums of the generations whose outcomes are in one range."""

    def __init__(self, connection: Connection, report: Report, hash: Hash) -> None:
        self._connection, self._report, self._hash = connection, report, hash
        self.checksums = TermChecksums()

    def add_page(self, page: Page) -> None:
        """Add the checksums of the generations whose outcomes are in a page."""
        outcomes = [(seq, item) for seq, item in page if isinstance(item, OutcomeEntry)]
        for start in range(0, len(outcomes), BATCH):
            self._add(outcomes[start : start + BATCH])

    def _add(self, outcomes: Sequence[tuple[int, OutcomeEntry]]) -> None:
        entries = {number for seq, outcome in outcomes for number in (seq, outcome.generation)}
        statement = select(*raw(payload, "entry", "kind", "position", "content")).where(
            payload.c.entry.in_(entries), payload.c.kind.in_(_KINDS)
        )
        contents = {row[:3]: row[3] for row in tuples(self._connection, statement)}
        inputs: Mapping[int, Sequence[Input]] = {}
        with suppress(*UNREADABLE):  # the check of entries reports it
            inputs = text_inputs_of(self._connection, [item.generation for _, item in outcomes])
        for seq, outcome in outcomes:
            number = outcome.generation

            def content(kind: str, position: int, seq: int = seq, number: int = number) -> Any:
                entry = number if kind in _STARTED_KINDS else seq
                return contents.get((entry, kind, position))

            try:
                texts = index.recorded_texts(outcome, content, inputs.get(number, ()))
                terms = tokenizer.terms(texts)
            except UNREADABLE:
                where = f"generation of entry {number}"
                self._report.add("search", where, "its texts cannot be read")
            else:
                self.checksums.add((number,), sum(map(self._hash, terms)))
