"""Measure the speed and the memory of verifying and rebuilding a large store.

Fills a store with the recording functions (--store keeps it for the next run). Then runs
`muniment audit verify` on it for each check. Prints one JSON line with the number of entries, wall
and processor seconds, and the peak memory of all processes together. The memory is the sum of the
resident sets, so that shared pages count for each process.

    python benchmarks/verifying.py [--generations N] [--words N] [--store PATH] [--rebuild]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from filling import fill

from muniment.store import Store

CHECKS = {
    "tree": [],
    "projections": ["--projections"],
    "payloads": ["--payloads"],
    "search": ["--search"],
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument(
        "--generations", type=int, default=500_000, help="Generations (two entries each)"
    )
    arguments.add_argument("--words", type=int, default=60, help="Words of an output")
    arguments.add_argument("--store", type=Path, default=None, help="Path of the store")
    arguments.add_argument("--checks", nargs="+", choices=CHECKS, default=list(CHECKS))
    arguments.add_argument("--processes", default=None, help="Processes, as for audit verify")
    arguments.add_argument("--rebuild", action="store_true", help="Measurement of db rebuild")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.store or Path(folder) / "muniment.db"
        url = f"sqlite:///{path.absolute()}"
        figures: dict[str, object] = {"benchmark": "verifying", "words": options.words}
        if not path.exists():
            with Store.open(url, create=True) as store:
                speed = fill(store, options.generations, words=options.words)
            figures["filled_per_second"] = round(speed)
        shared = ["--processes", options.processes] if options.processes else []
        for name in options.checks:
            command = ["audit", "verify", "--json", *shared, *CHECKS[name]]
            found, seconds, processor, peak = measured(url, *command)
            verified = json.loads(found)
            assert verified["ok"], verified["problems"][:5]
            figures["entries"] = verified["entries"]
            figures[name] = {
                "seconds": round(seconds, 1),
                "processor_seconds": round(processor, 1),
                "peak_mb": round(peak),
            }
        if options.rebuild:
            _, seconds, processor, peak = measured(url, "db", "rebuild", "--json")
            figures["rebuild"] = {
                "seconds": round(seconds, 1),
                "processor_seconds": round(processor, 1),
                "peak_mb": round(peak),
            }
        figures["store_bytes"] = path.stat().st_size
        figures["load_average"] = [round(load, 1) for load in os.getloadavg()]
        figures["cores"] = os.cpu_count()
        print(json.dumps(figures))


def measured(url: str, *command: str) -> tuple[str, float, float, float]:
    """Run a command and return its output, seconds, processor seconds and peak megabytes."""
    start = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = subprocess.Popen(
        [sys.executable, "-m", "muniment", "--store", url, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    peak = 0
    while running.poll() is None:
        peak = max(peak, sum(map(resident, (running.pid, *children(running.pid)))))
        time.sleep(0.05)
    seconds = time.perf_counter() - start
    assert running.stdout is not None
    printed = running.stdout.read().decode()
    assert running.returncode == 0, (command, printed[:500])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return printed, seconds, processor, peak / 1024


def children(number: int) -> list[int]:
    """Return the child processes of a process."""
    try:
        listed = Path(f"/proc/{number}/task/{number}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in listed.split()]


def resident(number: int) -> int:
    """Return the resident memory of a process in kilobytes."""
    try:
        lines = Path(f"/proc/{number}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


if __name__ == "__main__":
    main()
