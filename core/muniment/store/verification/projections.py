"""Compare projections with the entries that they are computed from, page by page.

The rows of each entry are computed again and compared with the stored ones. Finally the number of
rows found must be the number of rows in the table, so that an inserted row is detected. Rows are
compared as tuples, a page at once. Single columns are compared only to name the differences.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from functools import cache
from itertools import pairwise
from operator import itemgetter
from typing import Any, TypeAlias

from sqlalchemy import Connection, Select, Table, bindparam, func, select

from muniment.ledger.entries import OutcomeEntry, StartedEntry
from muniment.ledger.events import ScoredEntry
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
    plugin_numbers,
)
from muniment.store.database.raw import Values, count_rows, raw, tuples
from muniment.store.database.tables import generation, metadata, pending, run, score
from muniment.store.errors import UNREADABLE
from muniment.store.queries import time_index
from muniment.store.queries.loader import entries_of
from muniment.store.recording.rebuild import Contents
from muniment.store.verification.entries import Page
from muniment.store.verification.report import Report

Key: TypeAlias = tuple[Any, ...]
Row: TypeAlias = dict[str, Any]

MAX_GAP = 64  # numbers between two generations whose rows are read with one statement
_PROJECTIONS = (*ROW_TABLES, "run", "generation", *CHILD_TABLES, *OUTCOME_TABLES)


class RowComparison:
    """Comparison of the query tables with one range of entries."""

    def __init__(self, connection: Connection, report: Report) -> None:
        self._connection, self._report = connection, report
        # Stored rows that belong to the entries of the range, by table.
        self.row_counts: Counter[str] = Counter()
        # Rows of generations whose outcome is on a later page, by number.
        self._generations: dict[int, Values] = {}

    def compare_page(self, page: Page, low: int, high: int) -> None:
        """Compare the rows of the entries from number `low` to `high`, both included."""
        rows = self._rows(generation, low, high)
        stored = {row[0]: row for row in rows}
        texts = Contents(self._connection, low, high)
        expected = self._expected_rows(page, stored, texts, low, high)
        self._compare(generation, expected["generation"], rows)
        for name in (*ROW_TABLES, *CHILD_TABLES):
            table = metadata.tables[name]
            self._compare(table, expected[name], self._rows(table, low, high))
        self._compare_outcomes(page, stored, texts)
        self._compare_added_scores(page, expected["score"])

    def _compare_runs(self, page: Page, low: int, high: int) -> dict[str, int]:
        """Compare the runs of a page. Return the number of each run's first entry by its id."""
        started = {seq: item.run for seq, item in page if isinstance(item, StartedEntry)}
        first = {id: seq for seq, id in reversed(started.items())}
        stored: dict[str, int] = {}
        for part in chunks(list(first)):
            statement = select(*raw(run, "id", "seq")).where(run.c.id.in_(part))
            stored.update(tuples(self._connection, statement))
        for id, seq in first.items():
            if not isinstance(stored.get(id), int) or stored[id] > seq:
                self._add("run", f"run {id} is missing or its first entry is wrong")
        for number, id in self._rows(run, low, high):
            self.row_counts["run"] += 1
            if started.get(number) != id:
                self._add("run", f"run {id} does not begin with entry {number}")
        return stored

    def _expected_rows(
        self, page: Page, stored: Mapping[int, Values], texts: Contents, low: int, high: int
    ) -> Rows:
        """Return the rows of the entries of a page, except those of outcomes.

        `stored` are the generations of the page by number.
        """
        runs = self._compare_runs(page, low, high)
        expected: Rows = defaultdict(list)
        for seq, item in page:
            try:
                if isinstance(item, StartedEntry):
                    number = runs.get(item.run, seq)
                    add_started(expected, seq, item, number, texts.of(seq)("request"))
                    if seq in stored and _outcome_of(stored[seq]) is not None:
                        # The columns of the outcome are compared with the outcome's entry.
                        row = expected["generation"].pop()
                        expected["generation"].append(_with_outcome((*row, *stored[seq])))
                elif not isinstance(item, OutcomeEntry):
                    add_entry(expected, seq, item, texts.of(seq))
            except UNREADABLE:
                self._add_unreadable(seq)
        return expected

    def _compare_outcomes(self, page: Page, stored: Mapping[int, Values], texts: Contents) -> None:
        """Compare the columns, verdicts and scores that outcomes set.

        `stored` are the generations of this page by number. An outcome may also belong to a
        generation of an earlier page.
        """
        # Generations without an outcome have no rows in the tables of outcomes.
        compared = {number for number, row in stored.items() if _outcome_of(row) is None}
        own: set[int] = set()
        generations = self._generations
        generations |= {number: stored[number] for number in stored.keys() - compared}
        outcomes = [(seq, item) for seq, item in page if isinstance(item, OutcomeEntry)]
        earlier = {item.generation for _, item in outcomes} - generations.keys()
        generations |= {row[0]: row for row in self._rows_of(generation, earlier)}
        expected: Rows = defaultdict(list)
        for seq, item in outcomes:
            number = item.generation
            row = generations.get(number)
            if row is None or _outcome_of(row) != seq:
                self._add(OUTCOMES, f"entry {seq} is not the outcome of its row", number)
                continue
            del generations[number]
            compared.add(number)
            own.add(seq)
            try:
                add_outcome(expected, seq, item, texts.of(seq))
            except UNREADABLE:
                self._add_unreadable(seq)
                continue
            update = expected[OUTCOMES][-1][:-1]
            if update[-1] is None:
                update = *update[:-1], self._started_plugins(number)
            if update != _outcome_columns(row):
                columns = dict(zip(OUTCOME_COLUMNS, update, strict=True))
                self._add_differences(generation, (number,), columns, _as_mapping(generation, row))
        self.row_counts[OUTCOMES] += len(expected[OUTCOMES])
        # The rows of the other generations are compared on the page of their outcome.
        for name in OUTCOME_TABLES:
            table = metadata.tables[name]
            expected[name].sort(key=itemgetter(0))
            rows = self._rows_of(table, compared)
            if table is score:  # those that were added later belong to other entries
                rows = [row for row in rows if row[1] in own]
            self._compare(table, expected[name], rows)

    def _started_plugins(self, number: int) -> str | None:
        """Return the plugins of a `started` entry, or None if the entry is unreadable."""
        with suppress(*UNREADABLE):
            started = entries_of(self._connection, [number], altered=set())[number]
            return plugin_numbers(started) if isinstance(started, StartedEntry) else None
        return None

    def _compare_added_scores(self, page: Page, expected: list[Values]) -> None:
        """Compare the rows of the scores that the entries of a page added to generations."""
        entries = {seq: item.generation for seq, item in page if isinstance(item, ScoredEntry)}
        rows = self._rows_of(score, set(entries.values()))
        rows = [row for row in rows if row[1] in entries]
        self._compare(score, sorted(expected, key=itemgetter(0, 1, 2)), rows)

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

    def _rows(self, table: Table, low: int, high: int) -> list[Values]:
        """Return the rows whose first column of the key is in a range, in the order of the key."""
        return tuples(self._connection, _select_between(table), {"low": low, "high": high})

    def _rows_of(self, table: Table, numbers: Set[int]) -> list[Values]:
        """Return the rows of generations, in the order of the key."""
        ordered = sorted(numbers)
        # Most of them are close together. The rows between them are read, too.
        ends = [index for index, (a, b) in enumerate(pairwise(ordered), 1) if b - a > MAX_GAP]
        bounds = pairwise([0, *ends, len(ordered)]) if ordered else ()
        spans = [(ordered[start], ordered[stop - 1]) for start, stop in bounds]
        return [row for span in spans for row in self._rows(table, *span) if row[0] in numbers]

    def _add_unreadable(self, seq: int) -> None:
        message = "a payload that query tables need is unreadable"
        self._report.add("payload", f"entry {seq}", message)

    def _add(self, where: str, message: str, seq: Any = None) -> None:
        at = f" of entry {seq}" if seq is not None else ""
        self._report.add("projection", f"{where}{at}", message)


