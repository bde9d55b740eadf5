"""Split lists of values into batches for one SQL statement each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

CHUNK = 1000  # values in one IN (…)


def chunks(values: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    """Yield the values in slices of at most `size`."""
    return (values[start : start + size] for start in range(0, len(values), size))
