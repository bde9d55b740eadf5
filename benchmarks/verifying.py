"""How fast, and in how much memory, a large store is verified and rebuilt.

A store is filled by the functions that record (kept with --store for the next time); then
`muniment audit verify` runs on it for each thing that can be checked. Prints one JSON line: seconds
by the clock and of the processor, and the most memory that all its processes had together, where
what they share counts for each (the resident set); and the entries they are of.

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
    arguments.add_argument("--generations", type=int, default=500_000, help="two entries each")
    arguments.add_argument("--words", type=int, default=60, help="of an output")
    arguments.add_argument("--store", type=Path, default=None, help="where to keep the store")
    arguments.add_argument("--checks", nargs="+", choices=CHECKS, default=list(CHECKS))
    arguments.add_argument("--processes", default=None, help="as audit verify takes it")
    arguments.add_argument("--rebuild", action="store_true", help="measure db rebuild, too")
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
    """Run a command; return what it printed, seconds, processor seconds and peak megabytes."""
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
    """Return the processes that a process started."""
    try:
        listed = Path(f"/proc/{number}/task/{number}/children").read_text()
    except OSError:
        return []
    return [int(child) for child in listed.split()]


def resident(number: int) -> int:
    """Return the kilobytes of memory that a process has at the moment."""
    try:
        lines = Path(f"/proc/{number}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


if __name__ == "__main__":
    main()