def compare_row_counts(
    connection: Connection, report: Report, row_counts: Mapping[str, int]
) -> None:
    """Report tables with rows that belong to no entry, and wrong rows of `period` and `pending`.

    `row_counts` has the number of stored rows that belong to entries, by table.
    """
    for name in _PROJECTIONS:
        rows = count_rows(connection, metadata.tables[name])
        if rows != row_counts[name]:
            report.add(
                "projection",
                name,
                f"the table has {rows} rows, but only {row_counts[name]} belong to entries",
            )
    if (
        count_rows(connection, generation, generation.c.outcome.is_not(None))
        != row_counts[OUTCOMES]
    ):
        report.add(
            "projection",
            OUTCOMES,
            f"the number of rows with an outcome is not {row_counts[OUTCOMES]}",
        )
    for block in time_index.mismatches(connection):
        report.add("projection", "period", f"row {block} differs from the times of its generations")
    stray = connection.scalar(
        select(func.count())
        .select_from(pending)
        .outerjoin(generation, generation.c.seq == pending.c.generation)
        .where((generation.c.seq.is_(None)) | (generation.c.outcome.is_not(None)))
    )
    if stray:
        report.add(
            "projection",
            "pending",
            f"{stray} rows belong to generations that are finished or missing",
        )


@cache
def _select_between(table: Table) -> Select[*tuple[Any, ...]]:
    [first, *_] = table.primary_key
    statement = select(*raw(table)).where(first.between(bindparam("low"), bindparam("high")))
    return statement.order_by(*table.primary_key)


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
