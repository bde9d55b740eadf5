"""The Merkle tree of RFC 6962: root hashes, appending, and inclusion and consistency proofs.

Only every eighth level of the binary tree is stored. Node (level, index) is the root of the
256**level leaves from index * 256**level on, and level 0 contains the leaf hashes. A node is
stored when all of its leaves exist, and it never changes. A proof is computed from O(log n) nodes.

Functions that compute a root or a proof take a function `read(level, start, stop)`. It returns the
hashes of the nodes of a level from `start` (included) to `stop` (excluded). Functions that verify a
proof read no nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
TILE_BITS = 8  # a node is the root of 2**8 = 256 nodes of the level below
TILE = 1 << TILE_BITS

Read: TypeAlias = Callable[[int, int, int], Sequence[bytes]]


@dataclass(frozen=True, slots=True)
class Node:
    """A stored node, which is the root of the 256**level leaves from index * 256**level on."""

    level: int
    index: int
    hash: bytes


class MissingNodesError(LookupError):
    """Nodes that the tree must contain, but that could not be read."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf, which is the SHA-256 of a zero byte and the data."""
    return sha256(b"\x00" + data).digest()


def leaf_hashes(data: Iterable[bytes]) -> list[bytes]:
    """Return the hashes of several leaves. It is faster than a call of `leaf_hash` for each."""
    return [sha256(b"\x00" + item).digest() for item in data]


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an interior node.

    It is the SHA-256 of the byte 1 and the hashes of the two children.
    """
    return sha256(b"\x01" + left + right).digest()


def _perfect(hashes: Sequence[bytes]) -> bytes:
    """Return the root of a perfect tree. The number of hashes must be a power of two."""
    while len(hashes) > 1:
        pairs = zip(hashes[::2], hashes[1::2], strict=True)
        hashes = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
    return hashes[0]


class Frontier:
    """The compact range of a tree of `size` leaves, which is enough to append and get the root.

    It consists of the roots of perfect subtrees, one for each 1 bit of the size, largest first.
    """

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        """Create a compact range. Raise ValueError if the number of hashes is wrong for the size.

        `hashes` are the roots of the perfect subtrees, largest first.
        """
        if size < 0 or len(hashes) != size.bit_count():
            raise ValueError(
                f"a tree of {size} leaves cannot have {len(hashes)} hashes at its edge"
            )
        self.size = size
        self.peaks = list(hashes)  # the roots of the perfect subtrees, largest first

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> Frontier:
        """Return the compact range from its bytes. Raise ValueError if they do not fit the size."""
        if len(data) % HASH_BYTES:
            raise ValueError(f"{len(data)} bytes are not a whole number of hashes")
        return cls(size, [data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES)])

    def __bytes__(self) -> bytes:
        return b"".join(self.peaks)

    def extend(self, leaves: Iterable[bytes]) -> list[Node]:
        """Append leaf hashes in order and return the stored nodes that this completes."""
        hashes = list(leaves)
        completed: list[Node] = []
        # Append single leaves up to a multiple of 256, then tiles of 256, then the other leaves.
        position = min(-self.size % TILE, len(hashes))
        self._push(hashes[:position], 0, completed)
        while len(hashes) - position >= TILE:
            tile = _perfect(hashes[position : position + TILE])
            completed.append(Node(1, self.size >> TILE_BITS, tile))
            self._push([tile], TILE_BITS, completed)
            position += TILE
        self._push(hashes[position:], 0, completed)
        return completed

    def fits(self, other: Frontier) -> bool:
        """Return whether another tree can be joined to the right of this one.

        Its subtrees must be subtrees of the joined tree. This holds if this size is a multiple
        of a power of two that is not smaller than the other size.
        """
        return not self.size or other.size <= self.size & -self.size

    def join(self, other: Frontier) -> list[Node]:
        """Append the leaves of another tree and return the stored nodes that this completes.

        The result excludes the nodes of the other tree. Raises ValueError unless it `fits`.
        """
        if not self.fits(other):
            raise ValueError(f"a tree of {other.size} leaves cannot follow {self.size}")
        completed: list[Node] = []
        remaining = other.size
        for peak in other.peaks:
            height = remaining.bit_length() - 1
            self._push([peak], height, completed)
            remaining -= 1 << height
        return completed

    def _push(self, roots: Sequence[bytes], height: int, completed: list[Node]) -> None:
        """Append roots of perfect subtrees of 2**height leaves, and extend `completed`.

        The size must be a multiple of 2**height.
        """
        size, hashes = self.size >> height, self.peaks
        for peak in roots:
            index, level, node = size, height, peak
            while index & 1:  # the left sibling exists, so both become one perfect subtree
                node = sha256(b"\x01" + hashes.pop() + node).digest()
                index >>= 1
                level += 1
                if level % TILE_BITS == 0:
                    completed.append(Node(level // TILE_BITS, index, node))
            hashes.append(node)
            size += 1
        self.size = size << height

    def root(self) -> bytes:
        """Return the root of the whole tree."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for left in reversed(self.peaks[:-1]):
            root = node_hash(left, root)
        return root


