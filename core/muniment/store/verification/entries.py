"""What entries say, read by the closed schema of their kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from sqlalchemy import Connection, select

from muniment.ledger.entries import Body
from muniment.ledger.schema import named, read
from muniment.store.database.batches import chunks
from muniment.store.database.raw import Values, raw, tuples
from muniment.store.database.tables import entry
from muniment.store.errors import UNREADABLE
from muniment.store.verification.report import Report

Page: TypeAlias = Sequence[tuple[int, Body]]


class Entries:
    """Reads the entries of a range in order; what they name may lie before it."""

    def __init__(self, connection: Connection, report: Report) -> None:
        self._connection, self._report = connection, report
        self._kinds: dict[int, str | None] = {}  # of entries of the range and those named

    def page(self, rows: Sequence[Values]) -> Page:
        """Return those that can be read of some rows, which are `WHOLE`."""
        found = []
        for seq, data, _, kind, version in rows:
            try:
                body = read(data)
            except UNREADABLE as error:
                self._add(seq, f"its bytes are no entry: {error}")
                continue
            if body["kind"] != kind:
                self._add(seq, "its kind is not what its bytes say")
            if body["version"] != version:
                self._add(seq, "its version is not what its bytes say")
            if (body["kind"] == "genesis") != (seq == 0):
                self._add(seq, "the ledger must begin with genesis")
            found.append((seq, body))
        self._compare_named(rows, found)
        return found

    def _compare_named(self, rows: Sequence[Values], page: Page) -> None:
        """See that entries name earlier ones of the kinds that they should."""
        kinds = self._kinds
        kinds |= dict.fromkeys(row[0] for row in rows)
        kinds |= {seq: body["kind"] for seq, body in page}
        names = [(seq, kind, number) for seq, body in page for kind, number in named(body)]
        self._learn({number for seq, _, number in names if number < seq} - kinds.keys())
        for seq, kind, number in names:
            if number >= seq or kinds[number] != kind:
                self._add(seq, f"it names entry {number}, which is no earlier {kind} entry")

    def _learn(self, numbers: set[int]) -> None:
        """Read the kinds of entries before the range; None of those that cannot be read."""
        self._kinds |= dict.fromkeys(numbers)
        for part in chunks(sorted(numbers)):
            statement = select(entry.c.seq, *raw(entry, "canonical_bytes"))
            for seq, data in tuples(self._connection, statement.where(entry.c.seq.in_(part))):
                self._kinds[seq] = _kind(data)

    def _add(self, seq: int, message: str) -> None:
        self._report.add("entry", f"entry {seq}", message)


def _kind(data: bytes) -> str | None:
    try:
        return str(read(data)["kind"])
    except UNREADABLE:
        return None
