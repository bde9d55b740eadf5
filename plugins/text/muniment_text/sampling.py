"""Choose the next token of one row, with the margin of the choice.

The logits y, after the repetition penalty, are ranked by (-y, id). At temperature 0 the token is
that of the first rank. At another temperature T, filters select the ranks to choose from:

1. The first `top_k` ranks.
2. Of those, each rank i if the ranks before it have less than `top_p` of the probability.
3. Of those, each rank i with y_i >= y_1 + T ln(min_p).

The first rank is always selected. The token is the selected id with the largest y / T + Gumbel
noise. Of equal values, the lowest id is chosen.

Each row is computed separately, in numpy on one thread, so that other rows cannot affect it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import noise
from .errors import RowError
from .margins import filtered_margin

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SEARCHED = 1024  # ranks that are scored first
_OUTSIDERS = 64  # ranks after the selected ones that are used to compute the margin
_SLACK = 1e-9
# The margin is infinite if only one token is possible, but the record needs finite numbers.
_MAX_MARGIN = 1e6


@dataclass(frozen=True, slots=True)
class Sampling:
    """The parameters of the choice of a token.

    Temperature 0 always chooses the most likely token. top_k 0, top_p 1, min_p 0 and
    repetition_penalty 1 each disable a filter. Raises ValueError for a value out of range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        """Raise ValueError for a value that is out of range."""
        checks = (
            ("temperature", self.temperature >= 0.0, "at least 0"),
            ("top_k", self.top_k >= 0, "at least 0"),
            ("top_p", 0.0 < self.top_p <= 1.0, "above 0 and at most 1"),
            ("min_p", 0.0 <= self.min_p <= 1.0, "from 0 to 1"),
            ("repetition_penalty", self.repetition_penalty > 0.0, "above 0"),
        )
        for name, in_range, expected in checks:
            value = getattr(self, name)
            if not (in_range and math.isfinite(value)):
                raise ValueError(f"{name} is {value}, but must be {expected}")


@dataclass(frozen=True, slots=True)
class Choice:
    """One chosen token.

    `logprob` is the natural logarithm of its probability under the model's unmodified
    distribution. `margin` is a lower bound on the change of the logits, in the sup norm, that
    could change `token`.
    """

    token: int
    logprob: float
    margin: float


class Ranking:
    """The ranks of one row's logits by (-logit, id), computed on demand.

    `values` is float32 [vocabulary].
    """

    # Sorting 262,144 logits takes 20 ms. Finding the first 1,024 by block maxima takes 0.3 ms.

    def __init__(self, values: NDArray[np.float32]) -> None:
        self.values = values
        self._ids: Ints = np.empty(0, dtype=np.int64)

    def top(self, count: int) -> Ints:
        """Return the ids of the first `count` ranks in order, or of all if there are fewer."""
        count = min(count, self.values.size)
        if self._ids.size < count:
            candidates = self._candidates(count)
            order = np.lexsort((candidates, -self.values[candidates]))
            self._ids = candidates[order[:count]]
        return self._ids[:count]

    def _candidates(self, count: int) -> Ints:
        """Return ids that include the first `count` ranks, in no particular order."""
        size = self.values.size
        block = size // (4 * count)
        if block < 8:
            return np.arange(size)
        blocks = size // block
        maxima = self.values[: blocks * block].reshape(blocks, block).max(axis=1)
        threshold = np.partition(maxima, blocks - count)[blocks - count]
        return np.flatnonzero(self.values >= threshold)


class _Scratch(threading.local):
    """One reusable array for each thread.

    Allocating the memory pages of a new array takes longer than the sum that is computed in it.
    """

    def __init__(self) -> None:
        self._array = np.empty(0, dtype=np.float32)

    def get(self, size: int) -> NDArray[np.float32]:
        """Return an array of that size with undefined values."""
        if self._array.size != size:
            self._array = np.empty(size, dtype=np.float32)
        return self._array


_scratch = _Scratch()


def log_normaliser(values: NDArray[np.float32], temperature: float = 1.0) -> float:
    """Return ln(sum of exp(values / temperature)), accumulated in double precision."""
    largest = values.max()
    shifted = np.subtract(values, largest, out=_scratch.get(values.size))
    if temperature != 1.0:
        shifted /= np.float32(temperature)
    total = float(np.exp(shifted, out=shifted).sum(dtype=np.float64))
    return float(largest) / temperature + math.log(total)


def penalised(
    values: NDArray[np.float32], seen: Sequence[int], penalty: float
) -> NDArray[np.float32]:
    """Return the logits [vocabulary] with a repetition penalty for the token ids in `seen`.

    Positive logits of these ids are divided by the penalty, and other logits are multiplied.
    """
    if penalty == 1.0 or not seen:
        return values
    result = values.copy()
    ids = np.unique(np.asarray(seen, dtype=np.int64))
    old = result[ids]
    result[ids] = np.where(old > 0, old / np.float32(penalty), old * np.float32(penalty))
    return result


