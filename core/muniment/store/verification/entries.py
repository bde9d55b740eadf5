"""Read entries and check them against the closed schemas of their kinds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from sqlalchemy import Connection, select

from muniment.ledger.entries import Entry
from muniment.ledger.schema import ENTRIES, decode, decode_all, kind_and_version, reference_fields
from muniment.store.database.engine import chunks
from muniment.store.database.raw import Values, raw, tuples
from muniment.store.database.tables import entry
from muniment.store.errors import UNREADABLE
from muniment.store.verification.report import Report

Page: TypeAlias = Sequence[tuple[int, Entry]]
"""Entries with their numbers, in order."""


class EntryReader:
    """Reader of the entries of one range, in order.

    The entries that these refer to may come before the range.
    """

    def __init__(self, connection: Connection, report: Report) -> None:
        self._connection, self._report = connection, report
        # Numbers of earlier entries by kind: those of the range, and those that it referred to.
        self._known: dict[str, set[int | None]] = {kind: {None} for kind, _ in ENTRIES}

    def read_page(self, rows: Sequence[Values]) -> Page:
        """Check rows with the columns `ENTRY_COLUMNS`, and return the readable entries."""
        numbers, data, _, kinds, versions = zip(*rows, strict=True)
        keys = list(zip(kinds, versions, strict=True))
        try:
            page = list(zip(numbers, decode_all(data, keys), strict=True))
        except UNREADABLE:
            # They are decoded one by one only to name the differences.
            found = map(self._decode, numbers, data, keys)
            page = [(seq, item) for seq, item in zip(numbers, found, strict=True) if item]
        self._check_references(page)
        return page

    def _decode(self, seq: int, data: bytes, key: tuple[Any, Any]) -> Entry | None:
        """Return an entry, or report that its bytes or its columns are wrong."""
        try:
            actual = kind_and_version(data)
            item = decode(data, actual)
        except UNREADABLE as error:
            self._add(seq, f"its bytes are not a valid entry: {error}")
            return None
        for name, value, expected in zip(("kind", "version"), key, actual, strict=True):
            if value != expected:
                self._add(seq, f"its {name} differs from the {name} in its bytes")
        return item

    def _check_references(self, page: Page) -> None:
        """Report each reference to an entry of another kind or with a higher number."""
        unknown = []
        for seq, item in page:
            if (item.kind == "genesis") != (seq == 0):
                self._add(seq, "genesis must be the first entry, and only the first")
            for name, kind in reference_fields(type(item)).items():
                value = getattr(item, name)
                if isinstance(value, dict):
                    value = list(value.values())
                numbers = value if isinstance(value, list) else (value,)
                if not self._known[kind].issuperset(numbers):
                    unknown += [(seq, kind, n) for n in numbers if n not in self._known[kind]]
            self._known[item.kind].add(seq)
        for number, kind in self._kinds({number for seq, _, number in unknown if number < seq}):
            self._known[kind].add(number)
        for seq, kind, number in unknown:
            if number >= seq or number not in self._known[kind]:
                self._add(seq, f"it refers to entry {number}, which is not an earlier {kind} entry")

    def _kinds(self, numbers: set[int]) -> Iterator[tuple[int, str]]:
        """Yield the kinds of those entries that are readable."""
        for part in chunks(sorted(numbers)):
            statement = select(entry.c.seq, *raw(entry, "canonical_bytes"))
            for seq, data in tuples(self._connection, statement.where(entry.c.seq.in_(part))):
                with suppress(*UNREADABLE):
                    yield seq, decode(data).kind

    def _add(self, seq: int, message: str) -> None:
        self._report.add("entry", f"entry {seq}", message)
