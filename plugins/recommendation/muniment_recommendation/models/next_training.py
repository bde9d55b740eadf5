"""Training of the family `next`: windows of histories, the loss and the steps.

The loss is the cross-entropy of the following items over all items, as in "Turning dross into gold
loss" (Klenitskiy and Vasilev, 2023). For a large catalogue it is over a sample of them. The items
already taken are not among them, as a user takes an item at most once. With them, NDCG@10 on
MovieLens-100K was .107 in place of .117 (second-to-last items, 15 epochs).

Shapes: B windows, T items before a target, N states of a step, F following items of a state,
I items, S sampled items, D width.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from muniment_recommendation.data.interactions import Interactions

from .base import Progress
from .transformer import Dimensions, Network, Parameters, initial_parameters

_BETAS = (0.9, 0.98)
_WARM_UP = 100  # steps until the learning rate is reached
_LAST_RATE = 0.01  # share of the learning rate at the last step, after a half cosine
_LONGEST_GRADIENT = 1.0
_FURTHER = 0.8  # weight of a following item, as a multiple of that of the item before it
_BUCKET = 8  # windows of a batch differ by fewer items than this, so that little is padding


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """The options of a training. A step has about `batch` states."""

    steps: int
    batch: int
    learning_rate: float
    dropout: float
    softmax_items: int
    """The largest catalogue that a step is compared with as a whole."""
    negatives: int
    """The number of items sampled at each step for a larger catalogue."""
    following: int
    """The number of next items that are the targets of a state."""


@contextlib.contextmanager
def exact_results(threads: int = 1) -> Iterator[None]:
    """Use deterministic algorithms and a number of threads in the block, and restore both.

    Both are settings of the process, so other threads that compute in the meantime use them too.

    Sums of another number of threads differ in their last bits.
    """
    threads_before = torch.get_num_threads()
    was_deterministic = torch.are_deterministic_algorithms_enabled()
    warned_only = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(was_deterministic, warn_only=warned_only)
        torch.set_num_threads(threads_before)


def train(
    data: Interactions,
    dimensions: Dimensions,
    options: TrainingOptions,
    seed: int,
    progress: Progress | None = None,
) -> Parameters:
    """Return trained weights. Equal arguments give equal bits on the same processor.

    Without a user of two items nothing can be learned, and scores are the popularity of the items.
    """
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    parameters = initial_parameters(dimensions, generator)
    popularity = np.log1p(data.counts())
    parameters["item_bias"] = torch.from_numpy(popularity - popularity.mean()).float()
    if not (data.lengths > 1).any():
        parameters["norm"].zero_()
        return parameters
    weights = [weight.requires_grad_() for weight in parameters.values()]
    dropout = _Dropout(options.dropout, generator)
    network = Network(dimensions, parameters, dropout)
    optimizer = torch.optim.AdamW(weights, betas=_BETAS, weight_decay=0.0)
    candidates = _Candidates(data.counts(), options)
    batches = _batches(data, dimensions.length, options.batch, rng)
    for step in range(options.steps):
        optimizer.param_groups[0]["lr"] = options.learning_rate * _rate(step, options.steps)
        loss = candidates.loss(network, next(batches), rng)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, _LONGEST_GRADIENT)
        optimizer.step()
        if progress is not None:
            progress(step + 1, options.steps)
    return {name: weight.detach() for name, weight in parameters.items()}


def _rate(step: int, steps: int) -> float:
    """Return the share of the learning rate at a step."""
    warm_up = min(1.0, (step + 1) / _WARM_UP)
    return warm_up * max(_LAST_RATE, (1 + math.cos(math.pi * step / steps)) / 2)


class _Dropout:
    """A function that sets a share of numbers to 0, drawn from its own generator."""

    def __init__(self, share: float, generator: torch.Generator) -> None:
        self.share = share
        self.generator = generator

    def __call__(self, x: Tensor) -> Tensor:
        if self.share == 0:
            return x
        kept = torch.empty_like(x).bernoulli_(1 - self.share, generator=self.generator)
        return x * kept.mul_(1 / (1 - self.share))


# ---- windows ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows of histories of different lengths, padded on the right with item 0.

    A state reads earlier items only, so no state of an item reads the padding after it.
    """

    items: NDArray[np.int64]
    """The items before the targets [B, T]."""
    targets: NDArray[np.int64]
    """The item that follows each of `items` [B, T]."""
    is_real: NDArray[np.bool_]
    """False at the padding [B, T]."""


