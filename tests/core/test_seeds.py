"""Seeds: golden values that hold for ever, and what no seed may be."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, strategies as st

from muniment.errors import SeedError, UsageError
from muniment.generation import seeds

anything = st.integers(0, seeds.MAXIMUM)
parts = st.one_of(st.integers(-5, 10**12), st.text(max_size=12))


@pytest.mark.parametrize(
    ("seed", "path", "derived"),
    [
        (0, ("sample", 1), 6854189179347683306),
        (7, ("sample", 1), 7018794234372262579),
        (7, ("sample", 2), 3635539074952931342),
        (2**64 - 1, ("step", "draft", 3, 0), 12398702817708958016),
    ],
)
def test_derived_seeds_are_fixed_for_ever(
    seed: int, path: tuple[str | int, ...], derived: int
) -> None:
    assert seeds.derive_seed(seed, *path) == derived


def test_deriving_is_what_its_documentation_says() -> None:
    data = b"muniment-seed/1\n" + b"i1:7" + b"s6:\xe6\xa0\xb7\xe6\x9c\xac" + b"i2:12"
    assert seeds.derive_seed(7, "样本", 12) == int.from_bytes(sha256(data).digest()[:8], "big")


@pytest.mark.parametrize("good", [0, 1, 2**53 + 1, 2**64 - 1])
def test_a_seed_is_a_number_or_its_decimal_text(good: int) -> None:
    assert seeds.parse_seed(good) == seeds.parse_seed(str(good)) == good


BAD = [
    -1,
    2**64,
    10**5000,
    -(10**5000),
    1.0,
    True,
    None,
    b"7",
    "",
    " 7",
    "+7",
    "-7",
    "7.0",
    "0x7",
    "1_000",
    "seven",
    "٧",
    "七",
    "²",
    str(2**64),
    "9" * 100_000,
    "7\n",
]


@pytest.mark.parametrize("bad", BAD, ids=lambda value: ascii(type(value).__name__))
def test_what_is_no_seed_is_refused_in_one_short_sentence(bad: object) -> None:
    with pytest.raises(SeedError, match=r"from 0 to 18446744073709551615") as caught:
        seeds.parse_seed(bad)
    assert isinstance(caught.value, UsageError)
    assert caught.value.value is bad
    assert len(str(caught.value)) < 150


@given(anything)
def test_the_first_sample_keeps_the_seed_that_was_asked_for(seed: int) -> None:
    assert seeds.sample_seed(seed, 0) == seed


@given(anything)
def test_samples_differ_and_are_seeds_themselves(seed: int) -> None:
    found = [seeds.sample_seed(seed, index) for index in range(20)]
    assert len(set(found)) == 20
    assert all(seeds.parse_seed(item) == item for item in found)


@given(anything, st.lists(parts, max_size=4), anything, st.lists(parts, max_size=4))
def test_different_paths_never_give_one_seed(
    seed: int, path: list[str | int], other_seed: int, other_path: list[str | int]
) -> None:
    same = (seed, path) == (other_seed, other_path)
    assert (seeds.derive_seed(seed, *path) == seeds.derive_seed(other_seed, *other_path)) is same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c"), ("a", "bc")),
        (("1",), (1,)),
        (("a", ""), ("a",)),
        (("i1:1",), (1,)),
        (("as1:b",), ("a", "b")),
    ],
)
def test_parts_of_a_path_do_not_run_together(
    one: tuple[str | int, ...], other: tuple[str | int, ...]
) -> None:
    assert seeds.derive_seed(7, *one) != seeds.derive_seed(7, *other)


def test_drawn_seeds_use_all_64_bits() -> None:
    drawn = [seeds.random_seed() for _ in range(200)]
    assert len(set(drawn)) == 200
    assert all(seeds.parse_seed(item) == item for item in drawn)
    assert max(drawn) > 2**62
