"""Rebuild the query tables and the search index from entries and payloads.

All happens in one transaction, so that readers see either the old tables or the new ones, and an
interrupted rebuild changes nothing. The rows are computed by `store.database.projections`, which
recording and verification also use. Erased texts are not in the rebuilt tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from muniment.errors import StoreError
from muniment.ledger.entries import Entry, OutcomeEntry, StartedEntry
from muniment.ledger.schema import decode
from muniment.store.database import bulk, projections
from muniment.store.database.engine import Database
from muniment.store.database.projections import (
    CHILD_TABLES,
    OUTCOME_TABLES,
    OUTCOMES,
    ROW_TABLES,
    Content,
    Rows,
)
from muniment.store.database.raw import count_rows, raw, tuples
from muniment.store.database.tables import entry, metadata, payload, run
from muniment.store.errors import UNREADABLE
from muniment.store.queries import loader, time_index
from muniment.store.search import index

PAGE = 1000  # entries in memory at once

_TABLES = (*ROW_TABLES, "run", "generation", *CHILD_TABLES, *OUTCOME_TABLES)


def rebuild(
    database: Database, progress: Callable[[str, int, int], None] | None = None
) -> dict[str, int]:
    """Rebuild the query tables and the search index. Return the number of rows of each table.

    `progress` receives the kind of items, the number processed and the total. Raises StoreError,
    and changes nothing, if an entry or a payload cannot be read.
    """
    with database.writing() as connection:
        total = count_rows(connection, entry)
        for name in _TABLES:
            connection.execute(metadata.tables[name].delete())
        index.clear(connection)
        done = 0
        for page in _pages(connection):
            try:
                entries = [(row.seq, decode(row.canonical_bytes)) for row in page]
                _insert_page(connection, entries)
            except UNREADABLE as error:
                raise StoreError(
                    database.url,
                    f"the store {database.name} cannot be rebuilt, because its entries or payloads "
                    "were altered; run `muniment audit verify --all` to find them",
                ) from error
            done += len(page)
            if progress:
                progress("entries", done, total)
        time_index.rebuild(connection)
        return {name: count_rows(connection, metadata.tables[name]) for name in _TABLES}


def _insert_runs(connection: Connection, page: Sequence[tuple[int, Entry]]) -> dict[str, int]:
    """Insert the new runs of a page. Return the number of each run of the page by its id.

    The number of a run is that of its first entry.
    """
    first = {item.run: seq for seq, item in reversed(page) if isinstance(item, StartedEntry)}
    # Memory does not hold all runs. Those of earlier pages are in the table.
    rows = connection.execute(select(run.c.id, run.c.seq).where(run.c.id.in_(first)))
    earlier = {row.id: row.seq for row in rows}
    bulk.insert(connection, run, [(seq, id) for id, seq in first.items() if id not in earlier])
    return first | earlier


def _pages(connection: Connection) -> Iterator[Sequence[Row[*tuple[Any, ...]]]]:
    statement = select(entry.c.seq, entry.c.canonical_bytes).order_by(entry.c.seq).limit(PAGE)
    page = connection.execute(statement).all()
    while page:
        yield page
        page = connection.execute(statement.where(entry.c.seq > page[-1].seq)).all()


def _insert_page(connection: Connection, page: Sequence[tuple[int, Entry]]) -> None:
    """Insert the rows of a page of entries."""
    contents = Contents(connection, page[0][0], page[-1][0])
    numbers = _insert_runs(connection, page)
    rows: Rows = defaultdict(list)
    for seq, item in page:
        match item:
            case StartedEntry():
                request = contents.of(seq)("request")
                projections.add_started(rows, seq, item, numbers[item.run], request)
            case OutcomeEntry():
                projections.add_outcome(rows, seq, item, contents.of(seq))
            case _:
                projections.add_entry(rows, seq, item, contents.of(seq))
    finished = [row[-1] for row in rows[OUTCOMES]]
    if not projections.insert(connection, rows):
        raise ValueError("an outcome of an unknown generation, or a second outcome")
    loaded = loader.load_numbers(connection, finished)
    index.insert(connection, [(number, index.terms_of(item)) for number, item in loaded])


class Contents:
    """The contents of the payloads that rows are computed from, of a range of entries."""

    def __init__(self, connection: Connection, low: int, high: int) -> None:
        """Read those of the entries from number `low` to `high`, both included."""
        self._connection = connection
        statement = _SELECT.where(payload.c.entry.between(low, high), payload.c.kind.in_(_KINDS))
        self._contents = {tuple(key): content for *key, content in tuples(connection, statement)}

    def of(self, number: int) -> Content:
        """Return the function that returns the contents of an entry's payloads."""

        def content(kind: str, position: int = 0) -> bytes | None:
            key = number, kind, position
            if kind not in _KINDS and key not in self._contents:
                statement = _SELECT.where(payload.c.entry == number, payload.c.kind == kind)
                self._contents |= {
                    tuple(key): content for *key, content in tuples(self._connection, statement)
                }
            return self._contents.get(key)

        return content


# Rows of most entries need these. Payloads of other kinds, which few need, are read one by one.
_KINDS = ("actor", "policy", "request", "fingerprint")
_SELECT = select(*raw(payload, "entry", "kind", "position", "content"))
