"""Read from the ledger which payloads were erased, and register the backups that have them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, delete, select

from muniment.files import remove_abandoned
from muniment.ledger.entries import InputEntry, OutcomeEntry
from muniment.ledger.events import ErasureEntry, GenerationEvent
from muniment.ledger.fields import milliseconds, moment
from muniment.ledger.payloads import KINDS
from muniment.ledger.schema import decode, kind_of
from muniment.representation import showing
from muniment.store.database.engine import Database, chunks
from muniment.store.database.tables import backup, entry, event, generation, generation_input
from muniment.store.errors import UNREADABLE
from muniment.store.queries.loader import entries_of

_BITS: dict[str, int] = {kind: 1 << number for number, kind in enumerate(KINDS)}


class ErasedPayloads:
    """The set of (entry number, payload kind) that were erased, with two bytes for each entry."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, number: int, kind: str) -> None:
        """Add the payloads of a kind of entry `number`."""
        end = 2 * number + 2
        if len(self._bits) < end:
            self._bits.extend(bytes(end - len(self._bits)))
        bit = _BITS.get(kind, 0)
        self._bits[end - 2] |= bit & 0xFF
        self._bits[end - 1] |= bit >> 8

    def __contains__(self, key: tuple[int, str]) -> bool:
        start = 2 * key[0]
        if not 0 <= start < len(self._bits):
            return False
        bit = _BITS.get(key[1], 0)
        return bool(self._bits[start] & bit & 0xFF or self._bits[start + 1] & bit >> 8)


def erased_payloads(connection: Connection) -> ErasedPayloads:
    """Return the payloads that the `erasure` entries name."""
    erased = ErasedPayloads()
    for _, erasure in erasures(connection):
        for item in erasure.payloads:
            for kind in item.kinds:
                erased.add(item.entry, kind)
    return erased


def erasures(connection: Connection, since: int = 0) -> Iterator[tuple[int, ErasureEntry]]:
    """Yield each `erasure` entry from number `since` on with its number, in order.

    Unreadable entries are skipped, because verification reports them.
    """
    rows = connection.execute(
        select(entry.c.seq, entry.c.canonical_bytes)
        .join(event, event.c.seq == entry.c.seq)
        .where(event.c.kind == kind_of(ErasureEntry), entry.c.seq >= since)
        .order_by(entry.c.seq)
        .execution_options(yield_per=100)
    )
    for row in rows:
        try:
            erasure = decode(row.canonical_bytes)
        except UNREADABLE:
            continue
        if isinstance(erasure, ErasureEntry):
            yield row.seq, erasure


def erased_generations(connection: Connection, erasure: ErasureEntry) -> list[str]:
    """Return the ids of the generations whose payloads or inputs an `erasure` entry names."""
    numbers = [item.entry for item in erasure.payloads]
    ids: dict[str, None] = {}
    for part in chunks(numbers):
        entries = entries_of(connection, part, altered=set())
        seqs = {
            other.generation if isinstance(other, OutcomeEntry | GenerationEvent) else seq
            for seq, other in entries.items()
        }
        if inputs := [seq for seq, other in entries.items() if isinstance(other, InputEntry)]:
            users = select(generation_input.c.generation)
            seqs.update(connection.scalars(users.where(generation_input.c.input.in_(inputs))))
        ids |= dict.fromkeys(
            connection.scalars(select(generation.c.id).where(generation.c.seq.in_(seqs)))
        )
    return list(ids)


# ---- backups -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Backup:
    """A registered backup of the store.

    Attributes:
        file: The path that it was written to.
        made_at: When it was made.
        entries: The number of ledger entries in it.
        root: The root hash of its ledger, in hexadecimal digits. Empty for an unfinished backup,
            of which a killed process leaves a part.
    """

    file: Path
    made_at: datetime
    entries: int
    root: str

    __repr__ = showing()

    @property
    def there(self) -> bool:
        """Whether the file is still at the path that it was written to."""
        return self.file.exists()


def register(connection: Connection, backups: list[Backup]) -> None:
    """Add backups to the register, in place of earlier ones with the same paths."""
    for item in backups:
        connection.execute(delete(backup).where(backup.c.file == str(item.file)))
        connection.execute(
            backup.insert(),
            {
                "file": str(item.file),
                "made_at": milliseconds(item.made_at),
                "entries": item.entries,
                "root": item.root,
            },
        )


def unregister(connection: Connection, file: Path) -> None:
    """Remove a backup from the register."""
    connection.execute(delete(backup).where(backup.c.file == str(file)))


def remove_unfinished(database: Database) -> None:
    """Remove the files of backups whose process was killed, and their rows in the register."""
    with database.reading() as connection:
        files = [item.file for item in registered(connection) if not item.root]
    if gone := [file for file in files if remove_abandoned(file)]:
        with database.maintaining() as connection:
            for file in gone:
                unregister(connection, file)


def registered(connection: Connection) -> list[Backup]:
    """Return all registered backups, the oldest first."""
    rows = connection.execute(select(backup).order_by(backup.c.made_at, backup.c.file))
    return [Backup(Path(row.file), moment(row.made_at), row.entries, row.root) for row in rows]
