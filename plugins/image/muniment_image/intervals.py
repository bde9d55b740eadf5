"""Intervals of 95 % of measured values."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_NORMAL_95 = 1.959964
# Student's t for a two-sided interval of 95 %, by degrees of freedom from 1 to 10.
_T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


class Interval(NamedTuple):
    """A value with the bounds of its 95 % interval, and the number of samples."""

    value: float
    low: float
    high: float
    n: int


def to_json(record: DataclassInstance) -> dict[str, Any]:
    """Return the fields of a dataclass by name, with intervals as objects."""
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return {
        name: value._asdict() if isinstance(value, Interval) else value
        for name, value in values.items()
    }


def share_interval(value: float, n: int) -> Interval:
    """Return a share of `n` independent samples with its 95 % interval.

    The interval is that of Wilson 1927, "Probable Inference, the Law of Succession, and Statistical
    Inference". It does not have a width of 0 at a share of 0 or 1.
    """
    square_of_z = _NORMAL_95**2
    middle = (value + square_of_z / (2 * n)) / (1 + square_of_z / n)
    spread = value * (1 - value) / n + square_of_z / (4 * n * n)
    half_width = _NORMAL_95 * math.sqrt(spread) / (1 + square_of_z / n)
    return Interval(value, max(0.0, middle - half_width), min(1.0, middle + half_width), n)


def mean_interval(values: Sequence[float]) -> Interval:
    """Return the mean of 2 to 11 values with the 95 % interval of Student's t."""
    mean, count = statistics.fmean(values), len(values)
    half_width = _T_95[count - 2] * statistics.stdev(values) / math.sqrt(count)
    return Interval(mean, mean - half_width, mean + half_width, count)


def bootstrap(
    measure: Callable[[Tensor], float], size: int, *, resamples: int = 200, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of a measure over resampled positions.

    `measure` receives positions [size], drawn with repetition. The interval has the percentiles
    2.5 and 97.5. A Fréchet distance grows when pictures are repeated, so use it for differences.
    """
    generator = torch.Generator().manual_seed(seed)
    values = torch.tensor(
        [measure(torch.randint(size, (size,), generator=generator)) for _ in range(resamples)],
        dtype=torch.float64,
    )
    low, high = torch.quantile(values, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high
