"""The Merkle tree of RFC 6962: what the ledger's root is, how it grows, and proofs about it.

A tree is kept as its leaf hashes and, above them, one node for every 256 below it: node (level,
index) is the root of the 256**level leaves from index * 256**level on, kept once those leaves are
all there; level 0 is the leaf hashes themselves. Every proof is made of such nodes in O(log n), and
neither grows nor is read differently when the tree grows: nodes are never changed.

What makes a proof takes `read(level, start, stop)`, which returns the hashes of the nodes from
start up to stop of a level. What checks a proof needs the proof alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
TILE_BITS = 8  # a node stands for 2**8 = 256 nodes of the level below
TILE = 1 << TILE_BITS

Read: TypeAlias = Callable[[int, int, int], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Node:
    """The root of the 256**level leaves from index * 256**level on."""

    level: int
    index: int
    hash: bytes


class MissingNodesError(LookupError):
    """Nodes that a tree of that size must have could not be read."""

    def __init__(self, level: int, start: int, stop: int, found: int) -> None:
        super().__init__(
            f"the tree needs nodes {start} to {stop - 1} of level {level}, but only {found} of "
            f"these {stop - start} are kept"
        )
        self.level, self.start, self.stop = level, start, stop


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf: SHA-256 of a zero byte and the data."""
    return sha256(b"\x00" + data).digest()


def leaf_hashes(data: Iterable[bytes]) -> list[bytes]:
    """Return the hashes of many leaves, without a call for each."""
    return [sha256(b"\x00" + one).digest() for one in data]


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node: SHA-256 of a one byte and its children's hashes."""
    return sha256(b"\x01" + left + right).digest()


def _perfect(hashes: Sequence[bytes]) -> bytes:
    """Return the root of a perfect tree of these leaf hashes, a power of two of them."""
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=True)
        hashes = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
    return hashes[0]


