"""Rebuilding: every table to find by is emptied and made again from entries and payloads.

It happens in one transaction, so that readers see the old tables or the new ones, and a rebuilding
that is cut short changes nothing. The rows are those of `projections.py`, which recording inserts
and verifying expects; what was erased is not found again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select

from muniment.errors import StoreError
from muniment.ledger.entries import Body
from muniment.ledger.schema import read
from muniment.store.database import bulk
from muniment.store.database.engine import Database
from muniment.store.database.projections import ROW_TABLES, ROWS, Rows, outcome_rows, started_rows
from muniment.store.database.tables import entry, metadata, payload, run, verdict
from muniment.store.errors import UNREADABLE
from muniment.store.queries import loader, planner, time_index
from muniment.store.recording.generations import update_outcomes
from muniment.store.search import index

PAGE = 1000  # entries in memory at once

_TABLES = (*ROW_TABLES, "run", "generation", "generation_tag", "generation_parent", "verdict")


def rebuild(
    database: Database, progress: Callable[[str, int, int], None] | None = None
) -> dict[str, int]:
    """Make the tables to find by again; return how many rows each then has.

    Raises StoreError when an entry or a payload that rows are made of cannot be read; nothing is
    changed then.
    """
    with database.writing() as connection:
        total = connection.scalar(select(func.count()).select_from(entry)) or 0
        for name in _TABLES:
            connection.execute(metadata.tables[name].delete())
        index.clear(connection)
        runs = _Runs(connection)
        done = 0
        for page in _pages(connection):
            try:
                _insert(connection, [(row.seq, read(row.canonical_bytes)) for row in page], runs)
            except UNREADABLE as error:
                raise StoreError(
                    database.url,
                    f"the store {database.name} cannot be rebuilt, since its entries or payloads "
                    "are not what was recorded: run `muniment audit verify --all` to see where",
                ) from error
            done += len(page)
            if progress:
                progress("entries", done, total)
        time_index.rebuild(connection)
        return {name: _count(connection, name) for name in _TABLES}


class _Runs:
    """The number of each run; those of past pages are looked up in what was made so far."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, page: Sequence[tuple[int, Body]]) -> dict[str, int]:
        """Return the number of each run that a page names, making those that begin in it."""
        first: dict[str, int] = {}
        for seq, body in page:
            first.setdefault(body["run"], seq)
        rows = self._connection.execute(select(run.c.id, run.c.seq).where(run.c.id.in_(first)))
        known = {row.id: row.seq for row in rows}
        bulk.insert(
            self._connection, run, [(seq, id) for id, seq in first.items() if id not in known]
        )
        return first | known


def _pages(connection: Connection) -> Iterator[Sequence[Row[*tuple[Any, ...]]]]:
    statement = select(entry.c.seq, entry.c.canonical_bytes).order_by(entry.c.seq).limit(PAGE)
    page = connection.execute(statement).all()
    while page:
        yield page
        page = connection.execute(statement.where(entry.c.seq > page[-1].seq)).all()


def _insert(connection: Connection, page: Sequence[tuple[int, Body]], runs: _Runs) -> None:
    contents = _contents(connection, page[0][0], page[-1][0])
    begun = [(seq, body) for seq, body in page if body["kind"] == "started"]
    numbers = runs.of(begun)
    rows: Rows = {name: [] for name in _TABLES}
    for seq, body in begun:
        row, others = started_rows(seq, body, numbers[body["run"]], contents.get((seq, "request")))
        rows["generation"].append(row)
        for name, held in others.items():
            rows[name] += held
    for seq, body in page:
        if make := ROWS.get(body["kind"]):
            made = make(seq, body, lambda kind, seq=seq: contents.get((seq, kind)))  # type: ignore[misc]
            for name, held in made.items():
                rows[name] += held
    for name, held in rows.items():
        bulk.insert_named(connection, metadata.tables[name], held)
    _insert_outcomes(connection, [item for item in page if item[1]["kind"] == "outcome"])


def _insert_outcomes(connection: Connection, page: Sequence[tuple[int, Body]]) -> None:
    if not page:
        return
    made = [(body["generation"], *outcome_rows(seq, body)) for seq, body in page]
    if not update_outcomes(connection, [(number, row) for number, row, _ in made]):
        raise ValueError("an outcome of nothing, or a second one")
    bulk.insert_named(connection, verdict, [row for *_, verdicts in made for row in verdicts])
    found = planner.rows(connection, [number for number, *_ in made])
    loaded = loader.load(connection, found, trace=False)
    index.insert(
        connection,
        [(row.seq, index.terms_of(g)) for row, g in zip(found, loaded, strict=True)],
    )


def _contents(connection: Connection, low: int, high: int) -> dict[tuple[int, str], bytes]:
    """Return the payloads that rows are made of, by entry and kind."""
    rows = connection.execute(
        select(payload.c.entry, payload.c.kind, payload.c.content).where(
            payload.c.entry.between(low, high),
            payload.c.kind.not_in(("prompt", "output", "trace", "detail")),
        )
    )
    return {(row.entry, row.kind): row.content for row in rows}


def _count(connection: Connection, name: str) -> int:
    statement = select(func.count()).select_from(metadata.tables[name])
    return connection.scalar(statement) or 0
