"""Load generations from entries and payloads, after finding them in the projections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Connection, Table, select

from muniment.errors import DamagedStoreError, UnknownNameError
from muniment.ledger.assembly import SharedEntries, Texts, assemble, plugin_ref
from muniment.ledger.entries import (
    ActorEntry,
    Entry,
    EnvironmentEntry,
    InputEntry,
    PluginEntry,
    PolicyEntry,
    StartedEntry,
)
from muniment.ledger.events import ScoredEntry
from muniment.ledger.payload_texts import PolicyText, decode_text
from muniment.ledger.schema import decode, named
from muniment.ledger.tree import leaf_hash
from muniment.store.database import leases
from muniment.store.database.engine import Database, chunks, database_of
from muniment.store.database.tables import generation, generation_input
from muniment.store.errors import corruption_as_store_error
from muniment.store.queries.query import COLUMNS, GenerationRow
from muniment.types.generations import Generation, Status
from muniment.types.inputs import Input
from muniment.types.policies import policy_digest

P = TypeVar("P")
T = TypeVar("T")

PAGE = 100  # generations in memory at once

StoredPayloads: TypeAlias = Mapping[tuple[str, int], tuple[bytes, bytes]]
"""Salts and contents of the payloads of an entry, by kind and position."""


def in_pages(
    database: Database,
    limit: int | None,
    page: Callable[[Connection, P | None, int], Sequence[tuple[P, T]]],
) -> Iterator[T]:
    """Yield up to `limit` items, reading each page of them in a transaction of its own.

    `page` receives the connection, the position of the last item of the previous page or None,
    and the size of the page. It returns items with their positions.
    """
    after: P | None = None
    while limit is None or limit > 0:
        size = PAGE if limit is None else min(PAGE, limit)
        with database.reading() as connection:
            items = page(connection, after, size)
        yield from (item for _, item in items)
        if len(items) < size:
            return
        after = items[-1][0]
        limit = None if limit is None else limit - size


def number_of(connection: Connection, table: Table, id: str) -> int:
    """Return the number of a generation or run by its whole id. Raise UnknownNameError."""
    number: int | None = connection.scalar(select(table.c.seq).where(table.c.id == id))
    if number is None:
        raise UnknownNameError(table.name, id)
    return number


def rows(connection: Connection, numbers: Sequence[int]) -> Sequence[GenerationRow]:
    """Return the rows of generations, the newest first.

    More than `CHUNK` numbers must be in this order already.
    """
    fetched: list[GenerationRow] = []
    for part in chunks(numbers):
        statement = select(*COLUMNS).where(generation.c.seq.in_(part))
        ordered = connection.execute(statement.order_by(generation.c.seq.desc()))
        fetched += map(GenerationRow._make, ordered)
    return fetched


def load_numbers(connection: Connection, numbers: Sequence[int]) -> list[tuple[int, Generation]]:
    """Return generations without their traces, with their numbers, the newest first."""
    fetched = rows(connection, numbers)
    loaded = load(connection, fetched, trace=False)
    return [(row.seq, item) for row, item in zip(fetched, loaded, strict=True)]


def load(
    connection: Connection,
    fetched: Sequence[GenerationRow],
    *,
    trace: bool,
    shared: SharedReader | None = None,
) -> list[Generation]:
    """Return generations in the order of their rows, with a constant number of SQL queries.

    `trace` loads the traces too. `shared` keeps the entries that generations share from one call
    to the next. Raise StoreError if entries or payloads cannot be decoded.
    """
    generations: list[Generation] = []
    with corruption_as_store_error(database_of(connection).url):
        numbers = [n for row in fetched for n in (row.seq, row.outcome) if n is not None]
        altered: set[int] = set()
        entries = entries_of(connection, numbers, altered)
        others = (shared or SharedReader(connection)).read(entries.values())
        inputs = _inputs_of(connection, entries.values())
        scored = _scored_of(connection, [row.seq for row in fetched])
        payloads = payloads_of(connection, numbers, trace=trace)
        is_open = any(row.outcome is None for row in fetched)
        running = leases.running(connection) if is_open else set()
        for row in fetched:
            started: Any = entries[row.seq]
            outcome: Any = None if row.outcome is None else entries[row.outcome]
            if started.generation != row.id or (outcome and outcome.generation != row.seq):
                raise ValueError(f"the row of entry {row.seq} does not belong to its entries")
            texts = Texts()
            if altered.isdisjoint((row.seq, row.outcome)):
                texts.add(started, payloads.get(row.seq, {}))
                if row.outcome is not None:
                    texts.add(outcome, payloads.get(row.outcome, {}), trace=trace)
            else:
                texts.add_altered(*filter(None, (started, outcome)))
            status: Status = "started" if row.seq in running else "interrupted"
            generations.append(
                assemble(
                    started,
                    outcome,
                    texts,
                    others,
                    status=status,
                    inputs=inputs,
                    scored=scored.get(row.seq, ()),
                )
            )
    return generations


class SharedReader:
    """Reads the entries that others refer to, each once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._shared = SharedEntries()
        self._known: set[int] = set()

    def read(self, entries: Iterable[Entry]) -> SharedEntries:
        """Return all shared entries read so far, after reading those that `entries` refer to."""
        # Inputs can be large, and few generations share one.
        numbers = {
            number
            for entry in entries
            for kind, number in named(entry)
            if kind not in ("started", "input")
        }
        if new := numbers - self._known:
            self._known |= new
            payloads = payloads_of(self._connection, list(new))
            altered: set[int] = set()
            for number, entry in entries_of(self._connection, list(new), altered).items():
                stored = {} if number in altered else payloads.get(number, {})
                self._add(number, entry, stored)
            self._shared.altered |= dict.fromkeys(altered, "entry")
        return self._shared

    def _add(self, number: int, entry: Entry, stored: StoredPayloads) -> None:
        shared, texts = self._shared, Texts()
        texts.add(entry, stored)
        for kind in texts.altered:
            shared.altered[number] = kind
        match entry:
            case ActorEntry():
                shared.actors[number] = texts.text("actor") or ""
            case PolicyEntry():
                text = decode_text(PolicyText, texts.get("policy"))
                shared.policies[number] = text.name, policy_digest(text.document)
            case EnvironmentEntry():
                shared.environments[number] = entry.facts
            case PluginEntry():
                shared.plugins[number] = plugin_ref(entry.plugin)


