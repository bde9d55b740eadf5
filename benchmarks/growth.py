"""Measure how the time of each operation grows with the store.

Fills one store with the recording functions. At each size it verifies, exports and counts the
store in separate processes, and runs the lists and searches of `finding.py`. For recording,
verifying, exporting and statistics it fits the exponent of growth (least squares of the logarithms
of processor seconds, minus the time of a process on an empty store). For lists and searches it
divides the 95th percentile of the largest store by that of the smallest. `stats_seconds` is the
wall time of `muniment audit stats` on the largest store, start-up included. Prints one JSON line.

    python benchmarks/growth.py [--sizes 10000,100000,1000000] [--rounds 5] [--store FILE]
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from filling import CHUNK, WORDS, generations, writes
from finding import list_queries, measured as asked, search_queries
from verifying import measured as ran

from muniment.store import Store

EXPONENT_LIMIT, FLAT_LIMIT = 1.1, 3.0
STATS_LIMIT = 3.0  # seconds at a million generations
STATS = ("audit", "stats", "--json")
CHECKS = {
    "verify": ("audit", "verify", "--json"),
    "verify projections": ("audit", "verify", "--json", "--projections"),
    "verify payloads": ("audit", "verify", "--json", "--payloads"),
    "export": ("audit", "export", "--format", "jsonl", "-o", os.devnull, "--overwrite"),
    "stats": STATS,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="10000,30000,100000,300000,1000000")
    parser.add_argument("--rounds", type=int, default=5, help="Number of runs of each query")
    parser.add_argument("--store", type=Path, help="Path of the store")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        path = options.store or Path(folder) / "muniment.db"
        empty = Path(folder) / "empty.db"
        with Store.open(f"sqlite:///{empty}", create=True):
            pass
        least = {name: seconds(empty, command) for name, command in CHECKS.items()}
        made = generations(1, WORDS)
        done, recording = 0, 0.0
        taken: dict[int, Mapping[str, float]] = {}
        for size in sizes:
            with Store.open(f"sqlite:///{path}", create=True) as store:
                while done < size:
                    chunk = list(itertools.islice(made, min(CHUNK, size - done)))
                    before = time.process_time()
                    for write in writes(store, chunk):
                        write()
                    recording += time.process_time() - before
                    done += len(chunk)
            with Store.open(f"sqlite:///{path}", create=False) as store:
                lists = asked(list_queries(store, size), options.rounds)["all"]
                searches = asked(search_queries(store), options.rounds)["all"]
            taken[size] = {
                "record": recording,
                **{
                    name: max(seconds(path, command) - least[name], 0.01)  # it is near 0 if small
                    for name, command in CHECKS.items()
                },
                "list p95 ms": lists["cpu_p95"],
                "search p95 ms": searches["cpu_p95"],
            }
            print(size, json.dumps(taken[size]), file=sys.stderr, flush=True)
        stats_seconds = ran(f"sqlite:///{path.absolute()}", *STATS)[1]
    exponents = {
        name: round(slope(sizes, [taken[size][name] for size in sizes]), 3)
        for name in ("record", *CHECKS)
    }
    flat = {
        name: round(taken[sizes[-1]][name] / taken[sizes[0]][name], 2)
        for name in ("list p95 ms", "search p95 ms")
    }
    print(
        json.dumps(
            {
                "benchmark": "growth",
                "sizes": sizes,
                "processor_seconds": {
                    size: {name: round(value, 2) for name, value in held.items()}
                    for size, held in taken.items()
                },
                "exponents": exponents,
                "exponent_limit": EXPONENT_LIMIT,
                "largest_over_smallest": flat,
                "flat_limit": FLAT_LIMIT,
                "stats_seconds": round(stats_seconds, 2),
                "stats_limit": STATS_LIMIT,
                "ok": stats_seconds <= STATS_LIMIT
                and max(exponents.values()) <= EXPONENT_LIMIT
                and max(flat.values()) <= FLAT_LIMIT,
                "cores": os.cpu_count(),
                "load": round(os.getloadavg()[0], 1),
            }
        )
    )


def seconds(path: Path, command: Sequence[str]) -> float:
    """Return the processor seconds of a command on a store."""
    _, _, processor, _ = ran(f"sqlite:///{path.absolute()}", *command)
    return processor


def slope(sizes: Sequence[int], times: Sequence[float]) -> float:
    """Return the exponent of growth, which is the slope of the line through the logarithms."""
    return statistics.linear_regression(
        [math.log(size) for size in sizes], [math.log(time) for time in times]
    ).slope


if __name__ == "__main__":
    main()
