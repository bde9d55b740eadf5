"""Statistics of the outputs of one item under one measure.

A statistic is NaN where the layout or the values give no basis for it.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from muniment_analysis.intervals import Floats

from .layout import Layout, Mask
from .response import slope, spearman
from .values import ItemValues

NAN = float("nan")


def mean_distances(layout: Layout, values: ItemValues) -> dict[str, float]:
    """Return the mean distances between outputs that differ in the seed, a setting or the wording.

    The mean distance between paraphrases is the prompt sensitivity score of Zhuo et al. 2024,
    "ProSA: Assessing and Understanding the Prompt Sensitivity of LLMs".
    """
    distances = values.distances
    return {
        "seed": _mean(distances, layout.seed_pairs),
        "setting": _mean(distances, layout.setting_pairs),
        "paraphrase": _mean(distances, layout.paraphrase_pairs),
    }


def seed_distances(layout: Layout, values: ItemValues) -> list[float]:
    """Return the mean distance between outputs that differ in the seed alone, by setting."""
    distances = values.distances
    return [_mean(distances, layout.seed_pairs_of(setting)) for setting in range(layout.settings)]


def setting_means(layout: Layout, values: ItemValues) -> Floats:
    """Return the mean number of each setting [S]. The values must be numbers."""
    assert values.numbers is not None
    return np.asarray(values.numbers.reshape(layout.shape).mean(axis=(0, 2)))


def control_response(
    layout: Layout,
    values: ItemValues,
    controls: Mapping[str, Sequence[object]],
    control: str,
) -> dict[str, float]:
    """Return the rank correlation and the slope of the numbers with a numeric control.

    `controls` has the levels of each control, in the order of the settings.
    """
    assert values.numbers is not None
    levels = [float(str(level)) for level in controls[control]]
    axis = 1 + list(controls).index(control)
    shape = (layout.paraphrases, *map(len, controls.values()), layout.replicates)
    by_level = np.moveaxis(values.numbers.reshape(shape), axis, 0).reshape(len(levels), -1)
    correlation, gradient = spearman(levels, by_level), slope(levels, by_level)
    return {
        "spearman": NAN if correlation is None else correlation,
        "slope": NAN if gradient is None else gradient,
    }


def request_error(
    layout: Layout, values: ItemValues, requested: Sequence[float]
) -> dict[str, float]:
    """Return the mean absolute and the mean signed error of the numbers.

    `requested` has the wanted number at each setting.
    """
    assert values.numbers is not None
    wanted = np.asarray(requested, dtype=np.float64)[None, :, None]
    errors = values.numbers.reshape(layout.shape) - wanted
    return {"absolute": float(np.abs(errors).mean()), "signed": float(errors.mean())}


def agreement(layout: Layout, outputs: Sequence[bytes]) -> float:
    """Return the share of equal outputs among pairs that differ in the seed alone."""
    equal = np.array([[a == b for b in outputs] for a in outputs])
    return _mean(equal.astype(np.float64), layout.seed_pairs)


def cells(layout: Layout, outputs: Sequence[bytes]) -> list[list[bytes]]:
    """Return the outputs of each cell, which differ in the seed alone."""
    starts = itertools.product(range(layout.paraphrases), range(layout.settings))
    return [
        list(outputs[layout.position(p, s, 0) : layout.position(p, s, 0) + layout.replicates])
        for p, s in starts
    ]


def _mean(distances: Floats, pairs: Mask) -> float:
    return float(distances[pairs].mean()) if pairs.any() else NAN
