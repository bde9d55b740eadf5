"""Choosing one row's next token, and how far the choice was from being another.

The law: logits y (after the repetition penalty) are ranked by (-y, id). Temperature 0 takes the
first. Otherwise the ids kept are the top k of the ranks; of those, rank i stays while the ranks
above it hold less than `top_p` of the mass; of those, while y_i >= y_1 + T ln(min_p); the first
rank always stays. The token is the id kept with the largest y / T + Gumbel noise, ties to the
lowest id.

Everything is computed for one row alone, in numpy on one thread, so neighbours cannot matter.
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

_SEARCHED = 1024
_OUTSIDERS = 64
_SLACK = 1e-9
# No change of logits matters where only one token is possible; the record wants finite numbers.
_LARGEST = 1e6


@dataclass(frozen=True, slots=True)
class Sampling:
    """What shapes the choice of a token.

    temperature 0 is greedy; top_k 0, top_p 1, min_p 0 and repetition_penalty 1 switch a filter off.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        """Raises ValueError naming the value out of range."""
        checks = (
            ("temperature", self.temperature >= 0.0, "at least 0"),
            ("top_k", self.top_k >= 0, "at least 0"),
            ("top_p", 0.0 < self.top_p <= 1.0, "above 0 and at most 1"),
            ("min_p", 0.0 <= self.min_p <= 1.0, "from 0 to 1"),
            ("repetition_penalty", self.repetition_penalty > 0.0, "above 0"),
        )
        for name, fine, wanted in checks:
            value = getattr(self, name)
            if not (fine and math.isfinite(value)):
                raise ValueError(f"{name} is {value}, but must be {wanted}")


@dataclass(frozen=True, slots=True)
class Choice:
    """One decided token.

    `logprob` is natural-log probability under the model's unmodified distribution; `margin` is a
    lower bound on the sup-norm change of the logits that could change `token`.
    """

    token: int
    logprob: float
    margin: float


class Ranking:
    """The ranks of one row's logits by (-logit, id), found only as deep as somebody asks.

    `values` is float32 [vocabulary]. Sorting 262,144 logits takes 20 ms; finding the first 1,024
    through block maxima takes 0.3 ms.
    """

    def __init__(self, values: NDArray[np.float32]) -> None:
        self.values = values
        self._ids: Ints = np.empty(0, dtype=np.int64)

    def top(self, count: int) -> Ints:
        """The ids of the first `count` ranks, in order; fewer when the vocabulary is smaller."""
        count = min(count, self.values.size)
        if self._ids.size < count:
            found = self._candidates(count)
            order = np.lexsort((found, -self.values[found]))
            self._ids = found[order[:count]]
        return self._ids[:count]

    def _candidates(self, count: int) -> Ints:
        size = self.values.size
        block = size // (4 * count)
        if block < 8:
            return np.arange(size)
        blocks = size // block
        maxima = self.values[: blocks * block].reshape(blocks, block).max(axis=1)
        threshold = np.partition(maxima, blocks - count)[blocks - count]
        return np.flatnonzero(self.values >= threshold)


class _Scratch(threading.local):
    """An array a thread, used again: the pages of a new one cost more than the sum itself."""

    def __init__(self) -> None:
        self._array = np.empty(0, dtype=np.float32)

    def of(self, size: int) -> NDArray[np.float32]:
        if self._array.size != size:
            self._array = np.empty(size, dtype=np.float32)
        return self._array


_scratch = _Scratch()


def log_normaliser(values: NDArray[np.float32], temperature: float = 1.0) -> float:
    """ln of the sum of exp(values / temperature), accumulated in double precision."""
    largest = values.max()
    shifted = np.subtract(values, largest, out=_scratch.of(values.size))
    if temperature != 1.0:
        shifted /= np.float32(temperature)
    total = float(np.exp(shifted, out=shifted).sum(dtype=np.float64))
    return float(largest) / temperature + math.log(total)


def penalised(
    values: NDArray[np.float32], seen: Sequence[int], penalty: float
) -> NDArray[np.float32]:
    """Logits with those of tokens already seen divided (positive) or multiplied by the penalty."""
    if penalty == 1.0 or not seen:
        return values
    result = values.copy()
    ids = np.unique(np.asarray(seen, dtype=np.int64))
    chosen = result[ids]
    result[ids] = np.where(chosen > 0, chosen / np.float32(penalty), chosen * np.float32(penalty))
    return result


