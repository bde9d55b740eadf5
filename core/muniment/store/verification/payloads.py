"""Comparing payloads with the entries that commit to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, func, select

from muniment.ledger.payloads import SALT_BYTES, commitment
from muniment.ledger.schema import Reference, references
from muniment.store.database.raw import raw, stream
from muniment.store.database.tables import payload
from muniment.store.recording.erasure_log import Erased, erased
from muniment.store.verification.entries import Page
from muniment.store.verification.report import Report


class PayloadComparison:
    """Recomputes the commitment to every payload of a range of entries."""

    def __init__(self, connection: Connection, report: Report) -> None:
        self._connection, self._report = connection, report
        self.met: Counter[str] = Counter()  # rows that belong to entries

    def page(self, page: Page, low: int, high: int) -> None:
        """Check the payloads that the entries from number `low` to `high` commit to."""
        left: dict[tuple[int, str, int], Reference] = {
            (seq, held.kind, held.position): held for seq, body in page for held in references(body)
        }
        there = 0
        statement = select(*raw(payload)).where(payload.c.entry.between(low, high))
        for entry, kind, position, salt, content in stream(self._connection, statement):
            there += 1
            reference = left.pop((entry, kind, position), None)
            if reference is None:
                self._add(entry, kind, position, "no entry commits to it")
            elif problem := _wrong(kind, salt, content, reference):
                self._add(entry, kind, position, problem)
        self.met[payload.name] += there
        for key in left:
            if key[:2] not in self._erased:
                self._add(*key, "it is gone, and no entry says that it was erased")

    @cached_property
    def _erased(self) -> Erased:
        return erased(self._connection)

    def _add(self, entry: int, kind: str, position: int, message: str) -> None:
        self._report.add("payload", f"{kind} {position} of entry {entry}", message)


def compare_count(connection: Connection, report: Report, met: Mapping[str, int]) -> None:
    """Look for payloads that belong to no entry, `met` saying how many do."""
    there = connection.scalar(select(func.count()).select_from(payload)) or 0
    if there != met[payload.name]:
        message = f"there are {there}, {met[payload.name]} of them belong to entries"
        report.add("payload", "payload", message)


def _wrong(kind: str, salt: Any, content: Any, reference: Reference) -> str | None:
    """Say what is wrong with a payload; None when it is what the entry commits to."""
    if not (isinstance(salt, bytes) and isinstance(content, bytes)):
        return "it is not bytes"
    if len(salt) != SALT_BYTES or commitment(kind, salt, content).hex() != reference.commitment:
        return "its content or salt is not what the entry commits to"
    if reference.size is not None and len(content) != reference.size:
        return f"it has {len(content)} bytes, the entry says {reference.size}"
    return None
