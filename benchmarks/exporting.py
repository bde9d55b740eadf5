"""Measure the speed and the memory of `audit export`.

Prints one JSON line. Fills a store with `filling.py`, then exports it in each format in a separate
process. Measures rows a second of wall time, processor seconds, and the memory of the largest of
its processes. `--store` uses a filled store instead.

    python benchmarks/exporting.py [--generations 1000000] [--store FILE] [--formats jsonl,csv]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

BAR = 20_000  # rows a second


def measured(store: Path, target: Path) -> dict[str, float]:
    """Export in a separate process and return its time, memory and file size."""
    program = str(Path(sys.executable).with_name("muniment"))
    command = [program, "--store", str(store), "audit", "export", "-o", str(target), "--overwrite"]
    begin = time.perf_counter()
    process = os.posix_spawn(program, command, dict(os.environ))
    _, status, usage = os.wait4(process, 0)
    wall = time.perf_counter() - begin
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"{' '.join(command)} failed")
    return {
        "wall_s": round(wall, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mb": round(usage.ru_maxrss / 1024, 1),
        "mb": round(target.stat().st_size / 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generations", type=int, default=1_000_000)
    parser.add_argument("--store", type=Path, help="Filled store")
    parser.add_argument("--formats", default="jsonl,csv,parquet")
    arguments = parser.parse_args()

    from muniment.store import Store

    with tempfile.TemporaryDirectory() as folder:
        path = arguments.store
        if path is None:
            from filling import fill

            path = Path(folder) / "muniment.db"
            with Store.open(f"sqlite:///{path}", create=True) as store:
                fill(store, arguments.generations)
        with Store.open(f"sqlite:///{path}", create=False) as store:
            from muniment.store import Query

            number = store.count(Query())
        results = {}
        for format in arguments.formats.split(","):
            took = measured(path, Path(folder) / f"all.{format}")
            rate = number / took["wall_s"]
            results[format] = {**took, "rows_per_s": round(rate), "ok": rate >= BAR}
    print(
        json.dumps(
            {
                "benchmark": "exporting",
                "date": datetime.now(UTC).date().isoformat(),
                "cores": os.cpu_count(),
                "load": round(os.getloadavg()[0], 2),
                "generations": number,
                "bar_rows_per_s": BAR,
                **results,
            }
        )
    )


if __name__ == "__main__":
    main()
