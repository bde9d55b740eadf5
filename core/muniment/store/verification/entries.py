"""Read entries and check them against the closed schemas of their kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from sqlalchemy import Connection, select

from muniment.ledger.entries import Entry
from muniment.ledger.schema import ENTRIES, decode, named
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
        # The kind of each entry of the range and of each entry referred to.
        # None for an entry that is missing or unreadable.
        self._kinds: dict[int, str | None] = {}

    def read_page(self, rows: Sequence[Values]) -> Page:
        """Check rows with the columns `ENTRY_COLUMNS`, and return the readable entries."""
        page = []
        for seq, data, _, kind, version in rows:
            item: Entry | None
            try:
                item = decode(data, (kind, version) if (kind, version) in ENTRIES else None)
            except UNREADABLE as error:
                item = self._decode_by_bytes(seq, data, error)
            if item is None:
                continue
            if item.kind != kind:
                self._add(seq, "its kind differs from the kind in its bytes")
            if item.version != version:
                self._add(seq, "its version differs from the version in its bytes")
            if (item.kind == "genesis") != (seq == 0):
                self._add(seq, "genesis must be the first entry, and only the first")
            page.append((seq, item))
        self._check_references(rows, page)
        return page

    def _decode_by_bytes(self, seq: int, data: bytes, error: Exception) -> Entry | None:
        """Return an entry whose columns `kind` and `version` may be wrong, or report `error`."""
        try:
            return decode(data)
        except UNREADABLE:
            self._add(seq, f"its bytes are not a valid entry: {error}")
            return None

    def _check_references(self, rows: Sequence[Values], page: Page) -> None:
        """Report each reference to an entry of another kind or with a higher number."""
        kinds = self._kinds
        kinds |= dict.fromkeys(row[0] for row in rows)
        kinds |= {seq: item.kind for seq, item in page}
        references = [(seq, kind, number) for seq, item in page for kind, number in named(item)]
        self._read_kinds({number for seq, _, number in references if number < seq} - kinds.keys())
        for seq, kind, number in references:
            if number >= seq or kinds[number] != kind:
                self._add(seq, f"it refers to entry {number}, which is not an earlier {kind} entry")

    def _read_kinds(self, numbers: set[int]) -> None:
        """Read the kinds of entries that come before the range."""
        self._kinds |= dict.fromkeys(numbers)
        for part in chunks(sorted(numbers)):
            statement = select(entry.c.seq, *raw(entry, "canonical_bytes"))
            for seq, data in tuples(self._connection, statement.where(entry.c.seq.in_(part))):
                self._kinds[seq] = _kind_of(data)

    def _add(self, seq: int, message: str) -> None:
        self._report.add("entry", f"entry {seq}", message)


def _kind_of(data: bytes) -> str | None:
    """Return the kind of an entry, or None if its bytes cannot be read."""
    try:
        return decode(data).kind
    except UNREADABLE:
        return None
