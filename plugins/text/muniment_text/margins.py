"""How much the logits may change before filtered sampling chooses another token.

Changing every logit by at most d moves every *rank's* value by at most d, whatever ids swap
places. So the number of ranks kept depends on ranks alone: top_p's cumulative mass moves by at most
2d/T in log-odds, min_p's distance from the first rank by 2d, top_k not at all. With the count
between bounds that widen with d, an id leaves once too many others can pass it, and one from
outside enters once it can reach the last rank kept; an entry matters only when its score could
also win.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def filtered_margin(
    *,
    values: Floats,
    scores: Floats,
    kept: int,
    best: int,
    lead: float,
    limit: int,
    temperature: float,
    top_p: float,
    min_p: float,
    total: float,
    complete: bool,
) -> float:
    """A lower bound on the sup-norm change of logits that changes the token chosen.

    values, scores: [n] the first n ranks' logits and perturbed scores, outsiders after the first
    `kept`; best: the winner's position; lead: its score over the next kept one; limit: top_k or
    the vocabulary's size; total: ln of the mass at this temperature (used with top_p); complete:
    whether n is the whole vocabulary.
    """
    depth = values.size
    ranks = np.arange(depth)
    # change[i]: the smallest change of logits at which rank i (from 0) may change sides.
    change = np.full(depth, math.inf)
    if top_p < 1.0:
        mass = np.where(ranks < limit, np.exp(values / temperature - total), 0.0)
        above = np.cumsum(mass) - mass
        # Summed from the end: 1 - above would lose what a nearly certain first rank leaves over.
        unseen = max(1.0 - float(mass.sum()), 0.0) + 1e-12
        unseen = min(unseen, max(limit - depth, 0) * float(mass[-1]))
        below = np.cumsum(mass[::-1])[::-1] + unseen
        with np.errstate(divide="ignore"):
            odds = np.log(above) - np.log(below)
        distance = (odds - math.log(top_p / (1.0 - top_p))) * temperature / 2.0
        change = _combine(change, distance, ranks < kept)
    if min_p > 0.0:
        cut = values[0] + temperature * math.log(min_p)
        change = _combine(change, (cut - values) / 2.0, ranks < kept)
    change[ranks >= limit] = math.inf

    margin = temperature * lead / 2.0

    # The winner leaves when the count can fall to n and n others can stand above it.
    inside = np.arange(best, kept)
    drop = np.append(change[best + 1 : kept], 0.0)
    following = values[best + 1 : kept + 1]
    if following.size < inside.size:
        following = np.append(following, -math.inf)
    leave = np.maximum(drop, (values[best] - following) / 2.0)
    if best > 0:
        margin = min(margin, float(change[best]))
    margin = min(margin, float(leave.min(initial=math.inf)))

    if kept >= depth:
        return margin
    # Rank q outside enters when the count can grow to n and it can reach the n-th rank's value.
    outside = values[kept:]
    reach = (values[kept - 1] - outside) / 2.0
    grow = np.maximum.accumulate(change[kept:])
    enter = np.minimum(reach, _grown(grow, values, kept))
    harmful = np.maximum(enter, temperature * (scores[best] - scores[kept:]) / 2.0)
    margin = min(margin, float(harmful.min()))
    if not complete:
        margin = min(margin, float(enter[-1]))
    return margin


def _combine(change: Floats, distance: Floats, inside: NDArray[np.bool_]) -> Floats:
    """Merge one filter's distances (negative inside, positive outside) into the others'.

    A rank inside leaves when any filter drops it; one outside enters when all let it.
    """
    left = np.minimum(change, np.maximum(-distance, 0.0))
    outside = np.maximum(np.where(np.isinf(change), 0.0, change), np.maximum(distance, 0.0))
    return np.where(inside, left, outside)


def _grown(grow: Floats, values: Floats, kept: int) -> Floats:
    """For each rank outside, the least over n of max(count reaches n, it reaches rank n)."""
    outside = values[kept:]
    needed = (outside[np.newaxis, :] - outside[:, np.newaxis]) / 2.0
    entered: Floats = np.maximum(grow[np.newaxis, :], needed).min(axis=1)
    return entered