def choose(
    logits: NDArray[np.float32], sampling: Sampling, seed: int, step: int, seen: Sequence[int] = ()
) -> Choice:
    """The token of one row at one step.

    `logits` is float32 [vocabulary], unmodified; `seen` are the ids the repetition penalty is for
    (prompt and answer so far); `step` counts the answer's tokens from 0. Raises RowError when the
    logits are not finite.
    """
    if not math.isfinite(float(logits.max())):
        raise RowError("the model computed a logit that is not a number; its weights are damaged")
    values = penalised(logits, seen, sampling.repetition_penalty)
    if sampling.temperature == 0.0:
        token, margin = _greedy(Ranking(values))
    elif sampling.top_k == 0 and sampling.top_p == 1.0 and sampling.min_p == 0.0:
        token, margin = _unfiltered(Ranking(values), sampling.temperature, seed, step)
    else:
        token, margin = _filtered(Ranking(values), sampling, seed, step)
    if values is not logits:
        margin /= max(sampling.repetition_penalty, 1.0 / sampling.repetition_penalty)
    # Margins are floating-point themselves: what rounding could have added is taken off.
    margin = min(max(margin * (1.0 - 1e-6) - _SLACK, 0.0), _LARGEST)
    return Choice(token, float(logits[token]) - log_normaliser(logits), margin)


def _greedy(ranking: Ranking) -> tuple[int, float]:
    top = ranking.top(2)
    if top.size == 1:
        return int(top[0]), math.inf
    return int(top[0]), float(ranking.values[top[0]] - ranking.values[top[1]]) / 2.0


def _best_two(ids: Ints, scores: Floats) -> tuple[int, float]:
    """The position of the best score (lowest id among equals) and its lead over the next."""
    order = np.lexsort((ids, -scores))
    lead = float(scores[order[0]] - scores[order[1]]) if order.size > 1 else math.inf
    return int(order[0]), lead


def _scores(ranking: Ranking, ids: Ints, temperature: float, seed: int, step: int) -> Floats:
    scaled: Floats = ranking.values[ids].astype(np.float64) / temperature
    return scaled + noise.gumbel(seed, step, ids)


def _unfiltered(ranking: Ranking, temperature: float, seed: int, step: int) -> tuple[int, float]:
    """Gumbel-max over the whole vocabulary.

    The first ranks are scored; any other id can only reach their runner-up with noise above a
    level that follows from the largest logit among the others, and its hash alone tells whether it
    has it.
    """
    ids = ranking.top(_SEARCHED)
    scores = _scores(ranking, ids, temperature, seed, step)
    if ids.size < ranking.values.size:
        runner_up = float(np.partition(scores, scores.size - 2)[scores.size - 2])
        level = runner_up - float(ranking.values[ids[-1]]) / temperature
        everyone = np.arange(ranking.values.size)
        possible = noise.hashes(seed, step, everyone) >= np.uint64(noise.hash_threshold(level))
        possible[ids] = False
        others = np.flatnonzero(possible)
        ids = np.concatenate([ids, others])
        scores = np.concatenate([scores, _scores(ranking, others, temperature, seed, step)])
    best, lead = _best_two(ids, scores)
    return int(ids[best]), temperature * lead / 2.0


def _filtered(ranking: Ranking, sampling: Sampling, seed: int, step: int) -> tuple[int, float]:
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
        kept = _kept(values[: min(depth, limit)], sampling, total)
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


def _kept(values: Floats, sampling: Sampling, total: float) -> int:
    """How many of these ranks (all within top_k) top_p and min_p leave; at least one."""
    kept = values.size
    if sampling.top_p < 1.0:
        mass = np.exp(values / sampling.temperature - total)
        above = np.cumsum(mass) - mass
        kept = int(np.count_nonzero(above < sampling.top_p))
    if sampling.min_p > 0.0:
        cut = values[0] + sampling.temperature * math.log(sampling.min_p)
        kept = min(kept, int(np.count_nonzero(values >= cut)))
    return max(kept, 1)
