"""The store's face: everything the rest of Muniment asks of it.

What writes and what verifies is imported when it is first asked for: most commands only read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from sqlalchemy import select

from muniment.errors import StoreVersionError
from muniment.store.database import open_database
from muniment.store.database.engine import Database
from muniment.store.database.leases import Lease
from muniment.store.database.tables import ledger_head
from muniment.store.keeping import Keeping
from muniment.store.queries import loader, runs
from muniment.store.queries.query import Query
from muniment.store.queries.runs import Line, Run
from muniment.store.recording import schema_version
from muniment.types import Generation, Replay

if TYPE_CHECKING:
    from muniment.ledger.checkpoints import Note
    from muniment.ledger.keys import PublicKey
    from muniment.ledger.proofs import Proof
    from muniment.store.export import Export
    from muniment.store.queries.lineage import Lineage
    from muniment.store.queries.stats import Stats
    from muniment.store.recording.events import Replayed
    from muniment.store.recording.tree_heads import Sign
    from muniment.store.search.engine import Hit
    from muniment.store.verification.signatures import TrustedCheckpoint
    from muniment.store.verification.verify import Verification

Progress = Callable[[str, int, int], None]
"""Told what is being checked, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """Where a store stands: `path` is its file, None on a server; `size` is in bytes."""

    url: str
    path: Path | None
    revision: str
    head: str
    entries: int
    size: int

    @property
    def current(self) -> bool:
        """Whether the schema is the one this Muniment writes."""
        return self.revision == self.head


