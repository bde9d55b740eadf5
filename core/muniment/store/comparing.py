"""Comparing projections with the entries, page by page of entries.

Every row is looked for from the entry that makes it; at the end as many rows must have been met
as there are, so that none can have been slipped in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, RowMapping, Table, func, select
from sqlalchemy import Row as SqlRow

from muniment.ledger.entries import Body
from muniment.store import bulk, periods
from muniment.store.chunks import chunks
from muniment.store.problems import Report
from muniment.store.projections import (
    OUTCOME_COLUMNS,
    ROW_TABLES,
    ROWS,
    Row,
    outcome_rows,
    started_rows,
)
from muniment.store.raw import raw
from muniment.store.tables import generation, metadata, payload, pending, run, verdict

Page: TypeAlias = Sequence[tuple[int, Body]]
Held: TypeAlias = SqlRow[*tuple[Any, ...]]
Key: TypeAlias = tuple[Any, ...]

_CHILDREN = ("generation_tag", "generation_parent")
_PROJECTIONS = (*ROW_TABLES, "run", "generation", *_CHILDREN, "verdict")
_UNREADABLE = (ValueError, TypeError, AttributeError, RecursionError)


class ProjectionComparison:
    """Compares the tables that find generations with what the entries say."""

    def __init__(self, connection: Connection, report: Report) -> None:
        self._connection, self._report = connection, report
        self._met = dict.fromkeys(_PROJECTIONS, 0)
        self._outcomes = 0

    def page(self, page: Page, low: int, high: int) -> None:
        """Compare what the entries of a page should have made."""
        texts = self._texts(low, high)
        self._compare_rows(page, texts, low, high)
        runs = self._compare_runs(page, low, high)
        self._compare_started(page, texts, runs, low, high)
        self._compare_outcomes([item for item in page if item[1]["kind"] == "outcome"])

    def finish(self) -> None:
        """Look for rows that no entry made."""
        for name in _PROJECTIONS:
            there = self._count(metadata.tables[name])
            if there != self._met[name]:
                self._add(name, f"there are {there} rows, the entries make {self._met[name]}")
        if self._count(generation, generation.c.outcome.is_not(None)) != self._outcomes:
            self._add(
                "generation.outcome", f"the entries tell of {self._outcomes}, the rows do not"
            )
        for stretch in periods.wrong(self._connection):
            self._add("period", f"stretch {stretch} is not what its generations say")
        stray = self._connection.scalar(
            select(func.count())
            .select_from(pending)
            .outerjoin(generation, generation.c.seq == pending.c.generation)
            .where((generation.c.seq.is_(None)) | (generation.c.outcome.is_not(None)))
        )
        if stray:
            self._add("pending", f"{stray} rows are of generations that nothing is pending of")

    def _texts(self, low: int, high: int) -> dict[tuple[int, str], bytes]:
        """Return the payloads that rows are made of, by entry and kind."""
        rows = self._rows(
            payload,
            payload.c.entry.between(low, high),
            payload.c.kind.not_in(("prompt", "output", "trace", "detail")),
        )
        return {(row.entry, row.kind): row.content for row in rows}

    def _compare_rows(
        self, page: Page, texts: Mapping[tuple[int, str], bytes], low: int, high: int
    ) -> None:
        """Compare the rows that carry the number of their entry."""
        expected: dict[str, dict[Key, Row]] = {name: {} for name in ROW_TABLES}
        for seq, body in page:
            make = ROWS.get(body["kind"])
            if make is None:
                continue
            try:
                made = make(seq, body, lambda kind, seq=seq: texts.get((seq, kind)))  # type: ignore[misc]
            except _UNREADABLE:
                self._unreadable(seq)
                continue
            for name, rows in made.items():
                expected[name] |= {_key(metadata.tables[name], row): row for row in rows}
        for name in ROW_TABLES:
            table = metadata.tables[name]
            self._compare(table, expected[name], self._rows(table, table.c.seq.between(low, high)))

    def _compare_runs(self, page: Page, low: int, high: int) -> dict[str, int]:
        """Compare the runs that begin in a page; return the number of each that it names."""
        started = {seq: body["run"] for seq, body in page if body["kind"] == "started"}
        first = {id: seq for seq, id in reversed(started.items())}
        known: dict[str, int] = {}
        for part in chunks(list(first)):
            known |= {row.id: row.seq for row in self._rows(run, run.c.id.in_(part))}
        for id, seq in first.items():
            if not isinstance(known.get(id), int) or known[id] > seq:
                self._add("run", f"run {id} is missing or begins too late")
        for row in self._rows(run, run.c.seq.between(low, high)):
            self._met["run"] += 1
            if started.get(row.seq) != row.id:
                self._add("run", f"run {row.id} does not begin with entry {row.seq}")
        return known

    def _compare_started(
        self,
        page: Page,
        texts: Mapping[tuple[int, str], bytes],
        runs: Mapping[str, int],
        low: int,
        high: int,
    ) -> None:
        rows = self._rows(generation, generation.c.seq.between(low, high))
        there = {row[0]: row for row in rows}
        expected: dict[Key, Row] = {}
        children: dict[str, dict[Key, Row]] = {name: {} for name in _CHILDREN}
        for seq, body in page:
            if body["kind"] != "started":
                continue
            try:
                number = runs.get(body["run"], seq)
                row, of_row = started_rows(seq, body, number, texts.get((seq, "request")))
            except _UNREADABLE:
                self._unreadable(seq)
                continue
            if seq in there and there[seq].outcome is not None:
                # What its outcome sets is compared with that entry.
                row |= zip(OUTCOME_COLUMNS, _OUTCOME(there[seq]), strict=True)
            expected[seq,] = row
            for name, held in of_row.items():
                children[name] |= {(seq, child["position"]): child for child in held}
        self._compare(generation, expected, rows)
        for name in _CHILDREN:
            table = metadata.tables[name]
            self._compare(
                table, children[name], self._rows(table, table.c.generation.between(low, high))
            )
        open_ = [seq for seq, row in there.items() if row.outcome is None]
        for part in chunks(open_):
            self._compare(verdict, {}, self._rows(verdict, verdict.c.generation.in_(part)))

    def _compare_outcomes(self, page: Page) -> None:
        numbers = sorted(body["generation"] for _, body in page)
        rows: dict[int, Held] = {}
        verdicts: list[Held] = []
        for part in chunks(numbers):
            rows |= {row[0]: row for row in self._rows(generation, generation.c.seq.in_(part))}
            verdicts += self._rows(verdict, verdict.c.generation.in_(part))
        expected: dict[Key, Row] = {}
        for seq, body in page:
            number = body["generation"]
            row = rows.get(number)
            if row is None or row.outcome != seq:
                self._add(
                    "generation.outcome", f"entry {seq} is not the outcome of its row", number
                )
                verdicts = [held for held in verdicts if held.generation != number]
                continue
            self._outcomes += 1
            update, held = outcome_rows(seq, body)
            if tuple(update.values()) != _OUTCOME(row):
                self._differences(generation, (number,), update, row._mapping)
            expected |= {(number, verdict["position"]): verdict for verdict in held}
        self._compare(verdict, expected, verdicts)

    def _compare(self, table: Table, expected: Mapping[Key, Row], rows: Sequence[Held]) -> None:
        self._met[table.name] += len(rows)
        names = [column.name for column in table.c]
        wanted = bulk.ordered((expected[key] for key in sorted(expected)), names)
        if wanted == list(map(tuple, rows)):
            return
        actual = {_key(table, row._mapping): row._mapping for row in rows}
        for key in expected.keys() | actual.keys():
            place = f"row {key[1]}" if len(key) > 1 else "the row"
            if key not in actual:
                self._add(table.name, f"{place} is missing", key[0])
            elif key not in expected:
                self._add(table.name, f"no entry makes {place}", key[0])
            else:
                self._differences(table, key, expected[key], actual[key])

    def _differences(self, table: Table, key: Key, expected: Row, actual: RowMapping) -> None:
        for column, value in expected.items():
            if actual[column] != value:
                self._add(f"{table.name}.{column}", "differs from what the entry says", key[0])

    def _rows(self, table: Table, *conditions: ColumnElement[bool]) -> Sequence[Held]:
        """Return rows in the order of their primary key."""
        statement = select(*raw(table)).where(*conditions).order_by(*table.primary_key)
        return self._connection.execute(statement).all()

    def _count(self, table: Table, *conditions: ColumnElement[bool]) -> int:
        statement = select(func.count()).select_from(table).where(*conditions)
        return self._connection.scalar(statement) or 0

    def _add(self, where: str, message: str, seq: Any = None) -> None:
        at = f" of entry {seq}" if seq is not None else ""
        self._report.add("projection", f"{where}{at}", message)

    def _unreadable(self, seq: int) -> None:
        self._report.add("payload", f"entry {seq}", "a payload that rows are made of is unreadable")


_OUTCOME = itemgetter(*(list(generation.c.keys()).index(name) for name in OUTCOME_COLUMNS))


def _key(table: Table, row: RowMapping | Row) -> Key:
    return tuple(row[column.name] for column in table.primary_key)
