"""Compare the processor time of two checkouts, by turns, over the other benchmarks.

Each checkout has a virtual environment in `.venv` and compiled bytecode. A store of equal content
is filled for each. Then both run start-up, recording, export, verification and queries. The first
checkout of a pair changes each round. Prints one JSON line: for each figure the ratios of the
pairs, new to old, and their median.

    python benchmarks/checkouts.py OLD NEW [--pairs 5] [--generations 20000]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

LIMIT = 1.10  # of the median
STARTS = 8  # of the same command in one figure
FILL = """
import sys
sys.path.insert(0, "benchmarks")
from filling import fill
from muniment.store import Store
with Store.open(sys.argv[1], create=True) as store:
    fill(store, int(sys.argv[2]))
"""


class Checkout:
    """A checkout with its environment and its filled store."""

    def __init__(self, folder: Path, store: Path, generations: int) -> None:
        self.folder, self.store, self.generations = folder, store, generations
        bin_ = folder / ".venv" / "bin"
        self.python, self.muniment = str(bin_ / "python"), str(bin_ / "muniment")
        self.run(self.python, "-m", "compileall", "-q", "core", "plugins")
        self.run(self.python, "-c", FILL, f"sqlite:///{store}", str(generations))

    def run(self, *command: str) -> tuple[float, str]:
        """Run a command; return its seconds of processor time and its standard output."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(command, cwd=self.folder, env=_environment(), capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr.decode()[-2000:]}")
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return seconds, done.stdout.decode()

    def benchmark(self, name: str, *options: str) -> tuple[float, dict[str, float]]:
        """Run one of the checkout's benchmarks; return its processor time and its JSON line."""
        seconds, printed = self.run(self.python, f"benchmarks/{name}.py", *options)
        return seconds, json.loads(printed.splitlines()[-1])

    def command(self, *arguments: str) -> float:
        """Return the processor time of one `muniment` command on the store."""
        return self.run(self.muniment, "--store", f"sqlite:///{self.store}", *arguments)[0]


def startup(one: Checkout) -> dict[str, float]:
    """Return the seconds of several starts."""
    return {
        "help": sum(one.run(one.muniment, "--help")[0] for _ in range(STARTS)),
        "list": sum(one.command("audit", "list", "-n", "20") for _ in range(STARTS)),
    }


def recording(one: Checkout) -> dict[str, float]:
    """Return seconds for each generation: of the store alone, and of the pipeline with it."""
    count = str(one.generations)
    fixed = ("--single", "100", "--processes", "2", "--rounds", "1")
    figures = one.benchmark("recording", "--generations", count, *fixed)[1]
    return {
        "store": 1 / figures["recorded_per_processor_second"],
        "pipeline": 1 / figures["pipeline_per_processor_second"],
    }


def exporting(one: Checkout) -> dict[str, float]:
    """Return seconds of a whole export in each format."""
    figures = one.benchmark("exporting", "--store", str(one.store))[1]
    return {name: figures[name]["cpu_s"] for name in ("jsonl", "csv", "parquet")}


def verifying(one: Checkout) -> dict[str, float]:
    """Return seconds of each kind of verification."""
    kinds = ("--projections", "--payloads", "--search")
    return {
        "tree": one.command("audit", "verify"),
        **{kind[2:]: one.command("audit", "verify", kind) for kind in kinds},
    }


def finding(one: Checkout) -> dict[str, float]:
    """Return seconds of all lists and searches."""
    options = ("--generations", str(one.generations), "--rounds", "5", "--store", str(one.store))
    return {"all": one.benchmark("finding", *options)[0]}


MEASURES: Mapping[str, Callable[[Checkout], dict[str, float]]] = {
    "startup": startup,
    "recording": recording,
    "exporting": exporting,
    "verifying": verifying,
    "finding": finding,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--generations", type=int, default=20_000)
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    options = parser.parse_args()
    results: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        stores = Path(folder, "old.db"), Path(folder, "new.db")
        old, new = (
            Checkout(tree.absolute(), store, options.generations)
            for tree, store in zip((options.old, options.new), stores, strict=True)
        )
        for name in options.only:
            pairs = []
            for number in range(options.pairs):
                order = (old, new) if number % 2 == 0 else (new, old)
                figures = {one: MEASURES[name](one) for one in order}
                pairs.append({k: figures[new][k] / figures[old][k] for k in figures[old]})
                print(name, pairs[-1], file=sys.stderr)
            results[name] = {
                key: {
                    "median": round(statistics.median(pair[key] for pair in pairs), 3),
                    "pairs": [round(pair[key], 3) for pair in pairs],
                }
                for key in pairs[0]
            }
    date = datetime.now(UTC).date().isoformat()
    fixed = {"benchmark": "checkouts", "date": date, "cores": os.cpu_count(), "limit": LIMIT}
    load = round(os.getloadavg()[0], 2)
    print(json.dumps({**fixed, "load": load, "generations": options.generations, **results}))


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("MUNIMENT_")}


if __name__ == "__main__":
    main()
