"""Verifying: nothing that the database says about itself is believed.

Entries are read in order and hashed again; the tree that they make must be the one whose nodes
and head are stored. Where projections or payloads are to be checked, each entry is read too: it
must be canonical, fit its kind, and name earlier entries of the kinds it should; then every row
(`comparing.py`) and every payload (`commitments.py`) is compared with what the entries say. All of
it happens in one reading transaction, page by page, so that memory stays level and writers are not
in the way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from sqlalchemy import Connection, Row, func, or_, select

from muniment.errors import UsageError
from muniment.ledger.entries import Body
from muniment.ledger.keys import PublicKey
from muniment.ledger.kinds import FIELDS
from muniment.ledger.schema import named, read
from muniment.ledger.tree import (
    Frontier,
    MissingNodesError,
    Node,
    frontier,
    leaf_hash,
    leaf_hashes,
)
from muniment.store import heads
from muniment.store.commitments import PayloadComparison
from muniment.store.comparing import ProjectionComparison
from muniment.store.database import Database
from muniment.store.problems import Problem, Report
from muniment.store.raw import raw
from muniment.store.signatures import Held, SignatureComparison
from muniment.store.tables import entry, ledger_head, node

PAGE = 2000  # entries checked at once

Page: TypeAlias = Sequence[tuple[int, Body]]


class Comparison(Protocol):
    """Something else to check, told the entries that can be read."""

    def page(self, page: Page, low: int, high: int) -> None:
        """Check what belongs to the entries from number `low` to `high`, of which `page` has
        those that can be read, in order.
        """

    def finish(self) -> None:
        """Check what belongs to no entry."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What was checked and what was found.

    `root` is the tree's root in hexadecimal, computed from the entries; `checked` names what was
    looked at: `tree`, `signatures`, `entries`, `projections`, `payloads`. `not_read` is the number
    of the oldest entries that were taken as a checkpoint has them, `unsigned_tail` of the newest
    ones that no good signature covers.
    """

    ok: bool
    checked: list[str]
    entries: int
    root: str
    not_read: int
    unsigned_tail: int
    problems: list[Problem]


def verify(
    database: Database,
    *,
    projections: bool,
    payloads: bool,
    key: PublicKey | None = None,
    held: Sequence[Held] = (),
    since: Held | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Verification:
    """Check the ledger, and where asked the projections and payloads against it.

    `key` is whose signatures are checked, `held` what checkpoints the ledger must continue. The
    entries that `since` covers are not read again, unless what is kept of them does not make its
    root; then they are, to say what is wrong.
    """
    if since is not None and (projections or payloads):
        raise UsageError("what is compared with the entries needs all of them: leave away --since")
    report = Report()
    with database.reading() as connection:
        total = connection.scalar(select(func.count()).select_from(entry)) or 0
        start = _start(connection, since)
        signatures = SignatureComparison(
            connection, report, key, [*held, *([since] if since else [])]
        )
        tree = _Tree(connection, report, start, signatures.sizes)
        entries = _Entries(report) if projections or payloads else None
        comparisons: list[Comparison] = []
        if projections:
            comparisons.append(ProjectionComparison(connection, report))
        if payloads:
            comparisons.append(PayloadComparison(connection, report))
        for page in _pages(connection, start.size):
            low, high = page[0].seq, page[-1].seq
            tree.page(page)
            if entries is not None:
                found = entries.page(page)
                for comparison in comparisons:
                    comparison.page(found, low, high)
            if progress:
                progress("entries", tree.frontier.size, total)
        for comparison in comparisons:
            comparison.finish()
        log = _log(connection) if entries is None else entries.log
        tree.finish(log)
        unsigned = signatures.finish(tree.roots, tree.frontier.size, log)
    checked = ["tree"]
    checked += ["signatures"] if key is not None else []
    checked += ["entries"] if entries is not None else []
    checked += ["projections"] if projections else []
    checked += ["payloads"] if payloads else []
    return Verification(
        not report.problems,
        checked,
        tree.frontier.size,
        tree.frontier.root().hex(),
        tree.start,
        unsigned,
        report.problems,
    )


_Row: TypeAlias = Row[*tuple[Any, ...]]


def _start(connection: Connection, since: Held | None) -> Frontier:
    """Return the tree that is not read again: that of a checkpoint, if its nodes make its root."""
    if since is None:
        return Frontier()
    checkpoint = since.note.checkpoint
    try:
        edge = frontier(checkpoint.size, heads.nodes(connection))
    except MissingNodesError:
        return Frontier()
    return edge if edge.root() == checkpoint.root else Frontier()


def _pages(connection: Connection, start: int) -> Iterator[Sequence[_Row]]:
    statement = select(*raw(entry)).order_by(entry.c.seq).limit(PAGE)
    page = connection.execute(statement.where(entry.c.seq >= start) if start else statement).all()
    while page:
        yield page
        page = connection.execute(statement.where(entry.c.seq > page[-1].seq)).all()


class _Tree:
    """The tree that the entries make, and whether its nodes and head are those that are kept."""

    def __init__(
        self, connection: Connection, report: Report, start: Frontier, sizes: Sequence[int]
    ) -> None:
        """Go on from a tree; the roots of those sizes are noted in `roots`."""
        self._connection, self._report = connection, report
        self._nodes = 0
        self.start = start.size
        self.frontier = Frontier(start.size, start.peaks)
        kept = [size for size in sizes if size <= self.start]
        self.roots = {size: heads.root(connection, size) for size in kept}
        self._sizes = list(sizes[len(kept) :])

    def page(self, page: Sequence[_Row]) -> None:
        """Hash the entries of a page."""
        leaves = self._leaves(page)
        completed = self._extend(leaves)
        for level in {made.level for made in completed}:
            self._compare_nodes(level, [made for made in completed if made.level == level])

    def _leaves(self, page: Sequence[_Row]) -> list[bytes]:
        """Return the leaf hashes that the entries of a page have, saying where they should not."""
        expected = self.frontier.size
        # Almost always all is well, which is seen in a third of the time for the whole page.
        column = dict(zip(entry.c.keys(), zip(*page, strict=True), strict=True))
        if column["seq"] == tuple(range(expected, expected + len(page))):
            with contextlib.suppress(TypeError):  # bytes that are no bytes
                leaves = leaf_hashes(column["canonical_bytes"])
                if leaves == list(column["leaf_hash"]):
                    return leaves
        leaves = []
        for row in page:
            seq, data = row.seq, row.canonical_bytes
            if seq != expected:
                gap = f"entries {expected} to {seq - 1}" if seq > expected else "numbers"
                self._add("tree", f"entry {seq}", f"{gap} before it are missing or out of order")
                expected = seq
            expected += 1
            if not isinstance(data, bytes):
                self._add("entry", f"entry {seq}", "its bytes are not bytes")
                data = str(data).encode(errors="replace")
            leaf = leaf_hash(data)
            if leaf != row.leaf_hash:
                self._add("tree", f"entry {seq}", "its bytes do not hash to its leaf hash")
            leaves.append(leaf)
        return leaves

    def _extend(self, leaves: Sequence[bytes]) -> list[Node]:
        """Add the leaves, stopping where a root is wanted; return the nodes completed."""
        completed: list[Node] = []
        while self._sizes and self._sizes[0] <= self.frontier.size + len(leaves):
            stop = self._sizes.pop(0) - self.frontier.size
            completed += self.frontier.extend(leaves[:stop])
            leaves = leaves[stop:]
            self.roots[self.frontier.size] = self.frontier.root()
        return completed + self.frontier.extend(leaves)

    def _compare_nodes(self, level: int, expected: Sequence[Node]) -> None:
        found = self._connection.execute(
            select(node.c.index.label("number"), *raw(node, "hash")).where(
                node.c.level == level,
                node.c.index.between(expected[0].index, expected[-1].index),
            )
        )
        kept: dict[int, Any] = dict(found.tuples().all())
        self._nodes += len(kept)
        for made in expected:
            if kept.get(made.index) != made.hash:
                first, last = made.index << 8 * level, (made.index + 1 << 8 * level) - 1
                self._add(
                    "tree",
                    f"node {level}/{made.index}",
                    f"entries {first} to {last} do not make the node that is kept",
                )

    def finish(self, log: str | None) -> None:
        """Compare the head; `log` is the ledger's identity by its first entry."""
        new = [(node.c.level == n) & (node.c.index >= self.start >> 8 * n) for n in range(1, 8)]
        counted = select(func.count()).select_from(node)
        there = self._connection.scalar(counted.where(or_(*new)) if self.start else counted) or 0
        if there != self._nodes:
            self._add("tree", "node", f"there are {there} nodes, the entries make {self._nodes}")
        rows = self._connection.execute(select(*raw(ledger_head))).mappings().all()
        if len(rows) != 1 or rows[0]["id"] != 1:
            self._add(
                "head", "ledger_head", f"there must be one head, number 1; there are {len(rows)}"
            )
            return
        head, frontier = rows[0], self.frontier
        if head["size"] != frontier.size:
            self._add(
                "head",
                "ledger_head.size",
                f"the head says {head['size']} entries, there are {frontier.size}",
            )
        if head["frontier"] != bytes(frontier):
            self._add(
                "head",
                "ledger_head.frontier",
                "the entries do not make the tree whose head is stored",
            )
        if head["log_id"] != log:
            self._add(
                "head", "ledger_head.log_id", "the head is of another ledger than the entries"
            )

    def _add(self, kind: str, where: str, message: str) -> None:
        self._report.add(kind, where, message)


