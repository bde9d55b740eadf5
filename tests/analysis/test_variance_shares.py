"""Variance shares: hand-computed tables, an independent formula, known answers, distances."""

from __future__ import annotations

import itertools
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from statsmodels.regression.mixed_linear_model import MixedLM

from muniment_analysis.errors import ConstantError, DesignError, SampleError, ValuesError
from muniment_analysis.intervals import Floats
from muniment_analysis.variance.design import Design, control_factors
from muniment_analysis.variance.distances import (
    squared_distances,
    squared_distances_of_similarities,
)
from muniment_analysis.variance.mean_squares import (
    distance_mean_squares,
    item_mean_squares,
    mean_squares,
)
from muniment_analysis.variance.shares import VarianceShares, variance_shares

SHARE_SETS = [(0.2, 0.2, 0.1, 0.5), (0.05, 0.05, 0.05, 0.85), (0.1, 0.7, 0.1, 0.1)]


def design_of(*shape: int, seeds: int, controls: tuple[str, ...] = ("b",)) -> Design:
    levels = tuple(tuple(map(str, range(count))) for count in shape)
    return Design(tuple("abc"[: len(shape)]), levels, seeds, controls)


PAPER = design_of(5, 4, seeds=5)


def analyse(design: Design, values: Floats) -> VarianceShares:
    return variance_shares(design, mean_squares(design, values))


def simulate(shares: tuple[float, ...], seed: int) -> Floats:
    """Return 30 items of the known answers, with Laplace effects."""
    generator = np.random.default_rng(seed)
    values = np.zeros((30, 5, 4, 5))
    shapes = ((5, 1, 1), (1, 4, 1), (5, 4, 1), (5, 4, 5))
    for share, shape in zip(shares, shapes, strict=True):
        values += generator.laplace(scale=math.sqrt(share / 2), size=(30, *shape))
    return values


# ---- hand-computed tables --------------------------------------------------------------------


def test_shares_of_two_factors_are_those_computed_by_hand() -> None:
    # Means of cells 2 6 / 3 11, variance 2 within each. MS_a = 18, MS_b = 72, MS_ab = 8, MSE = 2.
    item = np.array([[[1.0, 3], [5, 7]], [[2, 4], [10, 12]]])
    result = analyse(design_of(2, 2, seeds=2), np.stack([item, item + 100, item]))
    expected = {"a": 2.5, "b": 16.0, "a:b": 3.0, "seed": 2.0}
    assert result.components == pytest.approx(expected)
    assert {name: share.value for name, share in result.shares.items()} == pytest.approx(
        {name: component / 23.5 for name, component in expected.items()}
    )
    assert result.controllability is not None
    assert result.controllability.value == pytest.approx(16 / 23.5)
    assert result.seed_variance[("0",)].value == result.seed_variance[("1",)].value == 2.0


def test_negative_components_are_clipped_in_shares_and_reported_as_they_are() -> None:
    # One factor with means 2 and 2: MS_a = 0, MSE = 2, so the component is −MSE/2.
    item = np.array([[1.0, 3], [1, 3]])
    result = analyse(design_of(2, seeds=2, controls=("a",)), np.stack([item] * 4))
    assert result.components == pytest.approx({"a": -1.0, "seed": 2.0})
    assert result.shares["a"] == (0, 0, 0, 4)
    assert result.shares["seed"].value == 1


def test_mean_squares_are_averaged_over_items_before_clipping() -> None:
    with_effect = np.array([[0.0, 2], [10, 12]])  # MS_a = 100, MSE = 2
    without = np.array([[0.0, 2], [0, 2]])  # MS_a = 0, MSE = 2
    result = analyse(
        design_of(2, seeds=2, controls=("a",)), np.stack([with_effect, without, without, without])
    )
    assert result.components == pytest.approx({"a": (25 - 2) / 2, "seed": 2.0})


# ---- the general formula, by another way -------------------------------------------------------


