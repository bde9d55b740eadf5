"""Compare projections with the entries that they are computed from, page by page.

The rows of each entry are computed again and compared with the stored ones. Finally the number of
rows found must be the number of rows in the table, so that an inserted row is detected. Rows are
compared as tuples, a page at once. Single columns are compared only to name the differences.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import Column, ColumnElement, Connection, Table, func, select

from muniment.ledger.entries import OutcomeEntry, StartedEntry
from muniment.store.database.engine import chunks
from muniment.store.database.projections import (
    CHILD_TABLES,
    OUTCOME_COLUMNS,
    OUTCOME_TABLES,
    OUTCOMES,
    ROW_TABLES,
    Rows,
    add_entry,
    add_outcome,
    add_started,
)
from muniment.store.database.raw import Values, raw, tuples
from muniment.store.database.tables import generation, metadata, payload, pending, run
from muniment.store.errors import UNREADABLE
from muniment.store.queries import time_index
from muniment.store.verification.entries import Page
from muniment.store.verification.report import Report

Texts: TypeAlias = Mapping[tuple[int, str], bytes]
Key: TypeAlias = tuple[Any, ...]
Row: TypeAlias = dict[str, Any]

_PROJECTIONS = (*ROW_TABLES, "run", "generation", *CHILD_TABLES, *OUTCOME_TABLES)


class RowComparison:
    """Comparison of the query tables with one range of entries."""

    def __init__(self, connection: Connection, report: Report) -> None:
        self._connection, self._report = connection, report
        # Stored rows that belong to the entries of the range, by table.
        self.row_counts: Counter[str] = Counter()

    def compare_page(self, page: Page, low: int, high: int) -> None:
        """Compare the rows of the entries from number `low` to `high`, both included."""
        texts = self._texts(low, high)
        self._compare_rows(page, texts, low, high)
        runs = self._compare_runs(page, low, high)
        rows = self._rows(generation, generation.c.seq.between(low, high))
        self._compare_started(page, texts, runs, rows, low, high)
        self._compare_outcomes(page, rows, low, high)

    def _texts(self, low: int, high: int) -> Texts:
        """Return the payloads that rows are computed from, by entry and kind."""
        statement = select(*raw(payload, "entry", "kind", "content")).where(
            payload.c.entry.between(low, high),
            payload.c.kind.not_in(("prompt", "output", "trace", "detail")),
        )
        return {(entry, kind): text for entry, kind, text in tuples(self._connection, statement)}

    def _compare_rows(self, page: Page, texts: Texts, low: int, high: int) -> None:
        """Compare the tables whose column `seq` is the number of the row's entry."""
        expected: Rows = defaultdict(list)
        for seq, item in page:
            try:
                add_entry(expected, seq, item, lambda kind, seq=seq: texts.get((seq, kind)))  # type: ignore[misc]
            except UNREADABLE:
                self._add_unreadable(seq)
        for name in ROW_TABLES:
            table = metadata.tables[name]
            self._compare(table, expected[name], self._rows(table, table.c.seq.between(low, high)))

    def _compare_runs(self, page: Page, low: int, high: int) -> dict[str, int]:
        """Compare the runs of a page. Return the number of each run's first entry by its id."""
        started = {seq: item.run for seq, item in page if isinstance(item, StartedEntry)}
        first = {id: seq for seq, id in reversed(started.items())}
        stored = {id: seq for seq, id in self._rows_with(run, run.c.id, list(first))}
        for id, seq in first.items():
            if not isinstance(stored.get(id), int) or stored[id] > seq:
                self._add("run", f"run {id} is missing or its first entry is wrong")
        for number, id in self._rows(run, run.c.seq.between(low, high)):
            self.row_counts["run"] += 1
            if started.get(number) != id:
                self._add("run", f"run {id} does not begin with entry {number}")
        return stored

    def _compare_started(
        self,
        page: Page,
        texts: Texts,
        runs: Mapping[str, int],
        rows: Sequence[Values],
        low: int,
        high: int,
    ) -> None:
        """Compare the rows of generations, their tags and their parents."""
        stored = {row[0]: row for row in rows}
        expected: Rows = defaultdict(list)
        for seq, item in page:
            if not isinstance(item, StartedEntry):
                continue
            try:
                number = runs.get(item.run, seq)
                add_started(expected, seq, item, number, texts.get((seq, "request")))
            except UNREADABLE:
                self._add_unreadable(seq)
                continue
            if seq in stored and _outcome_of(stored[seq]) is not None:
                # The columns that the outcome sets are compared with the outcome's entry.
                row = expected["generation"].pop()
                expected["generation"].append(_with_outcome((*row, *stored[seq])))
        self._compare(generation, expected["generation"], rows)
        for name in CHILD_TABLES:
            table = metadata.tables[name]
            stored_children = self._rows(table, table.c.generation.between(low, high))
            self._compare(table, expected[name], stored_children)

    def _compare_outcomes(self, page: Page, rows: Sequence[Values], low: int, high: int) -> None:
        """Compare the columns, verdicts and scores that outcomes set.

        `rows` are the stored generations of this page. An outcome may also belong to a
        generation of an earlier page.
        """
        outcomes = [(seq, item) for seq, item in page if isinstance(item, OutcomeEntry)]
        generations = {row[0]: row for row in rows}
        without_outcome = {row[0] for row in rows if _outcome_of(row) is None}
        earlier = [item.generation for _, item in outcomes if item.generation not in generations]
        generations |= {
            row[0]: row for row in self._rows_with(generation, generation.c.seq, earlier)
        }
        with_outcome: set[int] = set()
        expected: Rows = defaultdict(list)
        for seq, item in outcomes:
            number = item.generation
            row = generations.get(number)
            if row is None or _outcome_of(row) != seq:
                self._add(OUTCOMES, f"entry {seq} is not the outcome of its row", number)
                continue
            with_outcome.add(number)
            add_outcome(expected, seq, item)
            update = expected[OUTCOMES][-1][:-1]
            if update != _outcome_columns(row):
                columns = dict(zip(OUTCOME_COLUMNS, update, strict=True))
                self._add_differences(generation, (number,), columns, _as_mapping(generation, row))
        self.row_counts[OUTCOMES] += len(with_outcome)
        # The rows of the other generations are compared on the page of their outcome.
        compared = with_outcome | without_outcome
        for name in OUTCOME_TABLES:
            table = metadata.tables[name]
            stored = self._rows(table, table.c.generation.between(low, high))
            stored += self._rows_with(table, table.c.generation, earlier)
            actual = sorted((row for row in stored if row[0] in compared), key=itemgetter(0))
            expected[name].sort(key=itemgetter(0))
            self._compare(table, expected[name], actual)

    def _compare(self, table: Table, expected: Sequence[Values], rows: Sequence[Values]) -> None:
        """Compare expected rows with stored rows. Both must be in the order of the key."""
        self.row_counts[table.name] += len(rows)
        if expected == rows:
            return
        computed, actual = _by_key(table, expected), _by_key(table, rows)
        for key in computed.keys() | actual.keys():
            place = f"row {key[1]}" if len(key) > 1 else "the row"
            if key not in actual:
                self._add(table.name, f"{place} is missing", key[0])
            elif key not in computed:
                self._add(table.name, f"{place} belongs to no entry", key[0])
            else:
                self._add_differences(table, key, computed[key], actual[key])

    def _add_differences(self, table: Table, key: Key, expected: Row, actual: Row) -> None:
        for column, value in expected.items():
            if actual[column] != value:
                self._add(f"{table.name}.{column}", "differs from the entry", key[0])

    def _rows(self, table: Table, condition: ColumnElement[bool]) -> list[Values]:
        """Return the rows that meet a condition, in the order of the primary key."""
        statement = select(*raw(table)).where(condition).order_by(*table.primary_key)
        return tuples(self._connection, statement)

    def _rows_with(self, table: Table, column: Column[Any], values: Sequence[Any]) -> list[Values]:
        """Return the rows whose column has one of the values."""
        return [row for part in chunks(values) for row in self._rows(table, column.in_(part))]

    def _add(self, where: str, message: str, seq: Any = None) -> None:
        at = f" of entry {seq}" if seq is not None else ""
        self._report.add("projection", f"{where}{at}", message)

    def _add_unreadable(self, seq: int) -> None:
        self._report.add(
            "payload", f"entry {seq}", "a payload that query tables need is unreadable"
        )