def windows(
    data: Interactions, length: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first rows and the ends of windows with at most `length` targets each.

    A history longer than a window is cut at a random place, so that each epoch has other windows.
    Its newest window ends with the newest item, and the others meet without a gap.
    """
    starts: list[int] = []
    ends: list[int] = []
    for first, end in zip(data.offsets[:-1].tolist(), data.offsets[1:].tolist(), strict=True):
        window_ends = [end]
        if end - first > length + 1:
            window_ends += range(end - int(rng.integers(1, length + 1)), first + 1, -length)
        for window_end in window_ends:
            if window_end - first > 1:
                starts.append(max(first, window_end - length - 1))
                ends.append(window_end)
    return np.array(starts, dtype=np.int64), np.array(ends, dtype=np.int64)


def make_batch(data: Interactions, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Batch:
    """Return the batch of some windows."""
    targets = (ends - starts - 1)[:, None]  # [B, 1]
    steps = np.arange(targets.max())[None, :]  # [1, T]
    is_real = steps < targets
    rows = np.where(is_real, starts[:, None] + steps, 0)
    items, following = (data.items[places].astype(np.int64) for places in (rows, rows + 1))
    return Batch(np.where(is_real, items, 0), np.where(is_real, following, 0), is_real)


def _batches(
    data: Interactions, length: int, batch: int, rng: np.random.Generator
) -> Iterator[Batch]:
    """Yield batches of about `batch` targets, without end. Each epoch has its own order."""
    while True:
        starts, ends = windows(data, length, rng)
        order = rng.permutation(len(starts))
        order = order[np.argsort((ends - starts)[order] // _BUCKET, kind="stable")]
        targets = np.cumsum((ends - starts - 1)[order])
        groups = np.split(order, np.flatnonzero(np.diff(targets // batch)) + 1)
        for number in rng.permutation(len(groups)).tolist():
            yield make_batch(data, starts[groups[number]], ends[groups[number]])


# ---- the loss --------------------------------------------------------------------------------


class _Candidates:
    """The items with which the targets are compared: all, or a sample of a large catalogue."""

    def __init__(self, counts: NDArray[np.int64], options: TrainingOptions) -> None:
        self.item_count = len(counts)
        self.following = options.following
        self.sample_size = 0 if self.item_count <= options.softmax_items else options.negatives
        chances = (counts + 1) / (counts + 1).sum()
        self.cumulative = np.cumsum(chances)
        self.log_chances = torch.from_numpy(np.log(chances)).float()

    def loss(self, network: Network, batch: Batch, rng: np.random.Generator) -> Tensor:
        """Return the mean cross-entropy of the items that follow the states of a batch."""
        items = torch.from_numpy(batch.items)
        windows, steps = torch.from_numpy(batch.is_real).nonzero(as_tuple=True)  # [N], [N]
        states = network.states(items)[windows, steps]  # [N, D]
        targets, weights = following(batch, windows, steps, self.following)  # [N, F]
        # The items taken so far [N, T]. Later ones are replaced by the newest taken.
        columns = torch.minimum(torch.arange(items.shape[1])[None, :], steps[:, None])
        taken = items[windows[:, None], columns]
        if self.sample_size:
            scores, total = self._sampled(network, states, targets, weights, taken, rng)
        else:
            all_scores = network.scores(states).scatter(1, taken, -math.inf)  # [N, I]
            scores, total = all_scores.gather(1, targets), all_scores.logsumexp(1)
        return (weights * (total[:, None] - scores)).sum(1).mean()

    def _sampled(
        self,
        network: Network,
        states: Tensor,
        targets: Tensor,
        weights: Tensor,
        taken: Tensor,
        rng: np.random.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Return the scores [N, F] of the targets, and the log of the sum [N] of all.

        The sample is shared by all states. An item is sampled by its popularity. Its score minus
        the log of its expected number in the sample (the logQ correction) makes the sum of
        exponentials unbiased. The targets are always candidates and need no correction.
        Where they are also sampled, they do not count.
        """
        drawn = self.cumulative.searchsorted(rng.random(self.sample_size), side="right")
        sample = torch.from_numpy(np.minimum(drawn, self.item_count - 1))  # [S]
        correction = self.log_chances[sample] + math.log(self.sample_size)
        others = network.scores(states, sample) - correction  # [N, S]
        excluded = torch.cat([taken, targets], dim=1)
        others = others.masked_fill(contains(excluded, sample), -math.inf)
        embeddings = network.parameters["items"][targets]  # [N, F, D]
        bias = network.parameters["item_bias"][targets]
        scores = (states[:, None] * embeddings).sum(-1) + bias
        candidates = torch.cat([scores.masked_fill(weights == 0, -math.inf), others], dim=1)
        return scores, candidates.logsumexp(1)


def following(batch: Batch, windows: Tensor, steps: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the next items [N, F] of states, and their weights, which sum to 1.

    After the end of a window, its last item is repeated with the weight 0.
    """
    last = torch.from_numpy(batch.is_real).sum(1)[windows] - 1
    places = steps[:, None] + torch.arange(count)
    items = torch.from_numpy(batch.targets)[windows[:, None], places.minimum(last[:, None])]
    weights = _FURTHER ** torch.arange(count) * (places <= last[:, None])
    return items, weights / weights.sum(1, keepdim=True)


def contains(rows: Tensor, sample: Tensor) -> Tensor:
    """Return whether each row of items [N, T] has each item of a sample [N, S].

    The memory is that of the result, for a catalogue of any size.
    """
    items, columns = sample.unique(return_inverse=True)  # [U], [S]
    places = torch.searchsorted(items, rows).clamp_(max=len(items) - 1)
    places = places.where(items[places] == rows, len(items))  # the last column has the others
    matches = torch.zeros(len(rows), len(items) + 1, dtype=torch.bool)
    return matches.scatter_(1, places, True)[:, columns]
