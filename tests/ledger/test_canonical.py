"""Canonical JSON, against the RFC's own example and the `rfc8785` package."""

from __future__ import annotations

import math
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given, settings, strategies as st

from muniment.ledger.canonical import SAFE, canonical, decode_number, encode_number, is_key

TEXTS = st.text(st.characters(codec="utf-8"))
KEYS = TEXTS.filter(is_key)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-SAFE, SAFE) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def test_the_example_of_the_rfc_is_written_as_printed_there() -> None:
    value = {
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    assert canonical(value) == (
        b'{"literals":[null,true,false],"string":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


@settings(max_examples=300)
@given(VALUES)
def test_every_allowed_value_is_written_as_rfc8785_writes_it(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


def test_every_character_is_written_as_rfc8785_writes_it() -> None:
    for start in range(0, 0x110000, 0x400):
        codes = [code for code in range(start, start + 0x400) if not 0xD800 <= code < 0xE000]
        text = "".join(map(chr, codes))
        assert canonical([text]) == rfc8785.dumps([text])
        if start < 0x10000:
            keys = dict.fromkeys(map(chr, codes), 0)
            assert canonical(keys) == rfc8785.dumps(keys)


@pytest.mark.parametrize(
    "value",
    [2**53, -(2**53), 0.5, math.nan, math.inf, "\ud800", {"\ud800": 1}, {"\U0001f600": 1}, [[1.0]]],
)
def test_a_value_that_is_not_canonical_by_construction_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        canonical({"a": value})


def test_integers_beyond_2_to_the_53_are_strings() -> None:
    assert (encode_number(SAFE), encode_number(SAFE + 1), encode_number(-SAFE - 1)) == (
        SAFE,
        str(SAFE + 1),
        str(-SAFE - 1),
    )


@given(st.integers(SAFE + 1, 2**80) | st.integers(-(2**80), -SAFE - 1))
def test_a_large_integer_is_read_back_equal(number: int) -> None:
    assert decode_number(str(encode_number(number))) == number


@settings(max_examples=300)
@given(FINITE)
@example(1e15)
@example(1e16)
@example(1e22)
@example(0.0001)
@example(0.00001)
@example(5e-324)
@example(1.7976931348623157e308)
@example(float(SAFE))
@example(2.0**53)
def test_a_float_is_read_back_equal_and_as_a_float(number: float) -> None:
    encoded = encode_number(number)
    assert isinstance(encoded, str)
    decoded = decode_number(encoded)
    assert isinstance(decoded, float)
    assert decoded == number


def test_negative_zero_becomes_zero() -> None:
    assert encode_number(-0.0) == "0.0"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_float_that_is_not_finite_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        encode_number(number)
