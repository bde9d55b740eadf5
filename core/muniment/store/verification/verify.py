"""Verify the store, treating every stored value as untrusted.

The schema must be the one that the migrations make (`database/catalog.py`). Entries are read in
order and hashed again. Their tree must have the stored nodes and the stored head (`tree`). Each
entry is decoded. It must be canonical, match the schema of its kind, and refer only to earlier
entries of the right kinds (`entries`). If requested, every row (`projections`), every payload
(`payloads`) and the search index (`search_index`) is compared with the entries. SQLite then also
compares every index with its table.

The ledger is divided into ranges (`ranges`), which several processes can check in parallel
(`verify_pool`). This module joins their results in order. All checks read one snapshot of the
database, page by page, so that memory use is constant and writers are not blocked.
"""

from __future__ import annotations

import secrets
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import compress
from typing import TypeAlias

from sqlalchemy import Connection, func, select

from muniment.errors import StoreError, UsageError, VerificationError
from muniment.ledger.entries import GenesisEntry
from muniment.ledger.keys import PublicKey
from muniment.ledger.schema import decode
from muniment.ledger.tree import Frontier, MissingNodesError, frontier
from muniment.representation import showing
from muniment.store.database import catalog
from muniment.store.database.engine import Database
from muniment.store.database.nodes import node_reader
from muniment.store.database.raw import any_text, raw, tuples
from muniment.store.database.tables import entry
from muniment.store.errors import UNREADABLE
from muniment.store.verification.payloads import compare_payload_count
from muniment.store.verification.projections import compare_row_counts
from muniment.store.verification.ranges import (
    RANGE_SIZE,
    Checker,
    CheckOptions,
    EntryRange,
    RangeResult,
    Result,
    Task,
    entry_ranges,
)
from muniment.store.verification.report import Problem, Report
from muniment.store.verification.search_index import TermChecksums, compare_index
from muniment.store.verification.signatures import SignatureComparison, TrustedCheckpoint
from muniment.store.verification.tree import LedgerTree
from muniment.store.verification.verify_pool import CheckerPool


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of a verification.

    Attributes:
        ok: Whether there are no problems.
        checked: The checks that were made: `schema`, `tree`, `signatures` if a key is known,
            `entries`, and `projections`, `payloads` and `search` if requested. With one of these
            three on SQLite also `integrity`.
        entries: The number of entries.
        root: The root of their tree in hexadecimal, computed from their bytes.
        not_read: The number of the oldest entries that were not read because a trusted checkpoint
            covers them.
        unsigned_tail: The number of the newest entries that no valid signature covers. All entries
            if no key is known.
        problems: The problems that were found.
    """

    ok: bool
    checked: list[str]
    entries: int
    root: str
    not_read: int
    unsigned_tail: int
    problems: list[Problem]

    __repr__ = showing("ok", "entries", "checked", "problems")


Progress: TypeAlias = Callable[[str, int, int], None]
"""A function that receives the kind of checked items, the number checked and the total."""
CheckAll: TypeAlias = Callable[[Iterable[Task]], Iterator[Result]]
"""A function that yields the results of tasks, in any order."""


def verify(
    database: Database,
    *,
    projections: bool,
    payloads: bool,
    search: bool = False,
    key: PublicKey | None = None,
    trusted: Sequence[TrustedCheckpoint] = (),
    since: TrustedCheckpoint | None = None,
    progress: Progress | None = None,
    processes: int = 1,
    range_size: int = RANGE_SIZE,
) -> Verification:
    """Verify the ledger and, if requested, the projections, payloads and search index.

    `key` is the public key for the signatures. The ledger must begin with the entries of each
    of the `trusted` checkpoints, which come from outside the store. The entries that `since`
    covers are read only if their stored nodes do not have its root, to locate the difference.
    Up to `processes` processes check ranges of `range_size` entries, a power of two from 2**8
    to 2**15. Raises UsageError for `since` together with a check that needs all entries.
    """
    options = CheckOptions(projections, payloads, search, secrets.token_bytes(16))
    if since is not None and options.contents:
        raise UsageError(
            "the checks of projections, payloads and search need all entries; remove --since"
        )
    report, row_counts, checksums = Report(), Counter[str](), TermChecksums()
    indexed: TermChecksums | None = None
    skipped = since.note.checkpoint.size if since else 0
    with (
        _altered_schema_as_verification_error(database),
        _open_checker(database, options, processes, skipped, range_size) as (connection, check_all),
        any_text(connection),
    ):
        for where, message in catalog.differences(connection):
            report.add("schema", where, message)
        integrity = options.contents and connection.dialect.name == "sqlite"
        others: tuple[Task, ...] = ("search", "integrity")
        tasks = compress(others, (search, integrity))
        start = _trusted_frontier(connection, since)
        signatures = SignatureComparison(
            connection, report, key, [*trusted, *([since] if since else [])]
        )
        tree = LedgerTree(connection, report, start, signatures.sizes)
        total = _expected_size(connection)
        ranges = entry_ranges(connection, start.size, range_size)
        for result in _results_in_order(check_all, ranges, tasks):
            if isinstance(result, list):
                report.extend(result)
                continue
            if not isinstance(result, RangeResult):
                indexed = result
                continue
            tree.add(*result.range, result.last, result.tree, result.nodes)
            report.extend(result.problems)
            row_counts += result.row_counts
            checksums.merge(result.checksums)
            if progress:
                progress("entries", tree.frontier.size, total)
        if projections:
            compare_row_counts(connection, report, row_counts)
        if payloads:
            compare_payload_count(connection, report, row_counts)
        if search:
            compare_index(report, checksums, indexed)
        log = _log_id(connection)
        tree.finish(log)
        unsigned = signatures.finish(tree.roots, tree.frontier.size, log)
    checks = {
        "schema": True,
        "tree": True,
        "signatures": key is not None,
        "entries": True,
        "integrity": integrity,
        "projections": projections,
        "payloads": payloads,
        "search": search,
    }
    return Verification(
        not report.problems,
        [name for name, done in checks.items() if done],
        tree.frontier.size,
        tree.frontier.root().hex(),
        tree.start,
        unsigned,
        report.problems,
    )


@contextmanager
def _altered_schema_as_verification_error(database: Database) -> Iterator[None]:
    """Raise VerificationError instead of an error that an altered schema may have caused."""
    try:
        yield
    except StoreError as error:
        with database.reading() as connection:
            altered = list(catalog.differences(connection))
        if not altered:
            raise
        raise VerificationError(
            f"the store {database.name} cannot be read, because its schema was altered; undo the "
            "changes, or restore a backup: "
            + "; ".join(f"{where}: {message}" for where, message in altered)
        ) from error


@contextmanager
def _open_checker(
    database: Database, options: CheckOptions, processes: int, skipped: int, range_size: int
) -> Iterator[tuple[Connection, CheckAll]]:
    """Yield a connection with a snapshot, and the function that does tasks in that snapshot.

    The first `skipped` entries will not be checked. Several processes do the tasks if there is
    a range for each of them and if the database can share the snapshot with them. Otherwise
    this process does them.
    """
    if processes > 1:
        with database.reading() as connection:
            unchecked = max(_expected_size(connection) - skipped, 0)
            processes = min(processes, unchecked // range_size)
    if processes <= 1:
        with database.reading() as connection:
            yield connection, partial(map, Checker(connection, options).check)
        return
    with CheckerPool(database, options, processes) as pool:
        pool.wait_until_ready()
        with database.reading_shared(pool.begin_reading) as connection:
            local = partial(map, Checker(connection, options).check)
            yield connection, pool.check_all if pool.has_snapshot else local


def _results_in_order(
    check_all: CheckAll, ranges: Iterable[EntryRange], others: Iterable[Task]
) -> Iterator[Result]:
    """Yield the result of each range in the order of the ranges.

    The other tasks are started first, and their results are not held back for the ranges.
    """
    unfinished: deque[EntryRange] = deque()
    early: dict[EntryRange, RangeResult] = {}

    def tasks() -> Iterator[Task]:
        yield from others
        for entry_range in ranges:
            unfinished.append(entry_range)
            yield entry_range

    for result in check_all(tasks()):
        if not isinstance(result, RangeResult):
            yield result
            continue
        early[result.range] = result
        while unfinished and unfinished[0] in early:
            yield early.pop(unfinished.popleft())


def _expected_size(connection: Connection) -> int:
    """Return the number of entries that there should be, according to the highest number."""
    last: int | None = connection.scalar(select(func.max(entry.c.seq)))
    return 0 if last is None else last + 1


def _trusted_frontier(connection: Connection, since: TrustedCheckpoint | None) -> Frontier:
    """Return the tree of a trusted checkpoint, if the stored nodes have its root.

    Otherwise return an empty tree.
    """
    if since is None:
        return Frontier()
    checkpoint = since.note.checkpoint
    try:
        stored = frontier(checkpoint.size, node_reader(connection))
    except MissingNodesError:
        return Frontier()
    return stored if stored.root() == checkpoint.root else Frontier()


def _log_id(connection: Connection) -> str | None:
    """Return the identity of the ledger according to its first entry.

    Return None if that entry is missing, unreadable or not of the kind `genesis`.
    """
    statement = select(*raw(entry, "canonical_bytes")).where(entry.c.seq == 0)
    with suppress(*UNREADABLE):
        for (data,) in tuples(connection, statement):
            first = decode(data)
            return first.log if isinstance(first, GenesisEntry) else None
    return None