class Store(Keeping):
    """The evidence of everything generated: entries, payloads, and what finds them.

    One object serves one process; threads may share it. What is recorded is on disk when a
    method returns.
    """

    def __init__(self, database: Database) -> None:
        """Take an opened database; use `Store.open`."""
        self._database = database
        self._lease: Lease | None = None
        self._starting = threading.Lock()
        self._open: dict[str, int] = {}  # numbers of generations started here, without an outcome
        self.url = database.url
        self.path = database.path

    @classmethod
    def open(cls, url: str, *, create: bool, outdated: bool = False) -> Store:
        """Open the store at a URL; `create` makes it where there is none.

        Raises NoStoreError where there is none and none is to be made, StoreVersionError for one
        of another version (`outdated` lets an older one pass, to be upgraded) and StoreError for
        what cannot be opened.
        """
        database = open_database(url)
        try:
            schema_version.require(database, create=create, older=outdated)
        except BaseException:
            database.close()
            raise
        return cls(database)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back the lease and close the database; closing twice is allowed."""
        if self._lease is not None and not self._lease.inherited:
            self._lease.give_back()
        self._lease = None
        self._database.close()

    # ---- recording ---------------------------------------------------------------------------

    def record_started(self, generations: Sequence[Generation], *, policy_document: str) -> None:
        """Record that generations of status `started` were asked for, all of them or none.

        The generator's name and the numeric parameters enter the ledger for ever where `plugins`
        says whose words they are; a request that could not be resolved comes without plugins.
        `policy_document` is the text of the policy that `Generation.policy` names.
        Raises AlreadyRecordedError for an id that is recorded, and for another attempt at a line
        of a run that is completed or being worked on.
        """
        if not generations:
            return
        from muniment.store.recording import generations as recording

        with self._starting:
            if self._lease is None or self._lease.inherited:
                self._lease = Lease(self._database)
                self.record_interruptions()
                self.finish_erasing()
            self._open |= recording.record_started(
                self._database, self._lease, generations, policy_document
            )

    def record_outcomes(
        self,
        generations: Sequence[Generation],
        *,
        declared_categories: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        """Record how started generations ended, all of them or none.

        `declared_categories` has, by filter, the categories its plugin declares; others are kept
        as payloads. Raises AlreadyRecordedError for a generation that has an outcome and
        UnknownNameError for one that was never started.
        """
        from muniment.store.recording import generations as recording

        if not generations:
            return
        declared = declared_categories or {}
        recording.record_outcomes(self._database, generations, declared, self._open)
        for generation in generations:
            self._open.pop(generation.id, None)

    def record_interruptions(self) -> int:
        """Record that generations whose process is gone were interrupted; return how many."""
        from muniment.store.recording import generations

        return generations.record_interruptions(self._database)

    def record_replay(self, replay: Replay, actor: str) -> None:
        """Record what came of making a generation again, and who asked for it."""
        from muniment.store.recording import events

        events.record_replay(self._database, replay, actor)

    # ---- finding -----------------------------------------------------------------------------

    def generation(self, id: str) -> Generation:
        """Return everything kept of the generation of that whole id; UnknownNameError if none."""
        return loader.generation_of(self._database, id)

    def find(self, ref: str) -> str:
        """Return the id that a unique beginning or end (four characters at least) or `last` means.

        Raises UnknownNameError and AmbiguousNameError.
        """
        return loader.find(self._database, ref)

    def generations(self, query: Query | None = None) -> Iterator[Generation]:
        """Yield the generations that a query wants, the newest first, without their traces."""
        return loader.generations(self._database, query or Query())

    def search(
        self, wanted: str, query: Query | None = None, *, ranked: bool = False
    ) -> Iterator[Hit]:
        """Yield the generations whose prompts, outputs or reasons hold all that is wanted.

        The newest come first; with `ranked` the best of the newest 10,000. Words between quotes
        stand together, nothing else has a meaning of its own.
        """
        from muniment.store.search import engine

        return engine.search(self._database, wanted, query or Query(), ranked=ranked)

    def stats(self, query: Query | None = None) -> Stats:
        """Count the generations that a query wants."""
        from muniment.store.queries import stats

        return stats.stats(self._database, query or Query())

    def tail(self, query: Query | None = None, *, follow: bool) -> Iterator[Generation]:
        """Yield the last generations that a query wants, the oldest first.

        With `follow`, those that end from now on come after them, for ever.
        """
        from muniment.store.queries import tail

        return tail.tail(self._database, query or Query(limit=10), follow=follow)

    def lineage(self, id: str) -> Lineage:
        """Return what the generation of that whole id was made from, and what from it."""
        from muniment.store.queries import lineage

        return lineage.lineage(self._database, id)

    def runs(self, limit: int | None = None) -> Iterator[Run]:
        """Yield runs, the newest first."""
        return runs.runs(self._database, limit)

    def run(self, id: str) -> Run:
        """Return the run of that whole id; UnknownNameError if there is none."""
        return runs.run_of(self._database, id)

    def find_run(self, ref: str) -> str:
        """Return the run's id that a unique beginning or end of it, or `last`, means."""
        return runs.find_run(self._database, ref)

    def lines(self, run_id: str) -> Iterator[Line]:
        """Yield each line of a batch in order, with its completed attempt or else the latest."""
        return runs.lines(self._database, run_id)

    def replays(self, id: str) -> list[Replayed]:
        """Return the replays of the generation of that whole id, the oldest first."""
        from muniment.store.recording import events

        return events.replays_of(self._database, id)

    def sample(self, count: int, key: str) -> list[str]:
        """Return the ids of `count` completed generations, chosen by a key; see `events.sample`."""
        from muniment.store.recording import events

        with self._database.reading() as connection:
            return events.sample(connection, count, key)

    # ---- taking out --------------------------------------------------------------------------

    def export(self, target: Path, format: str, query: Query | None = None) -> Export:
        """Return an export of the wanted generations to a file; its `run` writes it.

        `format` is `jsonl`, `csv` or `parquet`. What is recorded after this is not in it. Raises
        MunimentError where what the format needs is not installed.
        """
        from muniment.store.export import Export

        return Export.begin(self._database, target, format, query or Query())

    def resume_export(self, target: Path) -> Export:
        """Return the export to that file which was stopped; ExportError where there is none."""
        from muniment.store.export import Export

        return Export.resume(self._database, target)

    def export_to(
        self, output: BinaryIO, format: str, query: Query | None = None, processes: int = 1
    ) -> int:
        """Write the wanted generations to a stream; return how many there are.

        Many are shared among so many `processes`, as `workers` says.
        """
        from muniment.store.export import stream

        return stream(self._database, output, format, query or Query(), processes)

    # ---- proving -----------------------------------------------------------------------------

    @cached_property
    def log(self) -> str:
        """The identity of the ledger: 32 hexadecimal digits."""
        from muniment.store.recording import tree_heads

        with self._database.reading() as connection:
            return tree_heads.log_of(connection)

    @property
    def wrote(self) -> bool:
        """Whether this object may have added entries, which a signature should cover."""
        return self._database.wrote

    def sign(self, signer: Sign) -> Note:
        """Have the ledger's head signed while nobody else writes, and keep the checkpoint."""
        from muniment.store.recording import tree_heads

        with self._database.writing() as connection:
            return tree_heads.sign(connection, signer)

    def signed(self) -> list[Note]:
        """Return the last checkpoint that each key signed, that of the most entries first."""
        from muniment.store.recording import tree_heads

        with self._database.reading() as connection:
            return tree_heads.signed(connection)

    def root(self, size: int) -> bytes | None:
        """Return the root of the first so many entries; None where there are fewer."""
        from muniment.store.recording import tree_heads

        with self._database.reading() as connection:
            return tree_heads.root(connection, size)

    def prove(self, id: str, note: Note, disclose: Collection[str] = ()) -> Proof:
        """Return the proof that the generation of that whole id was signed by a checkpoint.

        `disclose` has the kinds of payloads that the proof lays open. Raises NotProvableError
        where the checkpoint is older or a payload is not there, VerificationError where the
        ledger is not the one that was signed.
        """
        from muniment.store.verification.prove import prove

        with self._database.reading() as connection:
            return prove(connection, id, note, disclose)

    # ---- the store itself --------------------------------------------------------------------

    def verify(
        self,
        *,
        projections: bool = False,
        payloads: bool = False,
        search: bool = False,
        key: PublicKey | None = None,
        held: Sequence[TrustedCheckpoint] = (),
        since: TrustedCheckpoint | None = None,
        progress: Progress | None = None,
        processes: int = 1,
    ) -> Verification:
        """Check the ledger, and where asked projections, payloads and search index against it.

        Signatures are checked by `key`. The ledger must continue the checkpoints that are `held`
        outside it; the entries that `since` covers are not read again. A large store is checked by
        so many `processes`; a program that gives more than one must be one that
        `multiprocessing` can start again, behind `if __name__ == "__main__"`.
        """
        from muniment.store.verification.verify import verify

        return verify(
            self._database,
            projections=projections,
            payloads=payloads,
            search=search,
            key=key,
            trusted=held,
            since=since,
            progress=progress,
            processes=processes,
        )

    def rebuild(self, progress: Progress | None = None) -> dict[str, int]:
        """Make the tables to find by again, from entries and payloads; return their rows.

        Raises StoreError, and changes nothing, where these cannot be read.
        """
        from muniment.store.recording.rebuild import rebuild

        return rebuild(self._database, progress)

    def status(self) -> StoreStatus:
        """Return where the store stands."""
        revision = schema_version.revision(self._database)
        if revision is None:
            raise StoreVersionError(self.url, f"{self._database.name} is no store any more")
        with self._database.reading() as connection:
            entries = connection.scalar(select(ledger_head.c.size)) or 0
        return StoreStatus(
            self.url, self.path, revision, schema_version.HEAD, entries, self._database.size()
        )

    def upgrade(self) -> Path | None:
        """Bring the schema to this version, whole or not at all.

        Return the file that an SQLite store was copied to before; None where nothing was copied.
        """
        return schema_version.upgrade(self._database)
