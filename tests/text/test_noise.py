"""The noise is fixed for ever, and is what it claims to be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from muniment_text import noise

SEEDS = st.integers(0, 2**64 - 1)
GOLDEN = {
    (0, 0): [
        "0x1.ee015f0b0e8c7p-4",
        "0x1.55a96d01af2b4p+1",
        "0x1.834374cc3df6ap-1",
        "0x1.58bddd65b2679p+0",
        "0x1.38983be185634p-2",
    ],
    (7, 0): [
        "-0x1.4383155d7ee54p-1",
        "-0x1.6baa11e28ba57p-1",
        "0x1.deb60089ea9f4p-1",
        "0x1.1bacdade9f6b8p-3",
        "-0x1.d5d38f5ad834ep-2",
    ],
    (2**64 - 1, 1000): [
        "0x1.43e62a1b41d11p+0",
        "0x1.0cbfcdba8db50p-3",
        "0x1.194a8a8eb05e4p+1",
        "0x1.56d0503c045acp+1",
        "0x1.ff11cb32053a1p+0",
    ],
}
IDS = np.array([0, 1, 2, 262143, 2**31 - 1])


def reference(seed: int, step: int, token: int) -> int:
    """The hash in plain Python integers."""
    return noise.mix((noise.step_key(seed, step) + (token + 1) * noise.GOLDEN) & noise.MASK)


def test_golden_values_never_change() -> None:
    for (seed, step), expected in GOLDEN.items():
        found = [value.hex() for value in noise.gumbel(seed, step, IDS).tolist()]
        assert found == expected


@given(SEEDS, st.integers(0, 2**40), st.lists(st.integers(0, 2**31 - 1), min_size=1))
def test_vectorised_hashes_equal_plain_integers(seed: int, step: int, ids: list[int]) -> None:
    found = noise.hashes(seed, step, np.array(ids)).tolist()
    assert found == [reference(seed, step, token) for token in ids]


@given(SEEDS, st.integers(0, 2**20))
def test_an_id_has_the_same_noise_among_any_others(seed: int, step: int) -> None:
    everyone = noise.gumbel(seed, step, np.arange(100))
    assert np.array_equal(everyone[40:60], noise.gumbel(seed, step, np.arange(40, 60)))


@given(st.floats(min_value=1e-300, max_value=1e300))
def test_the_logarithm_is_within_two_units_in_the_last_place(x: float) -> None:
    found = float(noise.natural_log(np.array([x]))[0])
    assert abs(found - math.log(x)) <= 4 * math.ulp(max(abs(math.log(x)), 1e-3))


def test_extreme_hashes_give_finite_noise() -> None:
    ends = np.array([0, noise.MASK], dtype=np.uint64)
    assert np.isfinite(noise.gumbel_of(ends)).all()


def test_the_noise_has_the_mean_and_variance_of_gumbel() -> None:
    sample = noise.gumbel(11, 3, np.arange(400_000))
    assert abs(sample.mean() - 0.5772156649) < 0.01
    assert abs(sample.var() - math.pi**2 / 6) < 0.02


@given(st.floats(-5.0, 40.0), SEEDS)
def test_no_id_above_a_level_is_below_its_hash_threshold(level: float, seed: int) -> None:
    values = noise.hashes(seed, 0, np.arange(2000))
    above = noise.gumbel_of(values) >= level
    assert (values[above] >= np.uint64(noise.hash_threshold(level))).all()


@given(st.integers().filter(lambda seed: not 0 <= seed < 2**64))
def test_a_seed_that_is_not_unsigned_64_bit_is_refused(seed: int) -> None:
    with pytest.raises(ValueError, match="64-bit"):
        noise.step_key(seed, 0)
