"""The public interface of the store.

The modules that write and verify are imported in the methods that need them, because most commands
only read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from sqlalchemy import select

from muniment.errors import StoreVersionError
from muniment.representation import showing
from muniment.store.database.engine import Database, Progress
from muniment.store.database.leases import Lease
from muniment.store.database.opening import open_database
from muniment.store.database.tables import ledger_head
from muniment.store.errors import corruption_as_store_error
from muniment.store.queries.finder import Finder
from muniment.store.queries.query import Query
from muniment.store.recording import schema_version
from muniment.types.generations import Generation

if TYPE_CHECKING:
    from muniment.ledger.checkpoints import Note
    from muniment.ledger.keys import PublicKey
    from muniment.ledger.proofs import Proof
    from muniment.store.database.read_only import SelectedRows
    from muniment.store.export import Export, OutputFiles
    from muniment.store.queries.stats import Stats
    from muniment.store.recording.backup_register import Backup
    from muniment.store.recording.events import Events
    from muniment.store.recording.experiments import Experiments
    from muniment.store.recording.inputs import InputNumbers
    from muniment.store.recording.scores import Scores
    from muniment.store.recording.trainings import Trainings
    from muniment.store.recording.tree_heads import Sign
    from muniment.store.retention.erasure import Erasures
    from muniment.store.retention.expiry import Retention
    from muniment.store.retention.protection import Holds
    from muniment.store.search.engine import Hit
    from muniment.store.verification.signatures import TrustedCheckpoint
    from muniment.store.verification.verify import Verification


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """The place, schema revision and size of a store.

    `path` is the file of an SQLite store, and None for PostgreSQL. `revision` is the schema of the
    store, and `head` is the newest schema. `size` is in bytes.
    """

    url: str
    path: Path | None
    revision: str
    head: str
    entries: int
    size: int

    __repr__ = showing()

    @property
    def current(self) -> bool:
        """Whether the store has the newest schema."""
        return self.revision == self.head


class Store(Finder, AbstractContextManager["Store"]):
    """The evidence of all generations: entries, payloads, query tables and search index.

    Threads of one process may share an object. A method that records returns after its commit is
    on disk.
    """

    __repr__ = showing("name")

    def __init__(self, database: Database) -> None:
        """Wrap an opened database. Use `Store.open` instead."""
        super().__init__(database)
        self._lease: Lease | None = None
        self._starting = threading.Lock()
        self._open: dict[str, int] = {}  # numbers of generations started here, without an outcome
        self.url = database.url
        self.name = database.name
        self.path = database.path

    @classmethod
    def open(
        cls, url: str, *, create: bool, outdated: bool = False, read_only: bool = False
    ) -> Store:
        """Open the store at a URL. With `create`, create it if it is missing.

        With `outdated`, a store with an older schema is opened too, for `upgrade`. With
        `read_only`, SQLite cannot write to the file. Raises
        NoStoreError for a missing store and StoreVersionError for another schema. Raises
        StoreError for a database that cannot be opened.
        """
        database = open_database(url, read_only=read_only)
        try:
            schema_version.require(database, create=create, older=outdated)
        except BaseException:
            database.close()
            raise
        return cls(database)

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the lease and close the database. A second call does nothing."""
        if self._lease is not None and not self._lease.inherited:
            self._lease.give_back()
        self._lease = None
        self._database.close()

    # ---- events, and what they do to payloads -------------------------------------------------

    @cached_property
    def events(self) -> Events:
        """Feedback, reviews, replays, installations and models."""
        from muniment.store.recording.events import Events

        return Events(self._database)

    @cached_property
    def trainings(self) -> Trainings:
        """The trainings of models."""
        from muniment.store.recording.trainings import Trainings

        return Trainings(self._database)

    @cached_property
    def scores(self) -> Scores:
        """The scores that were added to generations after their outcomes."""
        from muniment.store.recording.scores import Scores

        return Scores(self._database)

    @cached_property
    def experiments(self) -> Experiments:
        """Experiments and their generations."""
        from muniment.store.recording.experiments import Experiments

        return Experiments(self._database)

    @cached_property
    def holds(self) -> Holds:
        """Legal holds, which protect generations from erasure."""
        from muniment.store.retention.protection import Holds

        return Holds(self._database)

    @cached_property
    def retention(self) -> Retention:
        """Retention rules, and erasing the payloads that are older than they allow."""
        from muniment.store.retention.expiry import Retention

        return Retention(self._database)

    @cached_property
    def erasures(self) -> Erasures:
        """Erasing payloads, and the recorded erasures."""
        from muniment.store.retention.erasure import Erasures

        return Erasures(self._database)

    @cached_property
    def _input_numbers(self) -> InputNumbers:
        from muniment.store.recording.inputs import InputNumbers

        return InputNumbers(self._database)

    # ---- recording ---------------------------------------------------------------------------

    def record_started(self, generations: Sequence[Generation], *, policy_document: str) -> None:
        """Record generations of status `started` in one transaction.

        If `Generation.plugins` names the plugins, the name of the generator and the numeric
        parameters become part of the ledger and cannot be erased. A request that could not be
        resolved has no plugins. `policy_document` is the text of the policy that
        `Generation.policy` names. Raises AlreadyRecordedError for an id that is recorded, and
        for a line of a run that is completed or in progress.
        """
        if not generations:
            return
        from muniment.store.recording import generations as recording

        with self._starting:
            if self._lease is None or self._lease.inherited:
                self._lease = Lease(self._database)
                self.record_interruptions()
                self.erasures.finish()
            self._open |= recording.record_started(
                self._database, self._lease, self._input_numbers, generations, policy_document
            )

    def record_outcomes(
        self,
        generations: Sequence[Generation],
        *,
        declared_categories: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        """Record the outcomes of started generations in one transaction.

        `declared_categories` has the categories that the plugin of each filter declares. Other
        categories are stored as payloads. Raises AlreadyRecordedError for a generation with an
        outcome, and UnknownNameError for one that was not started.
        """
        from muniment.store.recording import generations as recording

        if not generations:
            return
        declared = declared_categories or {}
        recording.record_outcomes(self._database, generations, declared, self._open)
        for generation in generations:
            self._open.pop(generation.id, None)

    def record_interruptions(self) -> int:
        """Record the outcome `interrupted` for generations whose process has ended.

        Return the number of those generations.
        """
        from muniment.store.recording import generations

        return generations.record_interruptions(self._database)

    # ---- finding, besides the methods of `Finder` --------------------------------------------

    def search(
        self, text: str, query: Query | None = None, *, ranked: bool = False
    ) -> Iterator[Hit]:
        """Yield the generations whose texts contain all words of `text`.

        Words between quotes must be adjacent. No other character is an operator. The newest
        generations come first. With `ranked`, the best of the newest 10,000 come first.
        """
        from muniment.store.search import engine

        return engine.search(self._database, text, query or Query(), ranked=ranked)

    def search_count(self, text: str, query: Query | None = None) -> int | None:
        """Return how many generations `search` yields without a limit.

        It is None if the search index alone cannot tell, as for a phrase of several words.
        """
        from muniment.store.search import engine

        return engine.count(self._database, text, query or Query())

    def stats(
        self, query: Query | None = None, by: Sequence[str] = (), *, local_days: bool = False
    ) -> Stats:
        """Return statistics of the generations that match a query. `by` names groups to count.

        Days are in UTC, or with `local_days` in the local time zone.
        """
        from muniment.store.queries import stats

        with corruption_as_store_error(self.url):
            return stats.stats(self._database, query or Query(), by, local_days=local_days)

    def select(self, statement: str) -> AbstractContextManager[SelectedRows]:
        """Return a context manager that runs one SELECT statement and gives its rows.

        The statement cannot write. Texts are not compared with their commitments. Entering raises
        SqlError if the statement fails or is not a single SELECT.
        """
        from muniment.store.database import read_only

        return read_only.select(self._database, statement)

    # ---- taking out --------------------------------------------------------------------------

    def export(
        self,
        target: Path,
        format: str,
        query: Query | None = None,
        outputs: OutputFiles | None = None,
    ) -> Export:
        """Return an export of the matching generations to a file. Call its `run` to write it.

        `format` is `jsonl`, `csv` or `parquet`. The export has the generations recorded before
        this call. `outputs` has the options of the outputs, if `run` writes them too. Raises
        MunimentError if a package that the format needs is not installed.
        """
        from muniment.store.export import Export

        return Export.begin(self._database, target, format, query or Query(), outputs)

    def resume_export(self, target: Path) -> Export:
        """Return the unfinished export to a file. Raise ExportError if there is none."""
        from muniment.store.export import Export

        return Export.resume(self._database, target)

    def export_to(
        self,
        output: BinaryIO,
        format: str,
        query: Query | None = None,
        processes: int = 1,
        on_altered: Callable[[list[str]], None] = lambda ids: None,
    ) -> int:
        """Write the matching generations to a stream. Return the number of generations.

        A large export uses up to `processes` processes. `on_altered` receives the ids of the
        generations of each page with texts that were altered after they were recorded.
        """
        from muniment.store.export import stream

        with corruption_as_store_error(self.url):
            return stream(self._database, output, format, query or Query(), processes, on_altered)

    def backup(self, target: Path, progress: Progress | None = None) -> Backup:
        """Copy the store to a file, verify the copy and register it. Raise BackupError."""
        from muniment.store.backup import create_backup

        return create_backup(self._database, target, progress)

    def altered_schema(self) -> str:
        """Return the first difference of the schema from the migrations, or an empty text."""
        from muniment.store.database import catalog

        with self._database.reading() as connection:
            return catalog.first_problem(catalog.differences(connection))

    # ---- proving -----------------------------------------------------------------------------

    @cached_property
    def log(self) -> str:
        """The identity of the ledger: 32 hexadecimal digits."""
        from muniment.store.recording import tree_heads

        with self._database.reading() as connection:
            return tree_heads.log_of(connection)

    @property
    def wrote(self) -> bool:
        """Whether this object may have added entries that need a signature."""
        return self._database.wrote

    def sign(self, signer: Sign) -> Note:
        """Sign the head of the ledger with a function, and store the checkpoint.

        The write lock is held while the function runs.
        """
        from muniment.store.recording import tree_heads

        with self._database.writing() as connection:
            return tree_heads.sign(connection, signer)

    def signed(self) -> list[Note]:
        """Return the last checkpoint of each key, the largest first."""
        from muniment.store.recording import tree_heads

        with self._database.reading() as connection:
            return tree_heads.signed(connection)

    def root(self, size: int) -> bytes | None:
        """Return the root of the first `size` entries, or None if there are fewer."""
        from muniment.store.recording import tree_heads

        with self._database.reading() as connection:
            return tree_heads.root(connection, size)

    def prove(self, id: str, note: Note, disclose: Collection[str] = ()) -> Proof:
        """Return the proof that a checkpoint covers the generation with a complete id.

        `disclose` has the kinds of payloads to include. Raises UsageError if the checkpoint
        is older than the generation or a payload is missing. Raises VerificationError if the
        ledger is not the signed one.
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
        trusted: Sequence[TrustedCheckpoint] = (),
        since: TrustedCheckpoint | None = None,
        progress: Progress | None = None,
        processes: int = 1,
    ) -> Verification:
        """Verify the ledger and, if requested, the projections, payloads and search index.

        `key` is the public key for the signatures. The ledger must continue the `trusted`
        checkpoints, which come from outside the store. Entries that `since` covers are not read.
        Up to `processes` processes check a large store. A program that uses more than one must
        run its main code behind `if __name__ == "__main__"`, as `multiprocessing` requires.
        """
        from muniment.store.verification.verify import verify

        return verify(
            self._database,
            projections=projections,
            payloads=payloads,
            search=search,
            key=key,
            trusted=trusted,
            since=since,
            progress=progress,
            processes=processes,
        )

    def rebuild(self, progress: Progress | None = None) -> dict[str, int]:
        """Rebuild the query tables and the search index from entries and payloads.

        Return the number of rows of each table. Raises StoreError, and changes nothing, if an entry
        or a payload cannot be read.
        """
        from muniment.store.recording.rebuild import rebuild

        return rebuild(self._database, progress)

    def status(self) -> StoreStatus:
        """Return the place, schema revision and size of the store."""
        revision = schema_version.revision(self._database)
        if revision is None:
            raise StoreVersionError(self.url, f"{self._database.name} is not a store any more")
        with self._database.reading() as connection, corruption_as_store_error(self.url):
            entries = int(connection.scalar(select(ledger_head.c.size)) or 0)
        return StoreStatus(
            self.url, self.path, revision, schema_version.HEAD, entries, self._database.size()
        )

    def upgrade(self, progress: Progress | None = None) -> Path | None:
        """Upgrade the store to the newest schema.

        Return the file that an SQLite store was copied to before, or None if nothing was copied.
        """
        return schema_version.upgrade(self._database, progress)
