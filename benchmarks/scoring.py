"""Measure the scoring of recorded generations, and its memory at ten times as many.

Generations of a small generator are recorded and scored with `session.evaluate`: by evaluators of
single texts, and by an evaluator of groups of four. The peer is the same evaluation of the same
texts in memory, without a store. Each size runs in a process of its own.

Prints one JSON line. The exit code is 1 if the evaluators of single texts take more than 30 s for
10,000 texts, or if the larger size takes 50 MB more.

    python benchmarks/scoring.py [--generations 10000]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import muniment
from muniment.plugins.registry import Plugins
from muniment.testing import generation

SECONDS = 30  # for 10,000 texts
MEGABYTES = 50
SINGLE = ("text-statistics",)
GROUPED = ("siblings",)

PLUGIN = """
import muniment

ANSWER = " and some words of an answer, which are always the same" * 5

class Echo(muniment.Generator):
    name, media_type = "echo", "text/plain"

    def generate(self, requests):
        for request in requests:
            yield request.reply(muniment.Text(request.prompt + ANSWER))

class Siblings(muniment.GroupEvaluator):
    name = "siblings"
    measures = (muniment.Measure("siblings"),)

    def evaluate_group(self, generations, references):
        return {one.id: {"siblings": len(generations) - 1} for one in generations}

@muniment.hookimpl
def muniment_generators(register):
    register(Echo)

@muniment.hookimpl
def muniment_evaluators(register):
    register(Siblings)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generations", type=int, default=10_000)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(measured(arguments.one)))
        return
    small, large = (
        in_process(count) for count in (arguments.generations // 10, arguments.generations)
    )
    seconds = large["single_s"] * 10_000 / arguments.generations
    growth = large["peak_mb"] - small["peak_mb"]
    ok = seconds <= SECONDS and growth <= MEGABYTES
    print(json.dumps({"benchmark": "scoring", **large, "growth_mb": round(growth, 1), "ok": ok}))
    sys.exit(0 if ok else 1)


def in_process(count: int) -> dict[str, float]:
    """Return the measurements of a new process."""
    command = [sys.executable, __file__, "--one", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measured(count: int) -> dict[str, float]:
    """Record generations, score them, and return the seconds and the peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        plugin = Path(folder, "scored.py")
        plugin.write_text(PLUGIN, encoding="utf-8")
        with muniment.Session(folder, plugins=Plugins(files=[plugin])) as session:
            specs = (
                muniment.GenerationSpec(f"prompt {number // 4}", generator="echo")
                for number in range(count)
            )
            texts = [
                made.text
                for made in session.run(specs, policy="none", evaluate=[])
                if isinstance(made, muniment.Generation)
            ]
            seconds = {
                "single_s": timed(session, SINGLE, count),
                "grouped_s": timed(session, GROUPED, count),
            }
            begin = time.perf_counter()
            evaluator = session.plugins.find("evaluator", SINGLE[0]).load_class()()
            for text in texts:
                evaluator.evaluate(generation(text))
            peer = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "generations": count,
        **seconds,
        "in_memory_s": round(peer, 2),
        "peak_mb": round(peak, 1),
    }


def timed(session: muniment.Session, evaluators: tuple[str, ...], count: int) -> float:
    """Return the seconds in which all generations are scored."""
    begin = time.perf_counter()
    groups = session.evaluate(muniment.Query(), evaluators)
    assert sum(len(group.generations) for group in groups) == count
    return round(time.perf_counter() - begin, 2)


if __name__ == "__main__":
    main()