def compare_row_counts(
    connection: Connection, report: Report, row_counts: Mapping[str, int]
) -> None:
    """Report tables with rows that belong to no entry, and wrong rows of `period` and `pending`.

    `row_counts` has the number of stored rows that belong to entries, by table.
    """

    def add(where: str, message: str) -> None:
        report.add("projection", where, message)

    for name in _PROJECTIONS:
        rows = _count(connection, metadata.tables[name])
        if rows != row_counts[name]:
            add(name, f"the table has {rows} rows, but only {row_counts[name]} belong to entries")
    if _count(connection, generation, generation.c.outcome.is_not(None)) != row_counts[OUTCOMES]:
        add(OUTCOMES, f"the number of rows with an outcome is not {row_counts[OUTCOMES]}")
    for block in time_index.mismatches(connection):
        add("period", f"row {block} differs from the times of its generations")
    stray = connection.scalar(
        select(func.count())
        .select_from(pending)
        .outerjoin(generation, generation.c.seq == pending.c.generation)
        .where((generation.c.seq.is_(None)) | (generation.c.outcome.is_not(None)))
    )
    if stray:
        add("pending", f"{stray} rows belong to generations that are finished or missing")


def _count(connection: Connection, table: Table, *conditions: ColumnElement[bool]) -> int:
    statement = select(func.count()).select_from(table).where(*conditions)
    return connection.scalar(statement) or 0


_COLUMNS = list(generation.c.keys())
_outcome_of = itemgetter(_COLUMNS.index("outcome"))
_outcome_columns = itemgetter(*map(_COLUMNS.index, OUTCOME_COLUMNS))
# Takes the columns of an outcome from the second of two joined rows, and all others from the first.
_with_outcome = itemgetter(
    *(
        position + len(_COLUMNS) * (name in OUTCOME_COLUMNS)
        for position, name in enumerate(_COLUMNS)
    )
)


def _as_mapping(table: Table, row: Values) -> Row:
    return dict(zip(table.c.keys(), row, strict=True))


def _by_key(table: Table, rows: Sequence[Values]) -> dict[Key, Row]:
    mappings = [_as_mapping(table, row) for row in rows]
    return {tuple(row[column.name] for column in table.primary_key): row for row in mappings}
