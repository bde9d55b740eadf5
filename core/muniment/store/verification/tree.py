"""The tree that the entries make, and whether its nodes and head are those that are kept.

Each range of entries is hashed by itself, as a tree of its own (`Leaves`); the trees of all ranges
in order make the ledger's (`Tree`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, func, or_, select

from muniment.ledger.tree import TILE_BITS, Frontier, Node, leaf_hash, leaf_hashes
from muniment.store.database.raw import Values, raw, tuples
from muniment.store.database.tables import entry, ledger_head, node
from muniment.store.recording import tree_heads
from muniment.store.verification.report import Report

PAGE = 4096  # entries in memory at once


HASHED = ("seq", "canonical_bytes", "leaf_hash")
WHOLE = (*HASHED, "kind", "version")


def pages(
    connection: Connection, low: int, high: int, columns: Sequence[str] = HASHED
) -> Iterator[Sequence[Values]]:
    """Yield the rows of the entries from number `low` to `high`, both included."""
    statement = select(*raw(entry, *columns)).order_by(entry.c.seq).limit(PAGE)
    statement = statement.where(entry.c.seq <= high)
    page = tuples(connection, statement.where(entry.c.seq >= low))
    while page:
        yield page
        page = tuples(connection, statement.where(entry.c.seq > page[-1][0]))


class RangeHasher:
    """The entries of one range, hashed again."""

    def __init__(self, low: int, report: Report) -> None:
        """Begin before entry number `low`."""
        self._report = report
        self.next = low  # number of the entry that should follow
        self.complete = True  # whether there is every entry from the first to the last
        self.tree = Frontier()
        self.nodes: list[Node] = []  # completed by the range alone, numbered from its beginning

    def page(self, rows: Sequence[Values]) -> None:
        """Hash the entries of a page."""
        leaves = leaf_hashes_of(rows)
        numbers, _, kept, *_ = zip(*rows, strict=True)
        if numbers != tuple(range(self.next, self.next + len(rows))) or leaves != list(kept):
            self._name(rows, leaves)
        self.next = numbers[-1] + 1
        self.nodes += self.tree.extend(leaves)

    def _name(self, rows: Sequence[Values], leaves: Sequence[bytes]) -> None:
        """Say of each entry what is wrong with it."""
        for (seq, data, kept, *_), leaf in zip(rows, leaves, strict=True):
            if seq != self.next:
                gap = f"entries {self.next} to {seq - 1} before it are missing or out of order"
                self._report.add("tree", f"entry {seq}", gap)
                self.complete = False
            self.next = seq + 1
            if not isinstance(data, bytes):
                self._report.add("entry", f"entry {seq}", "its bytes are not bytes")
            if leaf != kept:
                message = "its bytes do not hash to its leaf hash"
                self._report.add("tree", f"entry {seq}", message)


def leaf_hashes_of(rows: Sequence[Values]) -> list[bytes]:
    """Return the leaf hashes that entries have by their bytes; text counts as what it writes."""
    column = [row[1] for row in rows]
    try:
        return leaf_hashes(column)
    except TypeError:
        return [
            leaf_hash(data if isinstance(data, bytes) else str(data).encode(errors="replace"))
            for data in column
        ]


def compare_nodes(connection: Connection, report: Report, made: Iterable[Node]) -> int:
    """Compare nodes that follow one another with those kept; return how many of these there are."""
    met = 0
    levels: dict[int, list[Node]] = {}
    for one in made:
        levels.setdefault(one.level, []).append(one)
    for level, expected in levels.items():
        statement = select(node.c.index, *raw(node, "hash")).where(
            node.c.level == level, node.c.index.between(expected[0].index, expected[-1].index)
        )
        kept: dict[int, Any] = dict(tuples(connection, statement))
        met += len(kept)
        for one in expected:
            if kept.get(one.index) != one.hash:
                bits = TILE_BITS * level
                first, last = one.index << bits, (one.index + 1 << bits) - 1
                report.add(
                    "tree",
                    f"node {level}/{one.index}",
                    f"entries {first} to {last} do not make the node that is kept",
                )
    return met


class Tree:
    """The tree of all entries."""

    def __init__(
        self, connection: Connection, report: Report, start: Frontier, sizes: Sequence[int]
    ) -> None:
        """Go on from a tree; the roots of those sizes are noted in `roots`."""
        self._connection, self._report = connection, report
        self._nodes = 0
        self.start = self._next = start.size
        self.frontier = Frontier(start.size, start.peaks)
        kept = [size for size in sizes if size <= self.start]
        self.roots = {size: tree_heads.root(connection, size) for size in kept}
        self._sizes = list(sizes[len(kept) :])

    def add(self, low: int, high: int, last: int, tree: Frontier | None, nodes: int) -> None:
        """Add the entries from number `low` to `high`, of which there is at least one.

        `last` is the number of the last there is, `tree` is theirs, None where they are none by
        themselves; `nodes` is how many kept nodes it was compared with. Where it does not fit,
        since entries are missing or the range does not begin where a subtree does, or where a root
        inside it is wanted, they are hashed again.
        """
        if low > self._next:
            gap = f"entries {self._next} to {low - 1} before it are missing or out of order"
            self._add("tree", f"entry {low}", gap)
        self._next = last + 1
        self._nodes += nodes
        size = self.frontier.size
        fits = tree is not None and low == size and self.frontier.fits(tree)
        if tree is None or not fits or (self._sizes and self._sizes[0] < size + tree.size):
            completed = []
            for page in pages(self._connection, low, high):
                completed += self._extend(leaf_hashes_of(page))
        else:
            completed = self.frontier.join(tree)
            self._note_root()
        new = [one for one in completed if tree is None or one.level > 1]
        self._nodes += compare_nodes(self._connection, self._report, new)

    def _extend(self, leaves: Sequence[bytes]) -> list[Node]:
        """Add the leaves, stopping where a root is wanted; return the nodes completed."""
        completed: list[Node] = []
        while self._sizes and self._sizes[0] <= self.frontier.size + len(leaves):
            stop = self._sizes[0] - self.frontier.size
            completed += self.frontier.extend(leaves[:stop])
            leaves = leaves[stop:]
            self._note_root()
        return completed + self.frontier.extend(leaves)

    def _note_root(self) -> None:
        if self._sizes and self._sizes[0] == self.frontier.size:
            self.roots[self._sizes.pop(0)] = self.frontier.root()

    def finish(self, log: str | None) -> None:
        """Compare the number of nodes and the head; `log` is what the first entry identifies."""
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
