"""The Merkle tree of RFC 6962, against published vectors and a naive tree."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.ledger.tree import EMPTY_ROOT, Frontier, leaf_hash, node_hash

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