def _inputs_of(
    connection: Connection, entries: Iterable[Entry]
) -> dict[int, tuple[InputEntry, Texts]]:
    """Return the inputs to which `started` entries refer, by number, with their payloads."""
    numbers = {
        number
        for entry in entries
        if isinstance(entry, StartedEntry)
        for number in entry.inputs.values()
    }
    if not numbers:
        return {}
    payloads = payloads_of(connection, list(numbers))
    inputs: dict[int, tuple[InputEntry, Texts]] = {}
    altered: set[int] = set()
    for number, entry in entries_of(connection, list(numbers), altered).items():
        if not isinstance(entry, InputEntry):
            raise ValueError(f"entry {number} is not that of an input")
        inputs[number] = entry, _texts_of(entry, payloads.get(number, {}), number in altered)
    return inputs


def _texts_of(entry: Entry, stored: StoredPayloads, is_altered: bool) -> Texts:
    """Return the texts of an entry, which are all altered if its bytes are."""
    texts = Texts()
    if is_altered:
        texts.add_altered(entry)
    else:
        texts.add(entry, stored)
    return texts


def _scored_of(
    connection: Connection, numbers: Sequence[int]
) -> dict[int, list[tuple[ScoredEntry, Texts]]]:
    """Return the entries that added scores to generations, the oldest first, by generation."""
    scored: dict[int, list[tuple[ScoredEntry, Texts]]] = {}
    for part in chunks(numbers):
        events = connection.exec_driver_sql(_SCORED.format(_numbers(part))).scalars().all()
        if not events:  # as in most stores
            continue
        payloads = payloads_of(connection, events)
        altered: set[int] = set()
        for number, entry in sorted(entries_of(connection, events, altered).items()):
            if not isinstance(entry, ScoredEntry):
                raise ValueError(f"entry {number} adds no scores")
            texts = _texts_of(entry, payloads.get(number, {}), number in altered)
            scored.setdefault(entry.generation, []).append((entry, texts))
    return scored


