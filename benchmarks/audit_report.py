"""Measure the time and memory of `muniment audit report`.

Fills a store with short outputs (kept in `.bench/` for the next run), with a review of every
hundredth blocked or flagged generation. Then a process of its own writes the report as HTML with
plots, JSON and CSV, without verification and replays. Prints one JSON line with seconds, processor
seconds and peak memory, for the whole store and for its first day. As a peer it has the time in
which `audit stats` counts the same generations without groups.

    python benchmarks/audit_report.py [--generations 100000]
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
from typing import Any

from filling import START, fill
from startup import BENCH

import muniment
from muniment.store import Store

WORDS = 8  # of an output: the report reads few of them
LIMIT = 10.0  # seconds at a million generations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generations", type=int, default=100_000)
    count = parser.parse_args().generations
    path = filled(count)
    whole, day = measured(path, "audit", "report"), f"{START:%Y-%m-%d}"
    record = {
        "benchmark": "audit_report",
        "generations": count,
        "store_gb": round(path.stat().st_size / 1e9, 3),
        "python": sys.version.split()[0],
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "report": whole,
        "report_of_a_day": measured(path, "audit", "report", "--since", day, "--until", day),
        "stats_without_groups": measured(path, "audit", "stats"),
        "limit_s": LIMIT,
        "ok": whole["seconds"] <= LIMIT,
    }
    print(json.dumps(record))
    sys.exit(0 if record["ok"] else 1)


def filled(count: int) -> Path:
    """Return a store with `count` generations, filled unless an earlier run did."""
    BENCH.mkdir(exist_ok=True)
    path = BENCH / f"audit-report-{count}.db"
    if path.exists():
        return path
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    url = f"sqlite:///{partial}"
    with Store.open(url, create=True) as store:
        fill(store, count, words=WORDS)
    with tempfile.TemporaryDirectory() as home:
        session = muniment.open(home, store=url, actor="reviewer")
        with session:
            for decision in ("block", "flag"):
                query = muniment.Query(decision=decision, limit=count // 4000)
                for generation in session.generations(query):
                    session.review(generation.id, "approve")
    partial.rename(path)
    return path


def measured(path: Path, *arguments: str) -> dict[str, Any]:
    """Run a command of `muniment` on a store, and return its time and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        program = [sys.executable, "-m", "muniment", "--home", folder, "--store", str(path)]
        files = [f"{folder}/report.{suffix}" for suffix in ("html", "json", "csv")]
        outputs = [part for file in files for part in ("-o", file)] * (arguments[1] == "report")
        begin = time.perf_counter()
        with subprocess.Popen([*program, *arguments, *outputs], stdout=subprocess.DEVNULL) as child:
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - begin
    if child.returncode:
        raise SystemExit(f"muniment {' '.join(arguments)} failed")
    return {
        "seconds": round(seconds, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mb": round(usage.ru_maxrss / 1024),
    }


if __name__ == "__main__":
    main()
