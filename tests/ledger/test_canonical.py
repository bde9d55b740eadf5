"""Canonical JSON, against the RFC's own example and the `rfc8785` package."""

from __future__ import annotations

import math
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from muniment.ledger.canonical import SAFE, canonical, double, narrow, wide


@settings(max_examples=300)
@given(st.floats(allow_nan=False, allow_infinity=False))
@example(1e15)
@example(1e16)
@example(1e21)
@example(1e22)
@example(0.0001)
@example(0.00001)
@example(1e-6)
@example(1e-7)
@example(-0.0)
@example(5e-324)
@example(1.7976931348623157e308)
@example(float(SAFE))
@example(2.0**53)
@example(123456789012345.6)
@example(1234567890123456.5)
def test_every_double_is_written_as_rfc8785_writes_it(number: float) -> None:
    assert double(number).encode() == rfc8785.dumps(number)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(number: float) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  whatever the encoder says
        double(number)


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
    assert (wide(SAFE), wide(SAFE + 1), wide(-SAFE - 1)) == (SAFE, str(SAFE + 1), str(-SAFE - 1))


@given(st.integers(-(2**80), 2**80))
def test_an_integer_is_read_back_as_it_was_held(number: int) -> None:
    assert narrow(wide(number)) == number
