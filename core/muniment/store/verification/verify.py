"""Verifying: nothing that the database says about itself is believed.

Entries are read in order and hashed again; the tree that they make must be the one whose nodes
and head are stored (`trees.py`). Where more is to be checked, each entry is read too: it must be
canonical, fit its kind, and name earlier entries of the kinds it should (`entries.py`); then every
row (`rows.py`), every payload (`payloads.py`) and the search index (`terms.py`) is compared with
what the entries say.

The ledger is cut into ranges (`ranges.py`), which can be checked beside one another by several
processes (`processes.py`); what they find is put together here, in order. All of it happens in one
state of the database, page by page, so that memory stays level and writers are not in the way.
"""

from __future__ import annotations

import secrets
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy import Connection, func, select

from muniment.errors import UsageError
from muniment.ledger.keys import PublicKey
from muniment.ledger.schema import read
from muniment.ledger.tree import Frontier, MissingNodesError, frontier
from muniment.store.database.engine import Database
from muniment.store.database.raw import any_text, raw, tuples
from muniment.store.database.tables import entry
from muniment.store.errors import UNREADABLE
from muniment.store.recording import tree_heads
from muniment.store.verification.payloads import compare_count
from muniment.store.verification.projections import compare_counts
from muniment.store.verification.ranges import (
    RANGE_SIZE,
    Answer,
    Checker,
    CheckOptions,
    EntryRange,
    RangeResult,
    SearchIndexTask,
    Task,
    entry_ranges,
)
from muniment.store.verification.report import Problem, Report
from muniment.store.verification.search_index import Index, TermChecksums, compare_index
from muniment.store.verification.signatures import SignatureComparison, TrustedCheckpoint
from muniment.store.verification.tree import Tree
from muniment.store.verification.verify_pool import CheckerPool


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked and what was found.

    `root` is the tree's root in hexadecimal, computed from the entries; `checked` names what was
    looked at: `tree`, `signatures`, `entries`, `projections`, `payloads`, `search`. `not_read` is
    the number of the oldest entries that were taken as a checkpoint has them, `unsigned_tail` of
    the newest ones that no good signature covers.
    """

    ok: bool
    checked: list[str]
    entries: int
    root: str
    not_read: int
    unsigned_tail: int
    problems: list[Problem]


Progress: TypeAlias = Callable[[str, int, int], None]
Check: TypeAlias = Callable[[Iterable[Task]], Iterator[Answer]]


def verify(
    database: Database,
    *,
    projections: bool,
    payloads: bool,
    search: bool = False,
    key: PublicKey | None = None,
    held: Sequence[TrustedCheckpoint] = (),
    since: TrustedCheckpoint | None = None,
    progress: Progress | None = None,
    processes: int = 1,
    span: int = RANGE_SIZE,
) -> Verification:
    """Check the ledger, and where asked projections, payloads and search index against it.

    `key` is whose signatures are checked, `held` what checkpoints the ledger must continue. The
    entries that `since` covers are not read again, unless what is kept of them does not make its
    root; then they are, to say what is wrong. Up to so many `processes` check ranges of `span`
    entries, a power of two from 2**8 to 2**15.
    """
    asked = CheckOptions(projections, payloads, search, secrets.token_bytes(16))
    if since is not None and asked.entries:
        raise UsageError("what is compared with the entries needs all of them: leave away --since")
    report, met, sums, index = (
        Report(),
        Counter[str](),
        TermChecksums(),
        Index(TermChecksums(), damaged=False),
    )
    known = since.note.checkpoint.size if since else 0
    with (
        _checking(database, asked, processes, known, span) as (connection, check),
        any_text(connection),
    ):
        start = _start(connection, since)
        signatures = SignatureComparison(
            connection, report, key, [*held, *([since] if since else [])]
        )
        tree = Tree(connection, report, start, signatures.sizes)
        total = _size(connection)
        for found in _in_order(check, entry_ranges(connection, start.size, span), search):
            if isinstance(found, Index):
                index = found
                continue
            tree.add(*found.span, found.last, found.tree, found.nodes)
            report.extend(found.problems)
            met += found.met
            sums.merge(found.sums)
            if progress:
                progress("entries", tree.frontier.size, total)
        if projections:
            compare_counts(connection, report, met)
        if payloads:
            compare_count(connection, report, met)
        if search:
            compare_index(report, sums, index)
        log = _log(connection)
        tree.finish(log)
        unsigned = signatures.finish(tree.roots, tree.frontier.size, log)
    checks = {
        "tree": True,
        "signatures": key is not None,
        "entries": asked.entries,
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
def _checking(
    database: Database, asked: CheckOptions, processes: int, known: int, span: int
) -> Iterator[tuple[Connection, Check]]:
    """One state of the database, and what does tasks in it: processes where they are worth it.

    The first `known` entries need not be read. Where other processes cannot be given the same
    state, all is done here.
    """
    if processes > 1:
        with database.reading() as connection:
            processes = min(processes, max(_size(connection) - known, 0) // span)
    if processes <= 1:
        with database.reading() as connection:
            yield connection, Checker(connection, asked).each
        return
    with CheckerPool(database, asked, processes) as checkers:
        checkers.ready()
        with database.reading_shared(checkers.begin) as connection:
            alone = Checker(connection, asked)
            yield connection, checkers.each if checkers.begun else alone.each


def _in_order(
    check: Check, ranges: Iterable[EntryRange], search: bool
) -> Iterator[RangeResult | Index]:
    """Yield what is found in each range, in order, and of the index as soon as it is known."""
    asked: deque[EntryRange] = deque()
    early: dict[EntryRange, RangeResult] = {}

    def tasks() -> Iterator[Task]:
        if search:
            yield SearchIndexTask()
        for one in ranges:
            asked.append(one)
            yield one

    for answer in check(tasks()):
        if isinstance(answer, Index):
            yield answer
            continue
        early[answer.span] = answer
        while asked and asked[0] in early:
            yield early.pop(asked.popleft())


def _size(connection: Connection) -> int:
    """Return how many entries there should be, by the number of the last."""
    last: int | None = connection.scalar(select(func.max(entry.c.seq)))
    return 0 if last is None else last + 1


def _start(connection: Connection, since: TrustedCheckpoint | None) -> Frontier:
    """Return the tree that is not read again: that of a checkpoint, if its nodes make its root."""
    if since is None:
        return Frontier()
    checkpoint = since.note.checkpoint
    try:
        edge = frontier(checkpoint.size, tree_heads.nodes(connection))
    except MissingNodesError:
        return Frontier()
    return edge if edge.root() == checkpoint.root else Frontier()


def _log(connection: Connection) -> str | None:
    """Return the identity that the first entry gives the ledger."""
    first = select(*raw(entry, "canonical_bytes")).where(entry.c.seq == 0)
    for (data,) in tuples(connection, first):
        try:
            body = read(data)
        except UNREADABLE:
            return None
        return body["log"] if body["kind"] == "genesis" else None
    return None
