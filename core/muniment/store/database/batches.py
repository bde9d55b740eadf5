"""Split lists of values into batches for one SQL statement each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

CHUNK = 1000  # values in one IN (…)


def chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield the values in slices of at most `CHUNK`."""
    return (values[start : start + CHUNK] for start in range(0, len(values), CHUNK))
