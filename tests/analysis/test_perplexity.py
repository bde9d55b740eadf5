from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

import muniment
from muniment_analysis.evaluators.perplexity import Perplexity
from support.generations import completed


def perplexity(logprobs: Sequence[float] | None) -> dict[str, float]:
    trace = None
    if logprobs is not None:
        trace = muniment.Trace(list(range(len(logprobs))), logprobs, [1.0] * len(logprobs))
    return dict(Perplexity().evaluate(completed("!", trace=trace)))


def test_it_is_the_exponential_of_the_mean_negative_log_probability() -> None:
    scores = perplexity([math.log(1 / 2), math.log(1 / 8)])
    assert scores == {
        "mean-logprob": pytest.approx(-2 * math.log(2)),
        "perplexity": pytest.approx(4),
    }


def test_a_certain_text_has_perplexity_one() -> None:
    assert perplexity([0.0, 0.0, 0.0]) == {"mean-logprob": 0, "perplexity": 1}


@pytest.mark.parametrize("logprobs", [None, [], [math.nan], [-1.0, -math.inf], [math.inf]])
def test_it_is_left_out_where_there_is_nothing_to_read(logprobs: list[float] | None) -> None:
    assert perplexity(logprobs) == {}


def test_it_is_left_out_where_no_number_could_hold_it() -> None:
    assert perplexity([-800.0]) == {"mean-logprob": -800}
    assert perplexity([math.inf, -math.inf]) == {}
    assert perplexity([-1.7e308, -1.7e308]) == {}


@given(st.lists(st.floats(-500, 0), min_size=1))
def test_it_lies_between_one_and_the_least_likely_token(logprobs: list[float]) -> None:
    value = perplexity(logprobs)["perplexity"]
    assert value >= 1
    assert value <= math.exp(-min(logprobs)) * (1 + 1e-9)


@given(st.lists(st.floats(-500, 0), min_size=1), st.randoms())
def test_the_order_of_tokens_changes_nothing(logprobs: list[float], random: object) -> None:
    shuffled = list(logprobs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert perplexity(shuffled) == perplexity(logprobs)


@given(st.lists(st.floats()))
def test_every_measure_given_is_finite(logprobs: list[float]) -> None:
    assert all(map(math.isfinite, perplexity(logprobs).values()))