def text_inputs_of(connection: Connection, numbers: Sequence[int]) -> dict[int, list[Input]]:
    """Return the inputs that are texts, by the number of their generation, without names.

    Erased inputs are missing. Contents are not compared with their commitments.
    """
    statement = select(generation_input.c.generation, generation_input.c.input)
    pairs = [
        (row.generation, row.input)
        for part in chunks(numbers)
        for row in connection.execute(statement.where(generation_input.c.generation.in_(part)))
    ]
    if not pairs:
        return {}
    recorded = entries_of(connection, list({item for _, item in pairs}), set())
    types = {
        number: entry.media_type
        for number, entry in recorded.items()
        if isinstance(entry, InputEntry) and Input("", entry.media_type, b"").text is not None
    }
    payloads = payloads_of(connection, list(types))
    inputs: dict[int, list[Input]] = {}
    for seq, number in pairs:
        if (payload := payloads.get(number, {}).get(("input", 0))) is not None:
            inputs.setdefault(seq, []).append(Input("", types[number], payload[1]))
    return inputs


def entries_of(
    connection: Connection, numbers: Sequence[int], altered: set[int] | None = None
) -> dict[int, Entry]:
    """Return entries by number.

    The numbers of entries whose bytes do not have their leaf hash are added to `altered`. Raise
    DamagedStoreError for such an entry if `altered` is None.
    """
    entries: dict[int, Entry] = {}
    for part in chunks(numbers):
        rows = connection.exec_driver_sql(_ENTRIES.format(_numbers(part)))
        for number, data, leaf in rows:
            entries[number] = decode(data)
            if leaf_hash(data) == leaf:
                continue
            if altered is None:
                raise DamagedStoreError(
                    database_of(connection).url,
                    f"entry {number} was altered after it was recorded; run `muniment audit "
                    "verify --all` to find all changes, and restore a backup",
                )
            altered.add(number)
    return entries


def payloads_of(
    connection: Connection, numbers: Sequence[int], *, trace: bool = True
) -> dict[int, dict[tuple[str, int], tuple[bytes, bytes]]]:
    """Return salts and contents of payloads by number of the entry, then by kind and position.

    `trace=False` leaves out the payloads of kind `trace`.
    """
    payloads: dict[int, dict[tuple[str, int], tuple[bytes, bytes]]] = {}
    condition = "" if trace else "AND kind <> 'trace'"
    for part in chunks(numbers):
        sql = _PAYLOADS.format(_numbers(part), condition)
        for number, kind, position, salt, content in connection.exec_driver_sql(sql):
            payloads.setdefault(number, {})[kind, position] = salt, content
    return payloads


def _numbers(numbers: Sequence[int]) -> str:
    """Return numbers for SQL. Raise ValueError for a text, which a corrupt row can contain."""
    return ",".join(str(int(number)) for number in numbers)


# Numbers are written out: to bind thousands of them takes longer than to read the rows.
_ENTRIES = "SELECT seq, canonical_bytes, leaf_hash FROM entry WHERE seq IN ({})"
_SCORED = "SELECT seq FROM event WHERE kind = 'scored' AND subject IN ({})"
_PAYLOADS = """
SELECT entry, kind, position, salt, content FROM payload WHERE entry IN ({}) {}
"""
