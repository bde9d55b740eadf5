"""The margin of filtered sampling: how much the logits may change without changing the token.

If every logit changes by at most d, the value of every rank changes by at most d, regardless of
the ids that swap ranks. The number of kept ranks is therefore bounded by the values of the ranks:

- The cumulative probability of top_p changes by at most 2d/T in log-odds, at temperature T.
- The distance of min_p from the first rank changes by at most 2d.
- top_k does not change.

The bounds on the number of kept ranks widen with d. A kept id can leave when enough other ids can
pass it. Another id can enter when it can reach the last kept rank, which matters only if its score
could also win.
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
    """Return a lower bound on the change of logits (sup norm) that changes the chosen token.

    - values: logits [n] of the first n ranks, of which the first `kept` passed the filters
    - scores: logit / temperature + Gumbel noise [n] of the same ranks
    - best: index of the chosen rank
    - lead: difference between its score and the next best kept score
    - limit: top_k, or the size of the vocabulary
    - total: ln of the sum of exp(logit / temperature) within the limit (used with top_p only)
    - complete: whether n is the size of the vocabulary
    """
    depth = values.size
    ranks = np.arange(depth)
    # change[i] is the smallest change of logits at which rank i (from 0) may enter or leave.
    change = np.full(depth, math.inf)
    if top_p < 1.0:
        mass = np.where(ranks < limit, np.exp(values / temperature - total), 0.0)
        above = np.cumsum(mass) - mass
        # Summed from the end, because 1 - above loses precision if the first rank is near 1.
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

    # The chosen rank leaves if the number of kept ranks can fall to n, and n others can pass it.
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
    # A rank outside enters if the number of kept ranks can grow to n, and it can reach rank n.
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
    """Return the changes of all filters [n], after adding the distances [n] of one filter.

    Distances are negative for ranks that the filter keeps, and positive for others. A kept rank
    leaves if any filter drops it. Another rank enters only if all filters keep it.
    """
    left = np.minimum(change, np.maximum(-distance, 0.0))
    outside = np.maximum(np.where(np.isinf(change), 0.0, change), np.maximum(distance, 0.0))
    return np.where(inside, left, outside)


def _grown(grow: Floats, values: Floats, kept: int) -> Floats:
    """Return, for each rank outside, the smallest change at which it can enter.

    For each n, a rank enters when both the number of kept ranks can be n and the rank can reach
    rank n. The result is the minimum over n.
    """
    outside = values[kept:]
    needed = (outside[np.newaxis, :] - outside[:, np.newaxis]) / 2.0
    entered: Floats = np.maximum(grow[np.newaxis, :], needed).min(axis=1)
    return entered
