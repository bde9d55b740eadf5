"""Canonical JSON, against the RFC's own example and the `rfc8785` package."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muniment.ledger.canonical import SAFE, canonical, decode_number, encode_integer


def test_the_example_of_the_rfc_is_written_as_printed_there() -> None:
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    assert canonical(value) == (
        b'{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        b'"string":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


@pytest.mark.parametrize("value", [2**53, -(2**53), math.nan, math.inf, "\ud800", {"\ud800": 1}])
def test_what_json_cannot_hold_exactly_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        canonical({"a": value})


def test_integers_beyond_2_to_the_53_are_held_as_strings() -> None:
    assert (encode_integer(SAFE), encode_integer(SAFE + 1), encode_integer(-SAFE - 1)) == (
        SAFE,
        str(SAFE + 1),
        str(-SAFE - 1),
    )


@given(st.integers(-(2**80), 2**80))
def test_an_integer_is_read_back_as_it_was_held(number: int) -> None:
    assert decode_number(encode_integer(number)) == number