class Frontier:
    """The right edge of a tree of `size` leaves: O(log n) hashes, the largest subtree first.

    They are the roots of the perfect subtrees that the size, written in binary, is made of: all
    that is needed to append a leaf or to tell the root.
    """

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """Take an edge as it was kept; ValueError when it cannot belong to that size."""
        if size < 0 or len(hashes) != size.bit_count():
            raise ValueError(
                f"a tree of {size} leaves cannot have {len(hashes)} hashes at its edge"
            )
        self.size = size
        self._hashes = list(hashes)

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        """Read what `bytes(frontier)` wrote; ValueError when it does not fit the size."""
        if len(data) % HASH_BYTES:
            raise ValueError(f"{len(data)} bytes are not a whole number of hashes")
        return cls(size, [data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES)])

    def __bytes__(self) -> bytes:
        return b"".join(self._hashes)

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """The roots of the perfect subtrees, the largest first."""
        return tuple(self._hashes)

    def append(self, leaf: bytes) -> list[Node]:
        """Add a leaf's hash; return the nodes that this completed, the lowest level first."""
        return self.extend((leaf,))

    def extend(self, leaves: Iterable[bytes]) -> list[Node]:
        """Add the hashes of several leaves in order; return the nodes that they completed."""
        given = list(leaves)
        completed: list[Node] = []
        # Leaves up to a multiple of 256 one by one, then 256 at once, then the rest.
        position = min(-self.size % TILE, len(given))
        self._push(given[:position], 0, completed)
        while len(given) - position >= TILE:
            tile = _perfect(given[position : position + TILE])
            completed.append(Node(1, self.size >> TILE_BITS, tile))
            self._push([tile], TILE_BITS, completed)
            position += TILE
        self._push(given[position:], 0, completed)
        return completed

    def fits(self, other: Frontier) -> bool:
        """Whether another tree's subtrees are subtrees of the whole when it follows this one.

        So it is where this size is a multiple of a power of two that is not below the other's size.
        """
        return not self.size or other.size <= self.size & -self.size

    def join(self, other: Frontier) -> list[Node]:
        """Add the leaves of another tree; return the nodes that this completed.

        Those that the other tree has by itself are not among them. ValueError unless it `fits`.
        """
        if not self.fits(other):
            raise ValueError(f"a tree of {other.size} leaves cannot follow {self.size}")
        completed: list[Node] = []
        left = other.size
        for peak in other.peaks:
            height = left.bit_length() - 1
            self._push([peak], height, completed)
            left -= 1 << height
        return completed

    def _push(self, roots: Sequence[bytes], height: int, completed: list[Node]) -> None:
        """Add the roots of perfect subtrees of a height, the size being a multiple of theirs."""
        size, hashes = self.size >> height, self._hashes
        for given in roots:
            index, level, found = size, height, given
            while index & 1:  # a subtree becomes perfect: two hashes become one
                found = sha256(b"\x01" + hashes.pop() + found).digest()
                index >>= 1
                level += 1
                if level % TILE_BITS == 0:
                    completed.append(Node(level // TILE_BITS, index, found))
            hashes.append(found)
            size += 1
        self.size = size << height

    def root(self) -> bytes:
        """Return the root of the whole tree."""
        if not self._hashes:
            return EMPTY_ROOT
        root = self._hashes[-1]
        for left in reversed(self._hashes[:-1]):
            root = node_hash(left, root)
        return root


# ---- from kept nodes ------------------------------------------------------------------------


def frontier(size: int, read: Read) -> Frontier:
    """Return the right edge of the tree of the first `size` leaves."""
    return Frontier(size, _peaks(0, size, read))


def root(size: int, read: Read) -> bytes:
    """Return the root of the tree of the first `size` leaves."""
    return frontier(size, read).root()


def completed(size_before: int, hashes: Iterable[bytes], read: Read) -> list[Node]:
    """Return the nodes that appending these leaf hashes to so many leaves completes.

    Who keeps the frontier reads nothing and has them from `Frontier.extend`.
    """
    return frontier(size_before, read).extend(hashes)


def inclusion(
    index: int, size: int, read: Read, known: dict[tuple[int, int], bytes] | None = None
) -> list[bytes]:
    """Return the proof that leaf `index` is in the tree of the first `size` leaves.

    As RFC 6962, 2.1.1, says. Proofs of several leaves are made faster with one dictionary, empty
    at first, of what is `known` of the tree. ValueError when there is no such leaf,
    MissingNodesError when the tree is not all there.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size} leaves")
    known = {} if known is None else known
    proof = []
    start, stop = 0, size
    while stop - start > 1:
        split = _split(start, stop)
        left = index < split
        sibling = (split, stop) if left else (start, split)
        if sibling not in known:
            known[sibling] = _subtree(*sibling, read)
        proof.append(known[sibling])
        start, stop = (start, split) if left else (split, stop)
    return proof[::-1]


def consistency(old: int, new: int, read: Read) -> list[bytes]:
    """Return the proof that the first `new` leaves begin with the first `old`.

    As RFC 6962, 2.1.2, says. Of the empty tree nothing can be proven: ValueError, as when old is
    larger than new. MissingNodesError when the tree is not all there.
    """
    if not 0 < old <= new:
        raise ValueError(f"no proof that a tree of {new} leaves begins with one of {old}")
    proof: list[bytes] = []
    start, stop = 0, new
    while stop != old:
        split = _split(start, stop)
        if old <= split:
            proof.append(_subtree(split, stop, read))
            stop = split
        else:
            proof.append(_subtree(start, split, read))
            start = split
    if start:  # else the last subtree is the old tree itself, whose root the verifier has
        proof.append(_subtree(start, stop, read))
    return proof[::-1]


def _split(start: int, stop: int) -> int:
    """Return where RFC 6962 divides a range: at the largest power of two below its length."""
    return start + (1 << ((stop - start - 1).bit_length() - 1))


def _subtree(start: int, stop: int, read: Read) -> bytes:
    """Return the root over a range of leaves that begins where a subtree does."""
    return Frontier(stop - start, _peaks(start, stop, read)).root()


def _peaks(start: int, stop: int, read: Read) -> list[bytes]:
    """Return the roots of the perfect subtrees that a range is made of, the largest first."""
    peaks: list[bytes] = []
    size = stop - start
    level = max(size.bit_length() - 1, 0) // TILE_BITS
    while size:
        # All peaks of a level are made of neighbouring nodes: one reading for each level.
        width = size >> level * TILE_BITS
        first = start >> level * TILE_BITS
        nodes = _nodes(level, first, first + width, read)
        done = 0
        while done < width:
            perfect = 1 << (width - done).bit_length() - 1
            peaks.append(_fold(nodes[done : done + perfect]))
            done += perfect
        start += width << level * TILE_BITS
        size -= width << level * TILE_BITS
        level -= 1
    return peaks


def _fold(nodes: Sequence[bytes]) -> bytes:
    """Return the root over as many nodes as a power of two."""
    while len(nodes) > 1:
        nodes = [
            sha256(b"\x01" + nodes[at] + nodes[at + 1]).digest() for at in range(0, len(nodes), 2)
        ]
    return nodes[0]


def _nodes(level: int, start: int, stop: int, read: Read) -> Sequence[bytes]:
    nodes = read(level, start, stop)
    if len(nodes) != stop - start:
        raise MissingNodesError(level, start, stop, len(nodes))
    return nodes


# ---- checking a proof -----------------------------------------------------------------------


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Whether the proof shows the leaf hash at `index` of the tree of that size and root.

    As RFC 9162, 2.1.3.2, says.
    """
    if not 0 <= index < size or not _hashes(leaf, root, *proof):
        return False
    node, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            found = node_hash(sibling, found)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and found == root


def verify_consistency(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the proof shows that the tree of the new root begins with that of the old one.

    As RFC 9162, 2.1.4.2, says. That every tree begins with the empty one needs no proof, and an
    empty old tree is refused.
    """
    if not 0 < old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    if not _hashes(old_root, new_root, *proof):
        return False
    hashes = iter(proof)
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    # A perfect old tree is a node of the new one: its root is not repeated in the proof.
    first = next(hashes, None) if node else old_root
    if first is None:
        return False
    was = now = first
    for sibling in hashes:
        if last == 0:
            return False
        if node & 1 or node == last:
            was, now = node_hash(sibling, was), node_hash(sibling, now)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            now = node_hash(now, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and was == old_root and now == new_root


def _hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_BYTES for value in values)
