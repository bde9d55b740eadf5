"""The Merkle tree of RFC 6962, against published vectors and a naive tree."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from muniment.ledger.tree import (
    EMPTY_ROOT,
    Frontier,
    MissingNodesError,
    Node,
    Read,
    consistency_proof,
    frontier,
    inclusion_proof,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)

PUBLISHED = json.loads(Path(__file__).with_name("rfc6962.json").read_text())

# The vectors of certificate-transparency's reference implementation: eight leaves and the root of
# each tree that the first so many of them make.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)


def naive_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 6962, section 2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = naive_root(leaves[:split]), naive_root(leaves[split:])
    return sha256(b"\x01" + left + right).digest()


def naive_inclusion(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """PATH(m, D[n]) of RFC 6962, section 2.1.1."""
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    left, right = list(leaves[:split]), list(leaves[split:])
    if index < split:
        return [*naive_inclusion(index, left), naive_root(right)]
    return [*naive_inclusion(index - split, right), naive_root(left)]


def naive_consistency(old: int, leaves: Sequence[bytes], whole: bool = True) -> list[bytes]:
    """SUBPROOF(m, D[n], b) of RFC 6962, section 2.1.2."""
    if old == len(leaves):
        return [] if whole else [naive_root(list(leaves))]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    left, right = list(leaves[:split]), list(leaves[split:])
    if old <= split:
        return [*naive_consistency(old, left, whole), naive_root(right)]
    return [*naive_consistency(old - split, right, False), naive_root(left)]


def numbered(count: int) -> list[bytes]:
    return [number.to_bytes(4, "big") for number in range(count)]


def kept(leaves: Sequence[bytes]) -> dict[tuple[int, int], bytes]:
    """Return every node that a store would keep of these leaves, as the definition has them."""
    level, nodes, hashes = 0, {}, [leaf_hash(leaf) for leaf in leaves]
    while hashes:
        nodes |= {(level, index): value for index, value in enumerate(hashes)}
        complete = range(0, len(hashes) - len(hashes) % 256, 256)
        hashes = [perfect(hashes[start : start + 256]) for start in complete]
        level += 1
    return nodes


def perfect(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = [node_hash(*hashes[at : at + 2]) for at in range(0, len(hashes), 2)]
    return hashes[0]


def reading(nodes: dict[tuple[int, int], bytes]) -> Read:
    def read(level: int, start: int, stop: int) -> list[bytes]:
        found = (nodes.get((level, index)) for index in range(start, stop))
        return [value for value in found if value is not None]

    return read


def grown(leaves: list[bytes]) -> Frontier:
    frontier = Frontier()
    frontier.extend(leaf_hash(leaf) for leaf in leaves)
    return frontier


@pytest.mark.parametrize("size", range(9))
def test_the_published_vectors_have_their_roots(size: int) -> None:
    assert grown(LEAVES[:size]).root().hex() == ROOTS[size]


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert sha256(b"").digest() == EMPTY_ROOT == Frontier().root()


def test_leaves_and_nodes_cannot_be_mistaken_for_each_other() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_growing_leaf_by_leaf_gives_the_root_of_the_definition(leaves: list[bytes]) -> None:
    assert grown(leaves).root() == naive_root(leaves)


@given(st.lists(st.binary(max_size=4), max_size=70), st.lists(st.binary(max_size=4), max_size=70))
def test_a_frontier_kept_as_bytes_grows_on_as_if_never_put_away(
    before: list[bytes], after: list[bytes]
) -> None:
    kept = grown(before)
    again = Frontier.from_bytes(kept.size, bytes(kept))
    again.extend(leaf_hash(leaf) for leaf in after)
    assert again.root() == naive_root(before + after)
    assert again.size == len(before) + len(after)


@given(st.integers(0, 1000))
def test_a_frontier_holds_one_hash_for_each_binary_one_of_its_size(size: int) -> None:
    frontier = Frontier()
    frontier.extend(leaf_hash(b"") for _ in range(size))
    assert len(bytes(frontier)) == 32 * size.bit_count()


@pytest.mark.parametrize(("size", "data"), [(1, b""), (0, b"x" * 32), (3, b"x" * 32), (1, b"x")])
def test_a_frontier_that_cannot_be_of_its_size_is_refused(size: int, data: bytes) -> None:
    with pytest.raises(ValueError, match="hashes"):
        Frontier.from_bytes(size, data)


# ---- proofs -----------------------------------------------------------------------------------

SIZES = st.one_of(st.integers(1, 70), st.integers(1, 1200), st.sampled_from([255, 256, 257, 512]))


@pytest.mark.parametrize("case", PUBLISHED["inclusion"], ids=lambda case: case[0])
def test_the_published_inclusion_cases_are_accepted_and_refused(case: list[Any]) -> None:
    _, index, size, leaf, top, proof, good = case
    found = verify_inclusion(
        bytes.fromhex(leaf), index, size, [bytes.fromhex(one) for one in proof], bytes.fromhex(top)
    )
    assert found is good


@pytest.mark.parametrize("case", PUBLISHED["consistency"], ids=lambda case: case[0])
def test_the_published_consistency_cases_are_accepted_and_refused(case: list[Any]) -> None:
    _, old, new, before, after, proof, good = case
    found = verify_consistency(
        old,
        bytes.fromhex(before),
        new,
        bytes.fromhex(after),
        [bytes.fromhex(one) for one in proof],
    )
    assert found is good


@given(SIZES, st.data())
def test_inclusion_proofs_are_those_of_the_definition_and_hold(size: int, data: Any) -> None:
    leaves = numbered(size)
    index = data.draw(st.integers(0, size - 1))
    read = reading(kept(leaves))
    proof = inclusion_proof(index, size, read)
    assert proof == naive_inclusion(index, leaves)
    assert verify_inclusion(
        leaf_hash(leaves[index]), index, size, proof, frontier(size, read).root()
    )


@given(SIZES, st.data())
def test_consistency_proofs_are_those_of_the_definition_and_hold(size: int, data: Any) -> None:
    leaves = numbered(size)
    old = data.draw(st.integers(1, size))
    read = reading(kept(leaves))
    proof = consistency_proof(old, size, read)
    assert proof == naive_consistency(old, leaves)
    assert verify_consistency(
        old, frontier(old, read).root(), size, frontier(size, read).root(), proof
    )


@given(st.integers(0, 1200), st.integers(0, 1200))
def test_the_root_of_any_size_can_be_told_from_the_nodes_of_a_larger_tree(
    size: int, more: int
) -> None:
    leaves = numbered(size + more)
    read = reading(kept(leaves))
    assert frontier(size, read).root() == naive_root(leaves[:size])
    assert bytes(frontier(size, read)) == bytes(grown(leaves[:size]))


@given(st.integers(0, 1200), st.integers(0, 1200))
def test_appending_completes_exactly_the_nodes_that_the_larger_tree_keeps(
    before: int, more: int
) -> None:
    leaves = numbered(before + more)
    old = kept(leaves[:before])
    added = frontier(before, reading(old)).extend(leaf_hash(leaf) for leaf in leaves[before:])
    upper = {at: value for at, value in kept(leaves).items() if at[0] > 0}
    assert {(node.level, node.index): node.hash for node in added} == {
        at: value for at, value in upper.items() if at not in old
    }


def test_the_node_over_65536_leaves_is_of_level_two() -> None:
    edge = Frontier()
    added = edge.extend(leaf_hash(leaf) for leaf in numbered(65536))
    assert added[-2:] == [Node(1, 255, added[-2].hash), Node(2, 0, edge.root())]
    nodes = {(node.level, node.index): node.hash for node in added}
    assert frontier(65536, reading(nodes)).root() == edge.root()


@given(SIZES, st.data())
def test_a_proof_with_one_bit_changed_does_not_hold(size: int, data: Any) -> None:
    leaves = numbered(size)
    index = data.draw(st.integers(0, size - 1))
    read = reading(kept(leaves))
    proof, top = inclusion_proof(index, size, read), frontier(size, read).root()
    parts = [leaf_hash(leaves[index]), top, *proof]
    changed = data.draw(st.integers(0, len(parts) - 1))
    parts[changed] = flipped(parts[changed], data.draw(st.integers(0, 255)))
    assert not verify_inclusion(parts[0], index, size, parts[2:], parts[1])

    old = data.draw(st.integers(1, size))
    parts = [frontier(old, read).root(), top, *consistency_proof(old, size, read)]
    changed = data.draw(st.integers(0, len(parts) - 1))
    parts[changed] = flipped(parts[changed], data.draw(st.integers(0, 255)))
    assert not verify_consistency(old, parts[0], size, parts[1], parts[2:])


def flipped(value: bytes, bit: int) -> bytes:
    return (int.from_bytes(value, "big") ^ 1 << bit).to_bytes(len(value), "big")


def test_proofs_of_what_is_not_there_are_refused() -> None:
    read = reading(kept(numbered(3)))
    with pytest.raises(ValueError, match="leaf 3 is not in a tree of 3 leaves"):
        inclusion_proof(3, 3, read)
    with pytest.raises(ValueError, match="3 leaves begins with one of 4"):
        consistency_proof(4, 3, read)
    with pytest.raises(MissingNodesError, match="nodes 0 to 3 of level 0, but only 3"):
        frontier(4, read).root()