# ---- computing from stored nodes ------------------------------------------------------------


def frontier(size: int, read: Read) -> Frontier:
    """Return the compact range of the first `size` leaves."""
    return Frontier(size, _peaks(0, size, read))


def inclusion_proof(
    index: int, size: int, read: Read, known: dict[tuple[int, int], bytes] | None = None
) -> list[bytes]:
    """Return the proof that leaf `index` is in the tree of the first `size` leaves.

    The proof is the Merkle audit path of RFC 6962, section 2.1.1, from the leaf to the root.
    `known` caches subtree roots by (start, stop). To compute several proofs of one tree faster,
    pass the same initially empty dictionary to each call. Raises ValueError if there is no such
    leaf, and MissingNodesError if a stored node is missing.
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


def consistency_proof(old: int, new: int, read: Read) -> list[bytes]:
    """Return the proof that the tree of the first `new` leaves extends that of the first `old`.

    The proof is defined in RFC 6962, section 2.1.2. Raises ValueError if `old` is 0 or larger
    than `new`, and MissingNodesError if a stored node is missing.
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
    if start:  # otherwise the last subtree is the old tree, whose root the verifier knows
        proof.append(_subtree(start, stop, read))
    return proof[::-1]


def _split(start: int, stop: int) -> int:
    """Return the position at which RFC 6962 splits a range of leaves.

    Its distance from the start is the largest power of two below the length of the range.
    """
    return start + (1 << ((stop - start - 1).bit_length() - 1))


def _subtree(start: int, stop: int, read: Read) -> bytes:
    """Return the root hash of a range of leaves that begins at the start of a subtree."""
    return Frontier(stop - start, _peaks(start, stop, read)).root()


def _peaks(start: int, stop: int, read: Read) -> list[bytes]:
    """Return the roots of the perfect subtrees that a range consists of, largest first.

    Raises MissingNodesError if stored nodes are missing.
    """
    peaks: list[bytes] = []
    size = stop - start
    level = max(size.bit_length() - 1, 0) // TILE_BITS
    while size:
        # All peaks of a level consist of adjacent nodes, so that each level is read once.
        width = size >> level * TILE_BITS
        first = start >> level * TILE_BITS
        nodes = read(level, first, first + width)
        if len(nodes) != width:
            raise MissingNodesError(
                f"the tree needs nodes {first} to {first + width - 1} of level {level}, but only "
                f"{len(nodes)} of these {width} are stored"
            )
        done = 0
        while done < width:
            perfect = 1 << (width - done).bit_length() - 1
            peaks.append(_perfect(nodes[done : done + perfect]))
            done += perfect
        start += width << level * TILE_BITS
        size -= width << level * TILE_BITS
        level -= 1
    return peaks


# ---- verifying a proof ----------------------------------------------------------------------


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Return whether the proof shows that `leaf` is the leaf hash at `index` of a tree.

    `size` and `root` describe the tree. The algorithm is that of RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size or not _are_hashes(leaf, root, *proof):
        return False
    node, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and computed == root


def verify_consistency(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Return whether the proof shows that the new tree extends the old one.

    `old` and `new` are the sizes. The algorithm is that of RFC 9162, section 2.1.4.2. The result
    is false if `old` is 0, because no proof exists for an empty tree.
    """
    if not 0 < old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    if not _are_hashes(old_root, new_root, *proof):
        return False
    hashes = iter(proof)
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    # The proof does not repeat the old root if the old tree is perfect, and so a node of the new.
    first = next(hashes, None) if node else old_root
    if first is None:
        return False
    old_hash = new_hash = first
    for sibling in hashes:
        if last == 0:
            return False
        if node & 1 or node == last:
            old_hash, new_hash = node_hash(sibling, old_hash), node_hash(sibling, new_hash)
            while node and not node & 1:
                node, last = node >> 1, last >> 1
        else:
            new_hash = node_hash(new_hash, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and old_hash == old_root and new_hash == new_root


def _are_hashes(*values: bytes) -> bool:
    return all(len(value) == HASH_BYTES for value in values)