def components_by_definition(values: Floats) -> dict[str, float]:
    """Return the components by Σ (−1)^(|U|−|S|) MS_U / (R ∏ n_i), with plain loops."""
    items, *shape, seeds = values.shape
    axes = range(len(shape))
    terms = [t for size in axes for t in itertools.combinations(axes, size + 1)]
    squares = dict.fromkeys(terms, 0.0)
    error = 0.0
    for item in values:
        error += np.var(item, axis=-1, ddof=1).mean() / items
        cells = item.mean(axis=-1)
        for term in terms:
            total = 0.0
            for place in itertools.product(*map(range, shape)):
                effect = 0.0
                for size in range(len(term) + 1):
                    for subset in itertools.combinations(term, size):
                        index = tuple(place[a] if a in subset else slice(None) for a in axes)
                        effect += (-1) ** (len(term) - size) * cells[index].mean()
                total += effect**2 * seeds
            squares[term] += total / math.prod(shape[a] - 1 for a in term) / items
    components = {}
    for small in terms:
        divisor = seeds * math.prod(n for a, n in enumerate(shape) if a not in small)
        value = sum(
            (-1) ** (len(large) - len(small)) * squares[large]
            for large in terms
            if set(small) <= set(large)
        )
        value -= error if len(small) == len(shape) else 0
        components[":".join("abc"[a] for a in small)] = value / divisor
    return {**components, "seed": error}


@pytest.mark.parametrize("shape", [(3,), (2, 3), (4, 2), (2, 3, 4), (3, 2, 2)])
def test_components_of_one_to_three_factors_follow_the_definition(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(7).normal(size=(6, *shape, 3))
    values += np.random.default_rng(8).normal(size=(6, *shape, 1))
    result = analyse(design_of(*shape, seeds=3, controls=("a",)), values)
    assert result.components == pytest.approx(components_by_definition(values), rel=1e-9)


def test_controllability_has_interactions_of_controls_and_none_with_wording() -> None:
    values = np.random.default_rng(3).normal(size=(12, 2, 3, 2, 2))
    result = analyse(design_of(2, 3, 2, seeds=2, controls=("b", "c")), values)
    assert result.controllability is not None
    shares = {name: estimate.value for name, estimate in result.shares.items()}
    assert result.controllability.value == pytest.approx(shares["b"] + shares["c"] + shares["b:c"])
    assert sum(shares.values()) == pytest.approx(1)
    assert list(result.seed_variance) == list(itertools.product("012", "01"))


def test_controllability_without_a_control_is_none() -> None:
    values = np.random.default_rng(3).normal(size=(12, 3, 2))
    assert analyse(design_of(3, seeds=2, controls=()), values).controllability is None


def test_shares_are_those_of_a_mixed_model_where_it_converges() -> None:
    values = next(
        values
        for values in (simulate(SHARE_SETS[0], seed)[:10, :3, :3, :3] for seed in range(50))
        if min(components_by_definition(values).values()) > 0.02
    )
    result = analyse(design_of(3, 3, seeds=3), values)
    places = dict(zip("iabs", np.indices(values.shape).reshape(4, -1), strict=True))
    formulas = {"a": "0 + C(a)", "b": "0 + C(b)", "c": "0 + C(a):C(b)"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = MixedLM.from_formula(
            "y ~ 1",
            pd.DataFrame({**places, "y": values.ravel()}),
            groups="i",
            re_formula="1",
            vc_formula=formulas,
        ).fit(reml=True)
    assert fit.converged
    parts = np.array([*fit.vcomp, fit.scale])
    shares = [estimate.value for estimate in result.shares.values()]
    assert shares == pytest.approx(list(parts / parts.sum()), abs=0.01)


# ---- known answers: benchmarks/analysis_variance.py has 1,000 simulations of each ----------------


@pytest.mark.parametrize("shares", SHARE_SETS)
def test_shares_of_simulations_are_the_known_ones(shares: tuple[float, ...]) -> None:
    number = 150
    results = [analyse(PAPER, simulate(shares, seed)) for seed in range(number)]
    values = np.array([[share.value for share in r.shares.values()] for r in results])
    covered = [
        [
            low <= share <= high
            for share, (_, low, high, _) in zip(shares, r.shares.values(), strict=True)
        ]
        for r in results
    ]
    assert np.abs(values.mean(axis=0) - shares).max() <= 0.012
    assert math.sqrt(np.square(values[:, -1] - shares[-1]).mean()) <= 0.037
    assert np.mean(covered, axis=0).min() >= 0.88


@pytest.mark.parametrize("shares", [(0.0, 0.0, 0.0, 1.0), (0.5, 0.0, 0.0, 0.5)])
def test_controllability_of_a_generator_without_control_is_small(
    shares: tuple[float, ...],
) -> None:
    results = [analyse(PAPER, simulate(shares, seed)).controllability for seed in range(100)]
    values = np.array([result.value for result in results if result is not None])
    assert values.mean() <= 0.015
    assert (values <= 0.02).mean() >= 0.99


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("offset", [0.0, 1.1, 1e7])
def test_seed_share_of_a_deterministic_generator_is_exactly_zero(
    scale: float, offset: float
) -> None:
    for seed in range(20):
        values = simulate((0.3, 0.4, 0.3, 0.0), seed) * scale + offset
        result = analyse(PAPER, values)
        assert result.components["seed"] == 0.0
        assert result.shares["seed"] == (0.0, 0.0, 0.0, 30)
        assert all(estimate == (0.0, 0.0, 0.0, 30) for estimate in result.seed_variance.values())


def test_factor_that_changes_nothing_has_a_component_of_exactly_zero() -> None:
    wording = np.random.default_rng(0).normal(size=(10, 5, 1, 1)) * 0.1 + 0.7
    result = analyse(design_of(5, 4, seeds=3), np.broadcast_to(wording, (10, 5, 4, 3)))
    assert result.components["b"] == result.components["a:b"] == result.components["seed"] == 0.0
    assert result.shares["a"].value == 1.0


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.5, 3.0, 1e5]), st.floats(-1e3, 1e3))
def test_shares_do_not_depend_on_scale_and_offset_of_values(
    seed: int, scale: float, offset: float
) -> None:
    values = np.random.default_rng(seed).normal(size=(4, 2, 3, 2))
    design = design_of(2, 3, seeds=2)
    shares = analyse(design, values).shares
    moved = analyse(design, values * scale + offset).shares
    for name, estimate in shares.items():
        assert moved[name] == pytest.approx(estimate, abs=1e-6)


