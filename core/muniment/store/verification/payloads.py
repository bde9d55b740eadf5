"""Compare payloads with the commitments in their entries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, bindparam, select

from muniment.ledger.payloads import SALT_BYTES, commitment
from muniment.ledger.schema import Reference, references
from muniment.store.database.raw import count_rows, raw, stream
from muniment.store.database.tables import generation, payload
from muniment.store.queries.erasures import ErasedPayloads, erased_payloads
from muniment.store.verification.entries import Page
from muniment.store.verification.report import Report

_PAYLOADS = select(*raw(payload)).where(
    payload.c.entry.between(bindparam("low"), bindparam("high"))
)


class PayloadComparison:
    """Comparison of the payloads of one range of entries with their commitments."""

    def __init__(self, connection: Connection, report: Report) -> None:
        self._connection, self._report = connection, report
        self.row_counts: Counter[str] = Counter()  # payload rows of the range

    def compare_page(self, page: Page, low: int, high: int) -> None:
        """Check the payloads of the entries from number `low` to `high`, both included."""
        missing = {
            (seq, reference.kind, reference.position): reference
            for seq, item in page
            for reference in references(item)
        }
        rows = 0
        for entry, kind, position, salt, content in stream(
            self._connection, _PAYLOADS, parameters={"low": low, "high": high}
        ):
            rows += 1
            reference = missing.pop((entry, kind, position), None)
            if reference is None:
                self._add(entry, kind, position, "it belongs to no entry")
            elif problem := _problem_of(kind, salt, content, reference):
                self._add(entry, kind, position, problem)
        self.row_counts[payload.name] += rows
        for key in missing:
            if key[:2] not in self._erased:
                self._add(*key, "it is missing, and no entry records its erasure")

    @cached_property
    def _erased(self) -> ErasedPayloads:
        return erased_payloads(self._connection)

    def _add(self, entry: int, kind: str, position: int, message: str) -> None:
        owner = (generation.c.seq == entry) | (generation.c.outcome == entry)
        id = self._connection.scalar(select(generation.c.id).where(owner))
        message += f" (generation {id})" if id else ""
        self._report.add("payload", f"{kind} {position} of entry {entry}", message)


def compare_payload_count(
    connection: Connection, report: Report, row_counts: Mapping[str, int]
) -> None:
    """Report payloads outside the checked entries.

    `row_counts["payload"]` is the number of payload rows found for the entries.
    """
    rows = count_rows(connection, payload)
    if rows != row_counts[payload.name]:
        message = (
            f"the table has {rows} payloads, but only {row_counts[payload.name]} belong to entries"
        )
        report.add("payload", "payload", message)


def _problem_of(kind: str, salt: Any, content: Any, reference: Reference) -> str | None:
    """Return a description of the problem, or None if the payload matches its commitment."""
    if not (isinstance(salt, bytes) and isinstance(content, bytes)):
        return "its content or salt is not bytes"
    if len(salt) != SALT_BYTES or commitment(kind, salt, content).hex() != reference.commitment:
        return "it was changed after it was recorded"
    if reference.size is not None and len(content) != reference.size:
        return f"it has {len(content)} bytes instead of {reference.size}"
    return None
