"""How fast, and in how much memory, a large store is verified and rebuilt.

A store is filled by the functions that record (kept with --store for the next time); then
`muniment audit verify` runs on it in a process of its own for each thing that can be checked.
Prints one JSON line: seconds and peak memory of each, and the entries they are of.

    python benchmarks/verifying.py [--generations N] [--words N] [--store PATH] [--rebuild]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from filling import fill

from muniment.store import Store

CHECKS = {"tree": [], "projections": ["--projections"], "payloads": ["--payloads"]}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--generations", type=int, default=500_000, help="two entries each")
    arguments.add_argument("--words", type=int, default=60, help="of an output")
    arguments.add_argument("--store", type=Path, default=None, help="where to keep the store")
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
        for name, flags in CHECKS.items():
            found, seconds, processor, peak = measured(url, "audit", "verify", "--json", *flags)
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
    running = subprocess.Popen(
        [sys.executable, "-m", "muniment", "--store", url, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert running.stdout is not None
    printed = running.stdout.read().decode()
    _, status, used = os.wait4(running.pid, 0)
    running.returncode = os.waitstatus_to_exitcode(status)
    assert running.returncode == 0, (command, printed[:500])
    seconds = time.perf_counter() - start
    return printed, seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


if __name__ == "__main__":
    main()