# ---- distances ---------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from([(2,), (3, 2), (2, 4), (2, 2, 3)]),
    st.integers(2, 3),
)
def test_distances_of_scalars_give_the_rows_of_the_scalars(
    seed: int, shape: tuple[int, ...], seeds: int
) -> None:
    design = design_of(*shape, seeds=seeds, controls=("a",))
    values = np.random.default_rng(seed).normal(size=(*shape, seeds)).round(2)
    flat = values.ravel()
    squared = np.square(np.abs(flat[:, None] - flat[None, :]))
    assert distance_mean_squares(design, squared) == pytest.approx(
        item_mean_squares(design, values), rel=1e-9, abs=1e-12
    )


def test_distances_of_vectors_give_the_sum_over_dimensions() -> None:
    design = design_of(3, 2, seeds=2)
    vectors = np.random.default_rng(1).normal(size=(12, 5))
    by_dimension = sum(item_mean_squares(design, v.reshape(3, 2, 2)) for v in vectors.T)
    assert distance_mean_squares(design, squared_distances(vectors)) == pytest.approx(by_dimension)


def test_distances_are_those_of_gowers_matrix() -> None:
    design = design_of(3, 2, seeds=2)
    vectors = np.random.default_rng(2).normal(size=(12, 4))
    squared = squared_distances(vectors)
    centring = np.eye(12) - 1 / 12
    gower = -0.5 * centring @ squared @ centring
    # The projection on factor a: its means, minus the grand mean.
    projection = np.kron(np.eye(3) - 1 / 3, np.full((4, 4), 1 / 4))
    expected = np.trace(projection @ gower) / 2
    assert distance_mean_squares(design, squared)[0] == pytest.approx(expected)


