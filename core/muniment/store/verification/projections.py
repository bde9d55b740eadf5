"""Comparing projections with the entries, page by page of entries.

Every row is looked for from the entry that makes it; at the end as many rows must have been met
as there are, so that none can have been slipped in. Rows are compared as tuples, all of a page at
once; only where they differ is each looked at, to name what is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import Column, ColumnElement, Connection, Table, func, select

from muniment.store.database import bulk
from muniment.store.database.batches import chunks
from muniment.store.database.projections import (
    OUTCOME_COLUMNS,
    ROW_TABLES,
    ROWS,
    Row,
    outcome_rows,
    started_rows,
)
from muniment.store.database.raw import Values, raw, tuples
from muniment.store.database.tables import generation, metadata, payload, pending, run, verdict
from muniment.store.errors import UNREADABLE
from muniment.store.queries import time_index
from muniment.store.verification.entries import Page
from muniment.store.verification.report import Report

Texts: TypeAlias = Mapping[tuple[int, str], bytes]
Key: TypeAlias = tuple[Any, ...]

OUTCOMES = "generation.outcome"  # counted as rows are
_CHILDREN = ("generation_tag", "generation_parent")
_PROJECTIONS = (*ROW_TABLES, "run", "generation", *_CHILDREN, "verdict")


class RowComparison:
    """Compares the tables that find generations with what a range of entries says."""

    def __init__(self, connection: Connection, report: Report) -> None:
        self._connection, self._report = connection, report
        self.met: Counter[str] = Counter()  # rows that entries make, by table

    def page(self, page: Page, low: int, high: int) -> None:
        """Compare what the entries from number `low` to `high` should have made."""
        texts = self._texts(low, high)
        self._compare_rows(page, texts, low, high)
        runs = self._compare_runs(page, low, high)
        rows = self._rows(generation, generation.c.seq.between(low, high))
        self._compare_started(page, texts, runs, rows, low, high)
        self._compare_outcomes(page, rows, low, high)

    def _texts(self, low: int, high: int) -> Texts:
        """Return the payloads that rows are made of, by entry and kind."""
        statement = select(*raw(payload, "entry", "kind", "content")).where(
            payload.c.entry.between(low, high),
            payload.c.kind.not_in(("prompt", "output", "trace", "detail")),
        )
        return {(entry, kind): text for entry, kind, text in tuples(self._connection, statement)}

    def _compare_rows(self, page: Page, texts: Texts, low: int, high: int) -> None:
        """Compare the rows that carry the number of their entry."""
        expected: dict[str, list[Row]] = {name: [] for name in ROW_TABLES}
        for seq, body in page:
            make = ROWS.get(body["kind"])
            if make is None:
                continue
            try:
                made = make(seq, body, lambda kind, seq=seq: texts.get((seq, kind)))  # type: ignore[misc]
            except UNREADABLE:
                self._unreadable(seq)
                continue
            for name, rows in made.items():
                expected[name] += rows
        for name in ROW_TABLES:
            table = metadata.tables[name]
            self._compare(table, expected[name], self._rows(table, table.c.seq.between(low, high)))

    def _compare_runs(self, page: Page, low: int, high: int) -> dict[str, int]:
        """Compare the runs that begin in a page; return the number of each that it names."""
        started = {seq: body["run"] for seq, body in page if body["kind"] == "started"}
        first = {id: seq for seq, id in reversed(started.items())}
        known = {id: seq for seq, id in self._of(run, run.c.id, list(first))}
        for id, seq in first.items():
            if not isinstance(known.get(id), int) or known[id] > seq:
                self._add("run", f"run {id} is missing or begins too late")
        for number, id in self._rows(run, run.c.seq.between(low, high)):
            self.met["run"] += 1
            if started.get(number) != id:
                self._add("run", f"run {id} does not begin with entry {number}")
        return known

    def _compare_started(
        self,
        page: Page,
        texts: Texts,
        runs: Mapping[str, int],
        rows: Sequence[Values],
        low: int,
        high: int,
    ) -> None:
        there = {row[0]: row for row in rows}
        expected: list[Row] = []
        children: dict[str, list[Row]] = {name: [] for name in _CHILDREN}
        for seq, body in page:
            if body["kind"] != "started":
                continue
            try:
                number = runs.get(body["run"], seq)
                row, of_row = started_rows(seq, body, number, texts.get((seq, "request")))
            except UNREADABLE:
                self._unreadable(seq)
                continue
            if seq in there and _outcome_of(there[seq]) is not None:
                # What its outcome sets is compared with that entry.
                row |= zip(OUTCOME_COLUMNS, _set_by_outcome(there[seq]), strict=True)
            expected.append(row)
            for name, held in of_row.items():
                children[name] += held
        self._compare(generation, expected, rows)
        for name in _CHILDREN:
            table = metadata.tables[name]
            held_rows = self._rows(table, table.c.generation.between(low, high))
            self._compare(table, children[name], held_rows)

    def _compare_outcomes(self, page: Page, rows: Sequence[Values], low: int, high: int) -> None:
        """Compare what outcomes set in generations, those of earlier pages among them."""
        outcomes = [(seq, body) for seq, body in page if body["kind"] == "outcome"]
        there = {row[0]: row for row in rows}
        open_ = {row[0] for row in rows if _outcome_of(row) is None}
        earlier = [body["generation"] for _, body in outcomes if body["generation"] not in there]
        there |= {row[0]: row for row in self._of(generation, generation.c.seq, earlier)}
        verdicts = self._rows(verdict, verdict.c.generation.between(low, high))
        verdicts += self._of(verdict, verdict.c.generation, earlier)
        settled: set[int] = set()
        expected: list[Row] = []
        for seq, body in outcomes:
            number = body["generation"]
            row = there.get(number)
            if row is None or _outcome_of(row) != seq:
                self._add(OUTCOMES, f"entry {seq} is not the outcome of its row", number)
                continue
            settled.add(number)
            update, held = outcome_rows(seq, body)
            if tuple(update.values()) != _set_by_outcome(row):
                self._differences(generation, (number,), update, _named(generation, row))
            expected += held
        self.met[OUTCOMES] += len(settled)
        compared = settled | open_
        own = [held for held in verdicts if held[0] in compared]
        own.sort(key=itemgetter(0))
        expected.sort(key=itemgetter("generation"))
        self._compare(verdict, expected, own)

    def _compare(self, table: Table, expected: Sequence[Row], rows: Sequence[Values]) -> None:
        """Compare the rows that entries make with those that there are, both in order."""
        self.met[table.name] += len(rows)
        if bulk.ordered(expected, table.c.keys()) == rows:
            return
        made = {_key(table, row): row for row in expected}
        actual = {_key(table, row): row for row in (_named(table, row) for row in rows)}
        for key in made.keys() | actual.keys():
            place = f"row {key[1]}" if len(key) > 1 else "the row"
            if key not in actual:
                self._add(table.name, f"{place} is missing", key[0])
            elif key not in made:
                self._add(table.name, f"no entry makes {place}", key[0])
            else:
                self._differences(table, key, made[key], actual[key])

    def _differences(self, table: Table, key: Key, expected: Row, actual: Row) -> None:
        for column, value in expected.items():
            if actual[column] != value:
                self._add(f"{table.name}.{column}", "differs from what the entry says", key[0])

    def _rows(self, table: Table, condition: ColumnElement[bool]) -> list[Values]:
        """Return rows in the order of their primary key."""
        statement = select(*raw(table)).where(condition).order_by(*table.primary_key)
        return tuples(self._connection, statement)

    def _of(self, table: Table, column: Column[Any], values: Sequence[Any]) -> list[Values]:
        """Return the rows that have one of the values."""
        return [row for part in chunks(values) for row in self._rows(table, column.in_(part))]

    def _add(self, where: str, message: str, seq: Any = None) -> None:
        at = f" of entry {seq}" if seq is not None else ""
        self._report.add("projection", f"{where}{at}", message)

    def _unreadable(self, seq: int) -> None:
        self._report.add("payload", f"entry {seq}", "a payload that rows are made of is unreadable")


def compare_counts(connection: Connection, report: Report, met: Mapping[str, int]) -> None:
    """Look for rows that no entry made, `met` being how many of each table entries make."""

    def add(where: str, message: str) -> None:
        report.add("projection", where, message)

    for name in _PROJECTIONS:
        there = _count(connection, metadata.tables[name])
        if there != met[name]:
            add(name, f"there are {there} rows, the entries make {met[name]}")
    if _count(connection, generation, generation.c.outcome.is_not(None)) != met[OUTCOMES]:
        add(OUTCOMES, f"the entries tell of {met[OUTCOMES]}, the rows do not")
    for stretch in time_index.mismatches(connection):
        add("period", f"stretch {stretch} is not what its generations say")
    stray = connection.scalar(
        select(func.count())
        .select_from(pending)
        .outerjoin(generation, generation.c.seq == pending.c.generation)
        .where((generation.c.seq.is_(None)) | (generation.c.outcome.is_not(None)))
    )
    if stray:
        add("pending", f"{stray} rows are of generations that nothing is pending of")


def _count(connection: Connection, table: Table, *conditions: ColumnElement[bool]) -> int:
    statement = select(func.count()).select_from(table).where(*conditions)
    return connection.scalar(statement) or 0


_COLUMNS = list(generation.c.keys())
_outcome_of = itemgetter(_COLUMNS.index("outcome"))
_set_by_outcome = itemgetter(*map(_COLUMNS.index, OUTCOME_COLUMNS))


def _named(table: Table, row: Values) -> Row:
    return dict(zip(table.c.keys(), row, strict=True))


def _key(table: Table, row: Row) -> Key:
    return tuple(row[column.name] for column in table.primary_key)
