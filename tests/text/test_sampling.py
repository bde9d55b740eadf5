"""The law of sampling, and margins that hold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

from muniment_text import noise
from muniment_text.errors import RowError
from muniment_text.sampling import Ranking, Sampling, choose

LOGITS = st.lists(st.floats(-20, 20, width=32, allow_subnormal=False), min_size=1, max_size=60).map(
    lambda values: np.array(values, dtype=np.float32)
)
SAMPLINGS = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
    top_k=st.sampled_from([0, 1, 2, 7, 1000]),
    top_p=st.sampled_from([1.0, 0.1, 0.5, 0.95]),
    min_p=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.7]),
)
SEEDS = st.integers(0, 2**64 - 1)


def reference(logits: Any, sampling: Sampling, seed: int, step: int, seen: list[int]) -> int:
    """The law, spelled out in plain Python."""
    values = [float(value) for value in logits]
    for token in set(seen):
        y, penalty = np.float32(values[token]), np.float32(sampling.repetition_penalty)
        values[token] = float(y / penalty if y > 0 else y * penalty)
    ranks = sorted(range(len(values)), key=lambda token: (-values[token], token))
    if sampling.temperature == 0:
        return ranks[0]
    t = sampling.temperature
    kept = ranks[: sampling.top_k or None]
    mass = [math.exp((values[token] - values[kept[0]]) / t) for token in kept]
    above, result = 0.0, []
    for token, weight in zip(kept, mass, strict=True):
        by_mass = sampling.top_p == 1.0 or above / sum(mass) < sampling.top_p
        cut = values[kept[0]] + t * math.log(sampling.min_p) if sampling.min_p else -math.inf
        if not result or (by_mass and values[token] >= cut):
            result.append(token)
        above += weight
    scores = noise.gumbel(seed, step, np.array(result))
    return max(
        zip(result, scores, strict=True), key=lambda pair: (values[pair[0]] / t + pair[1], -pair[0])
    )[0]


@given(LOGITS, SAMPLINGS, SEEDS, st.integers(0, 99), st.lists(st.integers(0, 59), max_size=5))
def test_the_token_is_the_one_the_law_names(
    logits: Any, sampling: Sampling, seed: int, step: int, seen: list[int]
) -> None:
    seen = [token for token in seen if token < logits.size]
    choice = choose(logits, sampling, seed, step, seen)
    # A mass that equals top_p to the last bits may fall to either side.
    assume(choice.margin > 1e-6)
    assert choice.token == reference(logits, sampling, seed, step, seen)


@settings(max_examples=400)
@given(LOGITS, SAMPLINGS, SEEDS, st.data())
def test_changes_of_logits_below_the_margin_never_change_the_token(
    logits: Any, sampling: Sampling, seed: int, data: st.DataObject
) -> None:
    choice = choose(logits, sampling, seed, 0, [0])
    reach = min(choice.margin, 100.0) * 0.999
    random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    for _ in range(10):
        extreme = random.choice([-1.0, 1.0], logits.size)
        change = extreme if random.random() < 0.5 else random.uniform(-1, 1, logits.size)
        changed = (logits + change * reach).astype(np.float32)
        # Adding in float32 rounds; what rounding moved past the margin is no counter-example.
        assume(np.abs(changed.astype(np.float64) - logits).max() <= choice.margin)
        assert choose(changed, sampling, seed, 0, [0]).token == choice.token


def test_the_margin_of_a_greedy_choice_is_half_the_gap_and_tight() -> None:
    logits = np.array([1.0, 3.0, 2.0], dtype=np.float32)
    choice = choose(logits, Sampling(temperature=0), 0, 0)
    assert choice.token == 1
    assert choice.margin == pytest.approx(0.5, rel=1e-4)
    moved = np.array([1.0, 2.49, 2.51], dtype=np.float32)
    assert choose(moved, Sampling(temperature=0), 0, 0).token == 2


@given(SEEDS)
def test_equal_logits_fall_to_the_lowest_id_with_no_margin(seed: int) -> None:
    logits = np.array([1.0, 5.0, 5.0, 5.0], dtype=np.float32)
    choice = choose(logits, Sampling(temperature=0), seed, 0)
    assert (choice.token, choice.margin) == (1, 0.0)


@given(SEEDS, st.integers(0, 1000))
def test_searching_a_large_vocabulary_by_hash_finds_what_scoring_all_of_it_finds(
    seed: int, step: int
) -> None:
    logits = np.random.default_rng(seed).standard_normal(20_000).astype(np.float32)
    scores = logits.astype(np.float64) + noise.gumbel(seed, step, np.arange(logits.size))
    best, second = np.sort(scores)[-1:-3:-1]
    choice = choose(logits, Sampling(), seed, step)
    assert choice.token == int(scores.argmax())
    assert choice.margin == pytest.approx((best - second) / 2, rel=1e-5, abs=1e-8)


@given(SEEDS, st.integers(1, 5000))
def test_ranks_found_through_block_maxima_equal_a_full_sort(seed: int, count: int) -> None:
    values = np.random.default_rng(seed).integers(0, 500, 20_000).astype(np.float32)
    assert np.array_equal(
        Ranking(values).top(count), np.lexsort((np.arange(values.size), -values))[:count]
    )


def test_log_probability_is_of_the_unmodified_distribution() -> None:
    logits = np.array([0.0, math.log(3.0)], dtype=np.float32)
    choice = choose(logits, Sampling(temperature=0.1, top_k=1, repetition_penalty=1.5), 0, 0, [1])
    assert choice.token == 1
    assert choice.logprob == pytest.approx(math.log(0.75), abs=1e-6)


def test_samples_follow_the_distribution() -> None:
    logits = np.log(np.array([0.5, 0.3, 0.2], dtype=np.float32))
    tokens = [choose(logits, Sampling(), seed, 0).token for seed in range(4000)]
    shares = np.bincount(tokens, minlength=3) / len(tokens)
    assert np.abs(shares - [0.5, 0.3, 0.2]).max() < 0.03


def test_a_logit_that_is_no_number_fails_the_row() -> None:
    with pytest.raises(RowError, match=r"not a number.*config\.json"):
        choose(np.array([0.0, np.nan], dtype=np.float32), Sampling(), 0, 0)


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": -1}, {"temperature": math.nan}, {"top_k": -1}, {"top_p": 0},
        {"top_p": 1.5}, {"min_p": -0.1}, {"repetition_penalty": 0},
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused_by_name(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        Sampling(**values)  # type: ignore[arg-type]


def test_the_margin_sees_a_nearly_certain_first_rank_lose_its_mass() -> None:
    sampling = Sampling(temperature=0.3, top_p=0.95)
    choice = choose(np.array([10, 0], dtype=np.float32), sampling, 0, 0)
    assert choice.token == 0
    for reach, token in ((choice.margin - 1e-3, 0), (choice.margin + 1e-3, 1)):
        moved = np.array([10 - reach, reach], dtype=np.float32)
        assert choose(moved, sampling, 0, 0).token == token