def test_distances_of_equal_outputs_in_cells_have_no_seed_variance() -> None:
    design = design_of(3, 2, seeds=3)
    vectors = np.repeat(np.random.default_rng(2).normal(size=(6, 4)), 3, axis=0)
    row = distance_mean_squares(design, squared_distances(vectors))
    assert row[3:].tolist() == [0.0, 0.0]


def test_distances_of_a_cosine_are_those_of_unit_vectors() -> None:
    vectors = np.random.default_rng(2).normal(size=(6, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    cosines = (cosines + cosines.T) / 2
    assert squared_distances_of_similarities(cosines) == pytest.approx(
        squared_distances(vectors), abs=1e-12
    )


@pytest.mark.parametrize("similarities", [[[1.0, 0.5], [0.4, 1.0]], [[1.0, 2.0], [2.0, 1.0]]])
def test_similarities_that_are_asymmetric_or_above_one_are_refused(
    similarities: list[list[float]],
) -> None:
    with pytest.raises(ValuesError):
        squared_distances_of_similarities(np.array(similarities))


# ---- refusals ----------------------------------------------------------------------------------


def test_constant_outputs_are_refused() -> None:
    values = np.broadcast_to(np.arange(10.0).reshape(10, 1, 1, 1), (10, 2, 2, 2))
    with pytest.raises(ConstantError):
        analyse(design_of(2, 2, seeds=2), values)


def test_one_item_with_differing_outputs_is_refused() -> None:
    values = np.zeros((10, 2, 2, 2))
    values[3, 0] = 1
    with pytest.raises(SampleError) as caught:
        analyse(design_of(2, 2, seeds=2), values)
    assert caught.value.needed == 2


def test_few_items_with_differing_outputs_get_a_note() -> None:
    values = np.zeros((30, 2, 2, 2))
    values[:4, 0] = np.arange(1, 5).reshape(4, 1, 1)
    result = analyse(design_of(2, 2, seeds=2), values)
    assert result.varying == 4
    assert "4 of 30 items" in result.notes[0]
    assert result.shares["a"].value == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e200])
def test_values_without_a_usable_square_are_refused(bad: float) -> None:
    values = np.random.default_rng(0).normal(size=(10, 2, 2, 2))
    values[2, 1, 1, 1] = bad
    with pytest.raises(ValuesError):
        mean_squares(design_of(2, 2, seeds=2), values)


def test_values_whose_squares_vanish_are_refused() -> None:
    values = np.random.default_rng(0).normal(size=(10, 2, 2, 2)) * 1e-200
    with pytest.raises(ValuesError):
        mean_squares(design_of(2, 2, seeds=2), values)


@pytest.mark.parametrize(
    ("factors", "shape", "seeds"),
    [
        (("a",), (1,), 2),
        (("a",), (2,), 1),
        ((), (), 2),
        (("a", "b", "c", "d"), (2, 2, 2, 2), 2),
        (("seed",), (2,), 2),
        (("a", "b", "a:b"), (2, 2, 2), 2),
        (("a", "a"), (2, 2), 2),
    ],
)
def test_designs_without_a_basis_are_refused(
    factors: tuple[str, ...], shape: tuple[int, ...], seeds: int
) -> None:
    levels = tuple(tuple(map(str, range(count))) for count in shape)
    with pytest.raises(DesignError):
        Design(factors, levels, seeds, ())


def test_default_controls_are_all_factors_but_the_wording() -> None:
    assert control_factors(("Paraphrase", "t", "length")) == ("t", "length")
    assert control_factors(("prompt", "t")) == ("t",)
    assert control_factors(("x", "y"), ("y",)) == ("y",)
    with pytest.raises(DesignError):
        control_factors(("x", "y"), ("z",))
