"""Compare the first answer of a fresh process of two checkouts, by turns.

Each checkout has a virtual environment in `.venv` with the extra `muniment-text[gemma]`. The
default model is added to a home of each. After one unmeasured run of each, both run
`muniment generate text hello --max-tokens 8 --seed 1` by turns, and the first checkout of a pair
changes each round. Prints one JSON line with the wall and processor time of every run, the ratio
of each pair, new to old, and the median ratios.

    python benchmarks/first_answer.py OLD NEW [--pairs 7] [--homes FOLDER]

`--homes` keeps the homes for the next run, because adding the model takes a minute.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

LIMIT = 0.6  # of the median ratios
COMMAND = ("generate", "text", "hello", "--max-tokens", "8", "--seed", "1", "--json")
MODEL = "gemma-3-270m"


class Checkout:
    """A checkout with its own home, to which the default model was added."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder, self.home = folder, home
        self.run(".venv/bin/python", "-m", "compileall", "-q", "core", "plugins")
        if not (home / "models" / f"{MODEL}.json").is_file():
            self.run(".venv/bin/muniment", "models", "add", MODEL)

    def run(self, *command: str) -> tuple[float, float, str]:
        """Run a command; return its wall time, its processor time and its standard output."""
        kept = {name: v for name, v in os.environ.items() if not name.startswith("MUNIMENT_")}
        before, begin = os.times(), time.perf_counter()
        done = subprocess.run(
            command,
            cwd=self.folder,
            env={**kept, "MUNIMENT_HOME": str(self.home)},
            capture_output=True,
            text=True,
        )
        wall, after = time.perf_counter() - begin, os.times()
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        user = after.children_user - before.children_user
        system = after.children_system - before.children_system
        return wall, user + system, done.stdout

    def answer(self) -> tuple[float, float]:
        """Generate in a fresh process; return the wall and the processor time."""
        wall, cpu, printed = self.run(".venv/bin/muniment", *COMMAND)
        if json.loads(printed)["status"] != "completed":
            raise SystemExit(f"{self.folder} did not complete: {printed}")
        return wall, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--homes", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        homes = (options.homes or Path(temporary)).absolute()
        old = Checkout(options.old.absolute(), homes / "old")
        new = Checkout(options.new.absolute(), homes / "new")
        runs: dict[Checkout, list[tuple[float, float]]] = {old: [], new: []}
        old.answer(), new.answer()
        for number in range(options.pairs):
            for one in (old, new) if number % 2 == 0 else (new, old):
                runs[one].append(one.answer())
            print(runs[old][-1], runs[new][-1], os.getloadavg()[0], file=sys.stderr)
    ratios = {
        name: [b[index] / a[index] for a, b in zip(runs[old], runs[new], strict=True)]
        for index, name in enumerate(("wall", "processor"))
    }
    medians = {name: round(statistics.median(values), 3) for name, values in ratios.items()}
    seconds = {
        label: {
            name: [round(run[index], 2) for run in runs[one]]
            for index, name in enumerate(("wall", "processor"))
        }
        for label, one in (("old", old), ("new", new))
    }
    result = {
        "benchmark": "first_answer",
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "pairs": options.pairs,
        "tokens": 8,
        "limit": LIMIT,
        "median": medians,
        "ratios": {name: [round(value, 3) for value in values] for name, values in ratios.items()},
        "seconds": seconds,
        "ok": all(value <= LIMIT for value in medians.values()),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
