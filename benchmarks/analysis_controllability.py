"""Time and memory of a controllability report over recorded outputs, beside reading them alone.

    python benchmarks/analysis_controllability.py [--outputs 3000] [--large 0]

An experiment of a small generator is recorded, and its report is computed from the record in a new
process, with the measures `text-statistics` and `wording`. `reading` only reads the same
generations. `--large N` does the same for N outputs, which shows how memory grows.
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

PLUGIN = """
from muniment import Generator, Parameters, Text, hookimpl, param

class Dial(Generator):
    name = "dial"
    media_type = "text/plain"
    determinism = "exact"

    class Parameters(Parameters):
        level: int = param(0, ge=0, le=100)

    def generate(self, requests):
        for request in requests:
            drawn = request.random()
            count = 40 + request.parameters.level + drawn.randrange(30)
            words = (f"word{drawn.randrange(200)}" for _ in range(count))
            yield request.reply(Text(" ".join(words)))

@hookimpl
def muniment_generators(register):
    register(Dial)
"""
LIMIT_S = 20
PER_ITEM = 5 * 4 * 5


def design(outputs: int) -> str:
    """Return a design of 5 paraphrases, 4 settings and 5 seeds for each item."""
    items = [
        {"id": f"item {number}", "paraphrases": [f"Wording {n} of {number}" for n in range(5)]}
        for number in range(outputs // PER_ITEM)
    ]
    return json.dumps(
        {
            "version": 1,
            "generator": "dial",
            "items": items,
            "settings": {"level": [0, 10, 20, 30]},
            "replicates": 5,
            "seed": 7,
            "measures": ["text-statistics", "wording"],
        }
    )


def run(folder: Path, *arguments: str) -> None:
    """Run the command line with the generator, in the home of a folder."""
    plugin = ["--plugin", str(folder / "dial.py")]
    command = [sys.executable, "-m", "muniment", *plugin, *arguments]
    subprocess.run(command, check=True, capture_output=True, env=environment(folder))


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a process that uses the home of a folder and one thread."""
    return {**os.environ, "MUNIMENT_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}


def measured(folder: Path, what: str) -> dict[str, float]:
    """Return the seconds and the peak memory of reading or analysing, in a new process."""
    command = [sys.executable, __file__, "--worker", what]
    done = subprocess.run(command, check=True, capture_output=True, env=environment(folder))
    result: dict[str, float] = json.loads(done.stdout)
    return result


def worker(what: str) -> None:
    """Read or analyse the last run of MUNIMENT_HOME, and print seconds and peak memory."""
    import muniment
    from muniment_analysis.controllability.analysis import analyse
    from muniment_analysis.controllability.reading import recorded_design

    with muniment.open() as session:
        start, processor = time.perf_counter(), time.process_time()
        run = session.store.find_run("last")
        if what == "reading":
            for _ in session.cells(run):
                pass
        else:
            analyse(session, run, recorded_design(session, run))
        result = {
            "seconds": round(time.perf_counter() - start, 3),
            "processor_s": round(time.process_time() - processor, 3),
            "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        }
    print(json.dumps(result))


def case(outputs: int) -> dict[str, object]:
    """Record an experiment, and return the measurements of its analysis."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "dial.py").write_text(PLUGIN)
        (folder / "design.yaml").write_text(design(outputs))
        run(folder, "config", "set", "policy", "none")
        run(folder, "analyze", "controllability", str(folder / "design.yaml"), "--json")
        return {
            "outputs": outputs,
            "reading": measured(folder, "reading"),
            "report": measured(folder, "report"),
        }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--outputs", type=int, default=3000)
    parser.add_argument("--large", type=int, default=0)
    parser.add_argument("--worker", choices=["reading", "report"])
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments.worker)
        return
    cases = [case(size) for size in (arguments.outputs, arguments.large) if size]
    seconds = cases[0]["report"]["seconds"]  # type: ignore[index]
    print(
        json.dumps(
            {
                "benchmark": "analysis_controllability",
                "load": round(os.getloadavg()[0], 2),
                "cases": cases,
                "limits": {"seconds": LIMIT_S},
                "ok": seconds <= LIMIT_S,
            }
        )
    )


if __name__ == "__main__":
    main()
