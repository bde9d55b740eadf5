"""Measure how the fit of a recommendation model grows with its interactions.

The catalogue has 10,000 items. Each user takes 50 items of a taste that it shares with others, so
larger data has more users. Every fit, with its tuning, runs in a process of its own with one
thread. The exponent of growth is that of the time beyond the fit of the smallest data, by least
squares of the logarithms of processor seconds. Prints one JSON line.

    python benchmarks/recommendation_growth.py [--family blend] [--sizes 10000,100000,1000000]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from muniment_recommendation.data.catalogue import Catalogue, CatalogueItem
from muniment_recommendation.data.interactions import Interactions
from muniment_recommendation.fitting.fit import fit
from muniment_recommendation.fitting.options import FitOptions

ITEMS, LENGTH, TASTES = 10_000, 50, 40
EXPONENT_LIMIT = 1.1
START = 1_600_000_000_000_000  # microseconds since 1970


class Fitted(NamedTuple):
    """The processor seconds of a fit, and the peak memory of its process in MiB."""

    seconds: float
    mebibytes: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", default="blend")
    parser.add_argument("--sizes", default="10000,30000,100000,300000,1000000")
    parser.add_argument("--fit", type=int, help="Fit data of this size in this process")
    options = parser.parse_args()
    if options.fit is not None:
        print(json.dumps(fit_once(options.family, options.fit)))
        return
    sizes = [int(size) for size in options.sizes.split(",")]
    taken: dict[int, Fitted] = {}
    for size in sizes:
        taken[size] = in_process(options.family, size)
        print(size, json.dumps(taken[size]._asdict()), file=sys.stderr, flush=True)
    exponent = slope(sizes, [taken[size].seconds for size in sizes])
    print(
        json.dumps(
            {
                "benchmark": "recommendation_growth",
                "date": datetime.now(UTC).date().isoformat(),
                "family": options.family,
                "items": ITEMS,
                "processor_seconds": {size: round(taken[size].seconds, 2) for size in sizes},
                "peak_mebibytes": {size: round(taken[size].mebibytes) for size in sizes},
                "exponent": round(exponent, 3),
                "exponent_limit": EXPONENT_LIMIT,
                "ok": exponent <= EXPONENT_LIMIT,
                "load": round(os.getloadavg()[0], 1),
            }
        )
    )


def in_process(family: str, size: int) -> Fitted:
    """Fit data of a size in a new process."""
    command = [sys.executable, __file__, "--family", family, "--fit", str(size)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    environment = os.environ | threads
    result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    return Fitted(*json.loads(result.stdout))


def fit_once(family: str, size: int) -> Fitted:
    """Fit data of a size, and return the seconds and the peak memory of this process."""
    interactions = synthetic(size)
    catalogue = Catalogue(tuple(CatalogueItem(f"{number:05}") for number in range(ITEMS)))
    start = time.process_time()
    fit(interactions, catalogue, FitOptions(family))
    seconds = time.process_time() - start
    return Fitted(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def synthetic(size: int) -> Interactions:
    """Return interactions of users with tastes. Popularity falls with the rank of an item."""
    rng = np.random.default_rng(0)
    popularity = 1 / (np.arange(ITEMS) + 10)
    tastes = rng.integers(TASTES, size=ITEMS)
    by_taste = [popularity * np.where(tastes == taste, 20, 1) for taste in range(TASTES)]
    cumulative = [np.cumsum(weights / weights.sum()) for weights in by_taste]
    users = size // LENGTH
    rows = []
    for _ in range(users):
        weights = cumulative[rng.integers(TASTES)]
        drawn = np.minimum(np.searchsorted(weights, rng.random(3 * LENGTH)), ITEMS - 1)
        _, first = np.unique(drawn, return_index=True)
        rows.append(drawn[np.sort(first)][:LENGTH].astype(np.int32))
    lengths = np.array([len(row) for row in rows])
    times = START + 60_000_000 * np.arange(lengths.sum())
    return Interactions(
        tuple(f"{user:06}" for user in range(users)),
        np.concatenate([[0], np.cumsum(lengths)]),
        np.concatenate(rows),
        times,
        ITEMS,
    )


def slope(sizes: Sequence[int], seconds: Sequence[float]) -> float:
    """Return the exponent of the seconds beyond the first, over the sizes beyond the first."""
    beyond = [max(value - seconds[0], 0.01) for value in seconds[1:]]
    return statistics.linear_regression(
        [math.log(size - sizes[0]) for size in sizes[1:]], [math.log(value) for value in beyond]
    ).slope


if __name__ == "__main__":
    main()
