"""Accuracy, precision, recall and F1 of predicted labels, with 95 % intervals.

Accuracy, precision and recall are proportions of independent outputs. F1 is
2 J / (1 + J) for the proportion J = hits / (hits + wrong predictions + missed outputs). So the
bounds of J give those of F1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from muniment_analysis.errors import SampleError
from muniment_analysis.intervals import (
    Estimate,
    Floats,
    bootstrap_estimates,
    resampled_means,
    wilson_estimate,
)


@dataclass(frozen=True)
class LabelScores:
    """The agreement on one label.

    Attributes:
        expected: The number of outputs that should have the label.
        predicted: The number of outputs that have it.
        precision: The share of the predicted ones that should have it, or None without any.
        recall: The share of the expected ones that have it, or None without any.
        f1: The harmonic mean of precision and recall, or None if the label does not occur.
    """

    expected: int
    predicted: int
    precision: Estimate | None
    recall: Estimate | None
    f1: Estimate | None


@dataclass(frozen=True)
class LabelReport:
    """The agreement of predicted labels with the expected ones.

    Attributes:
        accuracy: The share of equal labels.
        macro: The means of precision, recall and F1 over the labels that occur. One that is not
            defined counts as 0.
        labels: The scores by label, in the order of the labels.
        confusion: The number of outputs [expected label, predicted label].
    """

    accuracy: Estimate
    macro: dict[str, Estimate]
    labels: dict[str, LabelScores]
    confusion: list[list[int]]


def label_report(expected: Sequence[str], predicted: Sequence[str]) -> LabelReport:
    """Return the agreement of labels, one expected and one predicted for each output.

    The outputs are of different items. Raise SampleError for fewer than 2.
    """
    if len(expected) != len(predicted):
        raise ValueError(f"{len(expected)} expected labels and {len(predicted)} predicted ones")
    if len(expected) < 2:
        raise SampleError(
            "scores of labels need at least 2 outputs; add outputs",
            complete=len(expected),
            needed=2,
        )
    names = sorted({*expected, *predicted})
    places = {name: place for place, name in enumerate(names)}
    pairs = np.array([[places[a], places[b]] for a, b in zip(expected, predicted, strict=True)])
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (pairs[:, 0], pairs[:, 1]), 1)
    hits = int(np.trace(confusion))
    return LabelReport(
        accuracy=wilson_estimate(hits, len(pairs)),
        macro=_macro(pairs, len(names)),
        labels={
            name: _label_scores(
                int(confusion[place, place]),
                int(confusion[place].sum()),
                int(confusion[:, place].sum()),
            )
            for name, place in places.items()
        },
        confusion=confusion.tolist(),
    )


def _label_scores(hits: int, expected: int, predicted: int) -> LabelScores:
    occurrences = expected + predicted - hits
    share = wilson_estimate(hits, occurrences)  # every label occurs
    return LabelScores(
        expected,
        predicted,
        wilson_estimate(hits, predicted) if predicted else None,
        wilson_estimate(hits, expected) if expected else None,
        Estimate(_f1(share.value), _f1(share.low), _f1(share.high), share.n),
    )


def _f1(share: float) -> float:
    """Return the F1 for the share of hits among all outputs with the label."""
    return 2 * share / (1 + share)


def _macro(pairs: NDArray[np.int64], labels: int) -> dict[str, Estimate]:
    """Return the means over the labels, with intervals from resampled outputs."""
    size = len(pairs)
    rows = np.zeros((size, 3, labels))  # hits, expected and predicted by output and label
    outputs = np.arange(size)
    is_hit = pairs[:, 0] == pairs[:, 1]
    rows[outputs, 0, pairs[:, 0]] = is_hit
    rows[outputs, 1, pairs[:, 0]] = 1
    rows[outputs, 2, pairs[:, 1]] = 1
    flat = rows.reshape(size, -1)
    value = _macro_scores(flat.mean(axis=0)[None, :], labels)[0]
    samples = _macro_scores(resampled_means(flat), labels)
    estimates = bootstrap_estimates(value, samples, size)
    names = ("precision", "recall", "f1")
    return dict(zip(names, map(_with_width, estimates), strict=True))


def _macro_scores(counts: Floats, labels: int) -> Floats:
    """Return precision, recall and F1 [n, 3] as means over the labels that occur in counts."""
    hits, expected, predicted = np.moveaxis(counts.reshape(-1, 3, labels), 1, 0)
    occurs = (expected > 0) | (predicted > 0)
    sums = [
        np.divide(part, whole, out=np.zeros_like(part), where=whole > 0).sum(axis=1)
        for part, whole in (
            (hits, predicted),
            (hits, expected),
            (2 * hits, expected + predicted),
        )
    ]
    scores: Floats = np.stack(sums, axis=1) / occurs.sum(axis=1)[:, None]
    return scores


def _with_width(estimate: Estimate) -> Estimate:
    """Return the bounds of a proportion where all resamples are 0 or 1 and have no width."""
    if estimate.value in (0.0, 1.0):
        return wilson_estimate(round(estimate.value * estimate.n), estimate.n)
    return estimate
