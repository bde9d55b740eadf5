"""The mean squares of the crossed layout of an item.

An analysis stores one row of an item: the mean square of each term, then the seed variance of each
setting. The mean of the latter is the mean square within cells.
"""

from __future__ import annotations

import math

import numpy as np

from muniment_analysis.errors import ValuesError
from muniment_analysis.intervals import Floats

from .design import Design, Term

# Squares of differences outside of this range overflow, or vanish in a sum.
_SMALLEST, _LARGEST = 1e-140, 1e140


def mean_squares(design: Design, values: Floats) -> Floats:
    """Return the row of each item of values [items, levels of each factor …, seeds].

    Equal values in a cell, or along a factor, give exactly 0, because the first value is subtracted
    before any mean. Raises ValuesError for values that are not finite, and for
    differences whose squares are not.
    """
    items = len(values)
    values = _from_first(values.reshape(items, design.outputs)).reshape(
        items, *design.shape, design.seeds
    )
    differences = values - values[..., :1]
    means = differences.mean(axis=-1, keepdims=True)
    within = np.square(differences - means).sum(axis=-1) / (design.seeds - 1)
    cells = values[..., 0] + means[..., 0]
    effects = [_mean_square(design, cells, term) for term in design.terms]
    rows: Floats = np.column_stack([*effects, _by_setting(design, within)])
    return rows


def item_mean_squares(design: Design, values: Floats) -> Floats:
    """Return the row of one item from its values [levels of each factor …, seeds]."""
    row: Floats = mean_squares(design, np.asarray(values, dtype=np.float64)[None])[0]
    return row


def distance_mean_squares(design: Design, squared: Floats) -> Floats:
    """Return the row of one item from the squared distances [outputs, outputs] of its outputs.

    Outputs are in the order of the factors, the seed last. A term with the projection H has the
    sum of squares tr(H G) with G = −½ J D² J (Gower 1966). It equals −½ tr(H D²), because H J = H.
    D = |x − y| gives the row of the scalars.
    """
    _check_range(squared)
    shape = (*design.shape, design.seeds)
    factors = len(design.factors)
    pairs = np.asarray(squared, dtype=np.float64).reshape(shape + shape)
    # [cells …, cells …]: the mean over both seeds, and [cells …, seeds, seeds] within a cell.
    cells = pairs.mean(axis=(factors, 2 * factors + 1))
    count = math.prod(design.shape)
    grid = pairs.reshape(count, design.seeds, count, design.seeds)
    inner = grid[np.arange(count), :, np.arange(count), :].sum(axis=(1, 2))
    within = (inner / (2 * design.seeds * (design.seeds - 1))).reshape(1, *design.shape)
    effects = [_distance_mean_square(design, cells, term) for term in design.terms]
    return np.concatenate([effects, _by_setting(design, within)[0]])


# ---- internals -----------------------------------------------------------------------------


def _from_first(values: Floats) -> Floats:
    """Return values [items, outputs] minus the first one of their item."""
    with np.errstate(over="ignore", invalid="ignore"):
        differences = values - values[:, :1]
    _check_range(differences)
    return differences


def _check_range(differences: Floats) -> None:
    largest = float(np.abs(differences).max())  # NaN if any is NaN
    if largest != 0 and not _SMALLEST < largest < _LARGEST:
        if math.isfinite(largest):
            raise ValuesError(
                f"the values differ by up to {largest:.0e}, whose square is not a usable number; "
                "multiply all values by a constant"
            )
        raise ValuesError("a value is not a finite number; correct it, or leave its item out")


def _centred(cells: Floats, axis: int) -> Floats:
    """Return cells minus their mean along an axis, exactly 0 where they are equal along it."""
    differences = cells - cells.take([0], axis=axis)
    centred: Floats = differences - differences.mean(axis=axis, keepdims=True)
    return centred


def _mean_square(design: Design, cells: Floats, term: Term) -> Floats:
    """Return the mean square of a term for each item, from the means of cells [items, …]."""
    effects = cells
    for axis in term:  # before the means, which would round differently from line to line
        effects = _centred(effects, axis + 1)
    others = tuple(axis + 1 for axis in range(len(design.factors)) if axis not in term)
    effects = effects.mean(axis=others).reshape(len(cells), -1)
    total: Floats = np.square(effects).sum(axis=1)
    return total * _weight(design, term)


def _distance_mean_square(design: Design, cells: Floats, term: Term) -> float:
    """Return the mean square of a term from the mean squared distances [cells …, cells …]."""
    remaining = list(range(len(design.factors)))
    for axis in reversed(range(len(design.factors))):
        first, second = remaining.index(axis), len(remaining) + remaining.index(axis)
        if axis in term:
            # A constant does not change the result, and makes that of equal blocks exactly 0.
            cells = cells - cells.take([0], axis=first).take([0], axis=second)
            diagonal = np.trace(cells, axis1=first, axis2=second)
            cells = diagonal - cells.sum(axis=(first, second)) / design.shape[axis]
        else:
            cells = cells.mean(axis=(first, second))
        remaining.remove(axis)
    return -0.5 * float(cells) * _weight(design, term)


def _weight(design: Design, term: Term) -> float:
    """Return the outputs that an effect is the mean of, divided by the degrees of freedom."""
    others = [levels for axis, levels in enumerate(design.shape) if axis not in term]
    degrees = math.prod(design.shape[axis] - 1 for axis in term)
    return design.seeds * math.prod(others) / degrees


def _by_setting(design: Design, within: Floats) -> Floats:
    """Return the variance within cells [items, …] as its mean for each setting."""
    controls = design.control_axes
    others = tuple(axis + 1 for axis in range(len(design.factors)) if axis not in controls)
    settings: Floats = within.mean(axis=others).reshape(len(within), -1)
    return settings
