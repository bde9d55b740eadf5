"""The entropy of categories, estimated from a sample.

The correction is from Miller 1955, "Note on the bias of information estimates".
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

_MANY_SINGLETONS = 0.4  # found by simulation: see docs/explanation/controllability.md


@dataclass(frozen=True, slots=True)
class Entropy:
    """The entropy of a sample of categories, in nats.

    Attributes:
        plug_in: The entropy of the observed shares, which is too small on average.
        corrected: The plug-in value plus (categories − 1) / (2 · observations).
        underestimated: Whether at least 40 % of the observations are of a category seen once. The
            corrected value is then still too small.
    """

    plug_in: float
    corrected: float
    underestimated: bool


def entropy(categories: Sequence[Hashable]) -> Entropy:
    """Return the entropy of a sample. Raise ValueError for an empty one."""
    if not categories:
        raise ValueError("the entropy of no observation is not defined")
    counts = Counter(categories).values()
    total = len(categories)
    plug_in = -math.fsum(count / total * math.log(count / total) for count in counts)
    singletons = sum(count == 1 for count in counts)
    return Entropy(
        plug_in=plug_in + 0.0,  # not -0.0
        corrected=plug_in + (len(counts) - 1) / (2 * total),
        underestimated=total > 1 and singletons >= _MANY_SINGLETONS * total,
    )
