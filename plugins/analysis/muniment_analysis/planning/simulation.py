"""The precision of variance shares, from simulated generators with known shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np

import muniment
from muniment_analysis.intervals import Estimate, Floats
from muniment_analysis.variance.design import SEED, Design
from muniment_analysis.variance.mean_squares import mean_squares
from muniment_analysis.variance.shares import VarianceShares, variance_shares

from .sample_size import MOST_ITEMS

CONTROLLABILITY = "controllability"
PARTS = ("paraphrase", "setting", "paraphrase:setting", SEED)

_SIMULATIONS = 24
_FIRST_ITEMS = 40
_MOST_SIMULATED = 400


class KnownShares(NamedTuple):
    """True shares of a generator, which sum to 1."""

    paraphrase: float
    setting: float
    both: float
    seed: float


def parse_shares(text: str) -> KnownShares:
    """Return four shares between commas. Raise UsageError unless they sum to 1."""
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    total = sum(shares)
    if len(shares) != len(PARTS) or min(shares) < 0 or not math.isclose(total, 1, abs_tol=1e-6):
        raise muniment.UsageError(
            f"--shares {text!r} is not four shares that sum to 1; use those of paraphrase, "
            "setting, both and seed, such as .2,.2,.1,.5"
        )
    return KnownShares(*shares)


def simulate(shares: KnownShares, items: int, cell: Sequence[int], seed: int) -> Floats:
    """Return the values [items, paraphrases, settings, seeds] of a generator with known shares.

    Effects have the distribution of Laplace, which has heavier tails than the normal one.
    """
    paraphrases, settings, seeds = cell
    generator = np.random.default_rng(seed)
    shapes = (
        (paraphrases, 1, 1),
        (1, settings, 1),
        (paraphrases, settings, 1),
        (paraphrases, settings, seeds),
    )
    values = np.zeros((items, *cell))
    for share, shape in zip(shares, shapes, strict=True):
        values += generator.laplace(scale=math.sqrt(share / 2), size=(items, *shape))
    return values


def share_estimate(shares: VarianceShares, part: str) -> Estimate:
    """Return a share, or the controllability. Raise UnknownNameError for another name."""
    known = {**shares.shares, CONTROLLABILITY: shares.controllability}
    estimate = known.get(part)
    if estimate is None:
        raise muniment.UnknownNameError("share", part, [name for name in known if known[name]])
    return estimate


def items_for_share(shares: KnownShares, part: str, precision: float, cell: Sequence[int]) -> int:
    """Return about how many items give the interval of a share a half-width.

    `cell` has the numbers of paraphrases, settings and seeds, each at least 2. Half-widths of
    simulations fall with the square root of the items, which is used beyond 400 items.
    """
    items = _FIRST_ITEMS
    for _ in range(2):
        items = items_by_scale(items, _half_width(shares, part, items, cell), precision)
        if not 10 <= items <= _MOST_SIMULATED:
            return items
    return items


def items_by_scale(items: int, half_width: float, precision: float) -> int:
    """Return the items for a half-width, from the half-width of other items."""
    needed = items * (half_width / precision) ** 2
    if needed > MOST_ITEMS:
        raise muniment.UsageError(
            f"this needs more than {MOST_ITEMS:,} items; use a larger --precision"
        )
    return max(2, math.ceil(needed))


def _half_width(shares: KnownShares, part: str, items: int, cell: Sequence[int]) -> float:
    """Return the mean half-width of the intervals of simulations."""
    paraphrases, settings, seeds = cell
    levels = tuple(map(str, range(paraphrases))), tuple(map(str, range(settings)))
    design = Design(("paraphrase", "setting"), levels, seeds, ("setting",))
    widths = []
    for number in range(_SIMULATIONS):
        values = simulate(shares, items, cell, number)
        estimate = share_estimate(variance_shares(design, mean_squares(design, values)), part)
        widths.append(estimate.high - estimate.low)
    return fmean(widths) / 2