def choose(
    logits: NDArray[np.float32], sampling: Sampling, seed: int, step: int, seen: Sequence[int] = ()
) -> Choice:
    """Return the next token of one row.

    `logits` is float32 [vocabulary], unmodified. `step` is the index of the token in the answer,
    from 0. `seen` are the ids of the prompt and the answer so far, for the repetition penalty.
    Raises RowError if the logits are not finite.
    """
    if not math.isfinite(float(logits.max())):
        raise RowError(
            "the model computed a logit that is not a number; "
            "check its config.json, or fetch the model again"
        )
    values = penalised(logits, seen, sampling.repetition_penalty)
    if sampling.temperature == 0.0:
        token, margin = _greedy(Ranking(values))
    elif sampling.top_k == 0 and sampling.top_p == 1.0 and sampling.min_p == 0.0:
        token, margin = _unfiltered(Ranking(values), sampling.temperature, seed, step)
    else:
        token, margin = _filtered(Ranking(values), sampling, seed, step)
    if values is not logits:
        margin /= max(sampling.repetition_penalty, 1.0 / sampling.repetition_penalty)
    # Subtract the largest error that rounding can have added to the margin.
    margin = min(max(margin * (1.0 - 1e-6) - _SLACK, 0.0), _MAX_MARGIN)
    return Choice(token, float(logits[token]) - log_normaliser(logits), margin)


def _greedy(ranking: Ranking) -> tuple[int, float]:
    """Return the first rank's id and its margin."""
    top = ranking.top(2)
    if top.size == 1:
        return int(top[0]), math.inf
    return int(top[0]), float(ranking.values[top[0]] - ranking.values[top[1]]) / 2.0


def _best_two(ids: Ints, scores: Floats) -> tuple[int, float]:
    """Return the index of the best score (lowest id if equal) and its lead over the next one."""
    order = np.lexsort((ids, -scores))
    lead = float(scores[order[0]] - scores[order[1]]) if order.size > 1 else math.inf
    return int(order[0]), lead


def _scores(ranking: Ranking, ids: Ints, temperature: float, seed: int, step: int) -> Floats:
    """Return logit / temperature + Gumbel noise for each of n ids, as an array [n]."""
    scaled: Floats = ranking.values[ids].astype(np.float64) / temperature
    return scaled + noise.gumbel(seed, step, ids)


def _unfiltered(ranking: Ranking, temperature: float, seed: int, step: int) -> tuple[int, float]:
    """Return the token id and its margin without filters (Gumbel-max over the vocabulary)."""
    # Only the first ranks and a few other ids are scored. Another id matters only if it reaches
    # the runner-up of the first ranks. Its noise must then exceed a level, which follows from the
    # largest logit of the other ids, and the id's hash alone shows whether it can.
    ids = ranking.top(_SEARCHED)
    scores = _scores(ranking, ids, temperature, seed, step)
    if ids.size < ranking.values.size:
        runner_up = float(np.partition(scores, scores.size - 2)[scores.size - 2])
        level = runner_up - float(ranking.values[ids[-1]]) / temperature
        vocabulary = np.arange(ranking.values.size)
        possible = noise.hashes(seed, step, vocabulary) >= np.uint64(noise.hash_threshold(level))
        possible[ids] = False
        others = np.flatnonzero(possible)
        ids = np.concatenate([ids, others])
        scores = np.concatenate([scores, _scores(ranking, others, temperature, seed, step)])
    best, lead = _best_two(ids, scores)
    return int(ids[best]), temperature * lead / 2.0


def _filtered(ranking: Ranking, sampling: Sampling, seed: int, step: int) -> tuple[int, float]:
    """Return the token id and its margin with top_k, top_p and min_p."""
    size = ranking.values.size
    temperature = sampling.temperature
    limit = min(sampling.top_k or size, size)
    total = 0.0
    if sampling.top_p < 1.0:
        if limit < size:
            head = ranking.values[ranking.top(limit)].astype(np.float64) / temperature
            total = float(head[0]) + math.log(float(np.exp(head - head[0]).sum()))
        else:
            total = log_normaliser(ranking.values, temperature)
    depth = min(limit, _SEARCHED)
    while True:
        ids = ranking.top(min(depth + _OUTSIDERS, size))
        values = ranking.values[ids].astype(np.float64)
        kept = _count_kept(values[: min(depth, limit)], sampling, total)
        if kept < depth or depth >= limit:
            break
        depth = min(depth * 8, limit)
    ids, values = ids[: kept + _OUTSIDERS], values[: kept + _OUTSIDERS]
    scores = values / temperature + noise.gumbel(seed, step, ids)
    best, lead = _best_two(ids[:kept], scores[:kept])
    margin = filtered_margin(
        values=values,
        scores=scores,
        kept=kept,
        best=best,
        lead=lead,
        limit=limit,
        temperature=temperature,
        top_p=sampling.top_p,
        min_p=sampling.min_p,
        total=total,
        complete=ids.size >= size,
    )
    return int(ids[best]), margin


def _count_kept(values: Floats, sampling: Sampling, total: float) -> int:
    """Return the number of ranks that top_p and min_p keep, at least 1.

    `values` are the logits of the first ranks within top_k. `total` is the result of
    `log_normaliser` over all ranks within top_k.
    """
    kept = values.size
    if sampling.top_p < 1.0:
        mass = np.exp(values / sampling.temperature - total)
        above = np.cumsum(mass) - mass
        kept = int(np.count_nonzero(above < sampling.top_p))
    if sampling.min_p > 0.0:
        cut = values[0] + sampling.temperature * math.log(sampling.min_p)
        kept = min(kept, int(np.count_nonzero(values >= cut)))
    return max(kept, 1)