def _log(connection: Connection) -> str | None:
    """Return the identity that the first entry gives the ledger."""
    data: Any = connection.scalar(select(*raw(entry, "canonical_bytes")).where(entry.c.seq == 0))
    try:
        body = read(data)
        return body["log"] if body["kind"] == "genesis" else None
    except (ValueError, TypeError, RecursionError):
        return None


class _Entries:
    """What the entries say, read by the fields of their kinds."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._kinds = bytearray()  # of every entry so far, by number
        self.log: str | None = None

    def page(self, page: Sequence[_Row]) -> list[tuple[int, Body]]:
        """Return those of the page that can be read."""
        found = []
        for row in page:
            seq = row.seq
            try:
                body = read(row.canonical_bytes)
            except (ValueError, TypeError, RecursionError) as error:
                self._add(seq, f"its bytes are no entry: {error}")
                continue
            kind, version = body["kind"], body["version"]
            if kind != row.kind:
                self._add(seq, "its kind is not what its bytes say")
            if version != row.version:
                self._add(seq, "its version is not what its bytes say")
            if (kind == "genesis") != (seq == 0):
                self._add(seq, "the ledger must begin with genesis")
            elif seq == 0:
                self.log = body["log"]
            for wanted, number in named(body):
                if number >= len(self._kinds) or self._kinds[number] != _CODES[wanted]:
                    self._add(seq, f"it names entry {number}, which is no earlier {wanted} entry")
            if seq >= len(self._kinds):
                self._kinds.extend(bytes(seq - len(self._kinds)))
                self._kinds.append(_CODES[kind])
            found.append((seq, body))
        return found

    def _add(self, seq: int, message: str) -> None:
        self._report.add("entry", f"entry {seq}", message)


_CODES = {kind: code for code, kind in enumerate(sorted({kind for kind, _ in FIELDS}), 1)}
