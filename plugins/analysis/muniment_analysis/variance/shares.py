"""Variance components and shares from the mean squares of items, with their intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muniment_analysis.errors import ConstantError, SampleError
from muniment_analysis.intervals import Estimate, Floats, bootstrap_estimates, resampled_means

from .design import SEED, Design

FEW_VARYING = 10


@dataclass(frozen=True)
class VarianceShares:
    """The division of the variance within items.

    Attributes:
        design: The design of each item.
        items: The number of items.
        varying: The number of items whose outputs differ at all.
        components: The variance of each term and of the seed, which may be negative.
        shares: The components, with negative ones set to 0, divided by their sum.
        controllability: The sum of the shares of control parameters and of interactions between
            them. None without a control parameter.
        seed_variance: The variance between seeds at each combination of control levels.
    """

    design: Design
    items: int
    varying: int
    components: dict[str, float]
    shares: dict[str, Estimate]
    controllability: Estimate | None
    seed_variance: dict[tuple[str, ...], Estimate]

    @property
    def notes(self) -> list[str]:
        """Sentences on the basis of the shares that a reader must know."""
        if self.varying >= FEW_VARYING:
            return []
        return [f"only {self.varying} of {self.items} items have outputs that differ; add items"]


def variance_shares(design: Design, rows: Floats) -> VarianceShares:
    """Return the shares from a row of mean squares for each item.

    The mean squares are averaged over items, and components follow from their expected values
    (Cornfield and Tukey 1956). Raises ConstantError if no outputs of an item differ, and
    SampleError if those of one item only do.
    """
    items = len(rows)
    varying = int(np.any(rows != 0, axis=1).sum())
    equations = _equations(design)
    means = rows.mean(axis=0)
    components = equations @ means
    clipped = np.maximum(components, 0.0)
    if varying == 0 or clipped.sum() <= 0:
        raise ConstantError(
            "the outputs of each item are equal, so there is no variance to divide; "
            "use a measure that differs between outputs"
        )
    if varying == 1:
        raise SampleError(
            "the outputs of only one item differ; an interval needs 2 such items or more",
            complete=1,
            needed=2,
        )
    samples = resampled_means(rows)
    parts = np.maximum(samples @ equations.T, 0.0)
    # A resample of items whose outputs do not differ has no shares.
    parts = parts[parts.sum(axis=1) > 0]
    controls = np.isin(design.names, design.control_names)
    values = _with_controls(clipped, controls)
    estimates = bootstrap_estimates(values, _with_controls(parts, controls), items)
    terms = len(design.terms)
    variances = bootstrap_estimates(means[terms:], samples[:, terms:], items)
    return VarianceShares(
        design,
        items,
        varying,
        dict(zip(design.names, components.tolist(), strict=True)),
        dict(zip(design.names, estimates[:-1], strict=True)),
        estimates[-1] if design.controls else None,
        dict(zip(design.settings, variances, strict=True)),
    )


def components_of(design: Design, row: Floats) -> dict[str, float]:
    """Return the components of one row of mean squares, which may be negative, by their names."""
    return dict(zip(design.names, (_equations(design) @ row).tolist(), strict=True))


def _equations(design: Design) -> Floats:
    """Return the matrix [components, columns of a row] that turns mean squares into components.

    The component of the factors S is the sum over all terms U that contain S of
    `(−1)^(|U| − |S|) MS_U / (R ∏ levels of factors not in S)`. The full interaction has the mean
    square within cells subtracted, divided by R.
    """
    terms, settings = len(design.terms), len(design.settings)
    within = np.zeros(terms + settings)
    within[terms:] = 1 / settings
    matrix = np.zeros((terms + 1, terms + settings))
    for row, small in enumerate(design.terms):
        others = [levels for axis, levels in enumerate(design.shape) if axis not in small]
        for column, large in enumerate(design.terms):
            if set(small) <= set(large):
                sign = (-1) ** (len(large) - len(small))
                matrix[row, column] = sign / (design.seeds * math.prod(others))
    matrix[terms - 1] -= within / design.seeds
    matrix[design.names.index(SEED)] = within
    return matrix


def _with_controls(parts: Floats, controls: NDArray[np.bool_]) -> Floats:
    """Return components [… , components] as shares, with the sum of the controls as last column."""
    shares = parts / parts.sum(axis=-1, keepdims=True)
    total = (shares * controls).sum(axis=-1, keepdims=True)
    return np.concatenate([shares, total], axis=-1)
