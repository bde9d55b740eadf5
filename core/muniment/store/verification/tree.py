"""Hash the entries again, and compare their tree with the stored nodes and the stored head.

Each range of entries is hashed into a tree of its own (`RangeHasher`). The trees of all ranges,
in order, are joined to the tree of the ledger (`Tree`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, or_, select, true

from muniment.ledger.tree import TILE, TILE_BITS, Frontier, Node, leaf_hash, leaf_hashes
from muniment.store.database.raw import Values, count_rows, raw, stream, tuples
from muniment.store.database.tables import entry, ledger_head, node
from muniment.store.recording import tree_heads
from muniment.store.verification.report import Report

ENTRY_COLUMNS = ("seq", "canonical_bytes", "leaf_hash", "kind", "version")


def pages(connection: Connection, low: int, high: int, size: int) -> Iterator[Sequence[Values]]:
    """Yield the entries from number `low` to `high`, both included, in pages of `size`.

    A row has the columns `ENTRY_COLUMNS`.
    """
    statement = select(*raw(entry, *ENTRY_COLUMNS)).where(entry.c.seq.between(low, high))
    rows = stream(connection, statement.order_by(entry.c.seq), size)
    while page := list(islice(rows, size)):
        yield page


class RangeHasher:
    """The tree of one range of entries, computed from their bytes."""

    def __init__(self, low: int, report: Report) -> None:
        """Start before entry number `low`."""
        self._report = report
        self.next = low  # expected number of the next entry
        self.complete = True  # whether no entry is missing between the first and the last
        self.tree = Frontier()
        self.nodes: list[Node] = []  # complete nodes, with indexes that count from the range

    def add_page(self, rows: Sequence[Values]) -> None:
        """Hash the entries of a page, and report wrong numbers and wrong leaf hashes."""
        leaves = leaf_hashes_of(rows)
        numbers, _, stored, _, _ = zip(*rows, strict=True)
        # Rows are compared all at once, and one by one only to name the differences.
        if numbers != tuple(range(self.next, self.next + len(rows))) or leaves != list(stored):
            self._report_differences(rows, leaves)
        self.next = numbers[-1] + 1
        self.nodes += self.tree.extend(leaves)

    def _report_differences(self, rows: Sequence[Values], leaves: Sequence[bytes]) -> None:
        """Report the problems of each entry of a page."""
        for (seq, data, stored, *_), leaf in zip(rows, leaves, strict=True):
            if seq != self.next:
                gap = f"entries {self.next} to {seq - 1} before it are missing or out of order"
                self._report.add("tree", f"entry {seq}", gap)
                self.complete = False
            self.next = seq + 1
            if not isinstance(data, bytes):
                self._report.add("entry", f"entry {seq}", "its bytes are stored as another type")
            if leaf != stored:
                message = "its leaf hash is not the hash of its bytes"
                self._report.add("tree", f"entry {seq}", message)


def leaf_hashes_of(rows: Sequence[Values]) -> list[bytes]:
    """Return the leaf hashes of entries, computed from their bytes.

    A value that is not bytes, which only an altered SQLite file can hold, is hashed as text.
    """
    column = [row[1] for row in rows]
    try:
        return leaf_hashes(column)
    except TypeError:
        return [
            leaf_hash(data if isinstance(data, bytes) else str(data).encode(errors="replace"))
            for data in column
        ]


def compare_nodes(connection: Connection, report: Report, nodes: Iterable[Node]) -> int:
    """Compare computed nodes with the stored ones. Return the number of stored nodes read.

    The nodes of each level must have consecutive indexes.
    """
    rows = 0
    levels: dict[int, list[Node]] = {}
    for computed in nodes:
        levels.setdefault(computed.level, []).append(computed)
    for level, expected in levels.items():
        statement = select(node.c.index, *raw(node, "hash")).where(
            node.c.level == level, node.c.index.between(expected[0].index, expected[-1].index)
        )
        stored: dict[int, Any] = dict(tuples(connection, statement))
        rows += len(stored)
        for computed in expected:
            if stored.get(computed.index) != computed.hash:
                bits = TILE_BITS * level
                first, last = computed.index << bits, (computed.index + 1 << bits) - 1
                report.add(
                    "tree",
                    f"node {level}/{computed.index}",
                    f"its hash is not that of entries {first} to {last}",
                )
    return rows


class LedgerTree:
    """The tree of all entries, joined from the trees of ranges."""

    def __init__(
        self, connection: Connection, report: Report, start: Frontier, sizes: Sequence[int]
    ) -> None:
        """Continue from the tree `start`, whose entries are not read.

        `sizes` are the sizes in ascending order whose roots are collected in `roots`.
        """
        self._connection, self._report = connection, report
        self._node_count = 0
        self.start = self._next = start.size
        self.frontier = Frontier(start.size, start.peaks)
        past_sizes = [size for size in sizes if size <= self.start]
        self.roots = {size: tree_heads.root(connection, size) for size in past_sizes}
        self._sizes = list(sizes[len(past_sizes) :])

    def add(self, low: int, high: int, last: int, tree: Frontier | None, nodes: int) -> None:
        """Add the entries from number `low` to `high`. At least one of them must exist.

        `last` is the number of the last existing entry. `tree` is the tree of the entries, or
        None if they form no subtree of the ledger. `nodes` is the number of stored nodes that
        were compared with it.
        """
        if low > self._next:
            gap = f"entries {self._next} to {low - 1} before it are missing or out of order"
            self._report.add("tree", f"entry {low}", gap)
        self._next = last + 1
        self._node_count += nodes
        size = self.frontier.size
        fits = tree is not None and low == size and self.frontier.fits(tree)
        # The entries are hashed again if entries are missing, if the range does not begin where
        # a subtree does, or if a root within the range is needed.
        if tree is None or not fits or (self._sizes and self._sizes[0] < size + tree.size):
            completed = []
            for page in pages(self._connection, low, high, TILE):
                completed += self._extend(leaf_hashes_of(page))
        else:
            completed = self.frontier.join(tree)
            self._save_root()
        # The nodes of level 1 of a range's tree were already compared with the range.
        unchecked = [computed for computed in completed if tree is None or computed.level > 1]
        self._node_count += compare_nodes(self._connection, self._report, unchecked)

    def _extend(self, leaves: Sequence[bytes]) -> list[Node]:
        """Add leaves and save the roots of the requested sizes. Return the completed nodes."""
        completed: list[Node] = []
        while self._sizes and self._sizes[0] <= self.frontier.size + len(leaves):
            stop = self._sizes[0] - self.frontier.size
            completed += self.frontier.extend(leaves[:stop])
            leaves = leaves[stop:]
            self._save_root()
        return completed + self.frontier.extend(leaves)

    def _save_root(self) -> None:
        """Save the current root if the current size is requested."""
        if self._sizes and self._sizes[0] == self.frontier.size:
            self.roots[self._sizes.pop(0)] = self.frontier.root()

    def finish(self, log: str | None) -> None:
        """Compare the stored head and the number of stored nodes with the tree.

        `log` is the identity of the ledger according to its first entry.
        """
        new = [(node.c.level == n) & (node.c.index >= self.start >> 8 * n) for n in range(1, 8)]
        node_count = count_rows(self._connection, node, or_(*new) if self.start else true())
        if node_count != self._node_count:
            self._report.add(
                "tree", "node", f"there are {node_count} nodes instead of {self._node_count}"
            )
        rows = self._connection.execute(select(*raw(ledger_head))).mappings().all()
        if len(rows) != 1 or rows[0]["id"] != 1:
            self._report.add(
                "head",
                "ledger_head",
                f"the table must have one row with id 1; it has {len(rows)} rows",
            )
            return
        head, frontier = rows[0], self.frontier
        if head["size"] != frontier.size:
            self._report.add(
                "head",
                "ledger_head.size",
                f"its size is {head['size']}, but there are {frontier.size} entries",
            )
        if head["frontier"] != bytes(frontier):
            self._report.add(
                "head",
                "ledger_head.frontier",
                "it differs from the tree of the entries",
            )
        if head["log_id"] != log:
            self._report.add(
                "head", "ledger_head.log_id", "it differs from the identity in the first entry"
            )
