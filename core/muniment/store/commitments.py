"""Comparing payloads with the entries that commit to them."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, func, select

from muniment.ledger.entries import Body
from muniment.ledger.payloads import SALT_BYTES, commitment
from muniment.ledger.schema import Reference, references
from muniment.store.erasures import erased
from muniment.store.problems import Report
from muniment.store.raw import raw
from muniment.store.tables import payload

BUFFER = 16  # rows in memory at once: contents may be large


class PayloadComparison:
    """Recomputes the commitment to every payload."""

    def __init__(self, connection: Connection, report: Report) -> None:
        self._connection, self._report = connection, report
        self._met = 0
        self._erased = erased(connection)

    def page(self, page: Sequence[tuple[int, Body]], low: int, high: int) -> None:
        """Check the payloads that the entries of a page commit to."""
        left: dict[tuple[int, str, int], Reference] = {
            (seq, held.kind, held.position): held for seq, body in page for held in references(body)
        }
        rows = self._connection.execute(
            select(*raw(payload))
            .where(payload.c.entry.between(low, high))
            .execution_options(yield_per=BUFFER)
        ).mappings()
        for row in rows:
            self._met += 1
            key = (row["entry"], row["kind"], row["position"])
            if key in left:
                self._check(row, left.pop(key))
            else:
                self._add(*key, "no entry commits to it")
        for key in left:
            if key[:2] not in self._erased:
                self._add(*key, "it is gone, and no entry says that it was erased")

    def finish(self) -> None:
        """Look for payloads that belong to no entry."""
        there = self._connection.scalar(select(func.count()).select_from(payload)) or 0
        if there != self._met:
            self._report.add(
                "payload", "payload", f"there are {there}, {self._met} of them belong to entries"
            )

    def _check(self, row: RowMapping, reference: Reference) -> None:
        key = (row["entry"], row["kind"], row["position"])
        salt, content = row["salt"], row["content"]
        if not (isinstance(salt, bytes) and isinstance(content, bytes)):
            self._add(*key, "it is not bytes")
            return
        computed = commitment(row["kind"], salt, content).hex()
        if len(salt) != SALT_BYTES or not hmac.compare_digest(computed, reference.commitment):
            self._add(*key, "its content or salt is not what the entry commits to")
        if reference.size is not None and len(content) != reference.size:
            self._add(*key, f"it has {len(content)} bytes, the entry says {reference.size}")

    def _add(self, entry: int, kind: str, position: int, message: str) -> None:
        self._report.add("payload", f"{kind} {position} of entry {entry}", message)
