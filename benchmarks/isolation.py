"""Measure the cost of a worker process, compared with the same plugin in process.

Prints one JSON line. `start` is the time from a new session to its first generation by a plugin of
a few lines. `recorded` is a generation of a batch in the whole pipeline, with a filter, an
evaluator and recording. `bare` is a call of the generator alone, which shows the cost of a call.
`megabyte` is a bare answer of a million bytes. Every figure is the best of the rounds, in process
and isolated in turn. The figures are wall time, since two processes share the work.

    python benchmarks/isolation.py [--rounds 7] [--requests 512]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from muniment import GenerationSpec, Request, Session
from muniment.plugins.discovery import Plugin
from muniment.plugins.invocation import run_generator
from muniment.plugins.objects import instantiate
from muniment.plugins.registry import Plugins

PLUGIN = '''
import muniment


class Echo(muniment.Generator):
    """Says the prompt again, or a million bytes."""

    name, media_type, determinism = "bench-echo", "text/plain", "exact"

    def generate(self, requests):
        for request in requests:
            text = "x" * 1_000_000 if request.prompt == "megabyte" else request.prompt
            yield request.reply(muniment.Text(text))


class Fine(muniment.Filter):
    """Finds everything fine."""

    name = "bench-fine"

    def check(self, content):
        return content.allow()


class Length(muniment.Evaluator):
    """Counts characters."""

    name, measures = "bench-length", (muniment.Measure("characters"),)

    def evaluate(self, generation):
        return {"characters": len(generation.text)}


@muniment.hookimpl
def muniment_generators(register):
    register(Echo)


@muniment.hookimpl
def muniment_filters(register):
    register(Fine)


@muniment.hookimpl
def muniment_evaluators(register):
    register(Length)
'''

SETTINGS = 'evaluators = "bench-length"\nactor = "bench"\n'
POLICY = 'policy: bench\nversion: "1"\nfilters:\n  - filter: bench-fine\n    stages: [output]\n'
PROMPT = "最近我国成功发射了新的卫星"


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Bench:
    """One way to run the plugin, in process or isolated."""

    def __init__(self, home: Path, *, isolate: bool) -> None:
        self.home = home
        self.isolate = isolate
        self.policy = home / "bench.yaml"
        home.mkdir()
        (home / "config.toml").write_text(SETTINGS)
        self.policy.write_text(POLICY)

    def session(self) -> Session:
        sys.modules.pop("muniment_bench_isolation", None)
        plugins = Plugins([Plugin("bench-isolation", "1", "bench", "muniment_bench_isolation")])
        return Session(self.home, plugins=plugins, isolate=self.isolate)

    def start(self) -> float:
        session = self.session()
        spec = GenerationSpec(PROMPT, generator="bench-echo")
        with contextlib.closing(session):
            return timed(lambda: list(session.run([spec], policy=self.policy)))

    def recorded(self, session: Session, count: int) -> float:
        specs = [GenerationSpec(f"{PROMPT} {n}", generator="bench-echo") for n in range(count)]
        run = timed(lambda: list(session.run(specs, policy=self.policy, batch_size=32)))
        return run / count

    def bare(self, session: Session, prompt: str, count: int) -> float:
        registered = session.plugins.find("generator", "bench-echo")
        generator = instantiate(registered)
        requests = [Request(str(n), prompt, n) for n in range(count)]
        return timed(lambda: list(run_generator(generator, registered, requests))) / count


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--requests", type=int, default=512)
    options = parser.parse_args()
    figures: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        (Path(folder) / "muniment_bench_isolation.py").write_text(PLUGIN)
        sys.path.insert(0, folder)
        ways = {
            "in_process": Bench(Path(folder) / "in_process", isolate=False),
            "isolated": Bench(Path(folder) / "isolated", isolate=True),
        }
        sessions = {
            name: stack.enter_context(contextlib.closing(way.session()))
            for name, way in ways.items()
        }
        for name, way in ways.items():
            way.recorded(sessions[name], 32)  # creates the store and loads the plugin
        for _ in range(options.rounds):
            for name, way in ways.items():
                session = sessions[name]
                for figure, value in {
                    "start": way.start(),
                    "recorded": way.recorded(session, options.requests),
                    "bare": way.bare(session, PROMPT, options.requests),
                    "megabyte": way.bare(session, "megabyte", 16),
                }.items():
                    figures.setdefault(figure, {}).setdefault(name, []).append(value)
    result: dict[str, object] = {
        "benchmark": "isolation",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 2),
        "rounds": options.rounds,
        "requests": options.requests,
    }
    for figure, both in figures.items():
        here, there = (min(both[name]) for name in ("in_process", "isolated"))
        result[figure] = {
            "in_process_ms": round(here * 1000, 3),
            "isolated_ms": round(there * 1000, 3),
            "more_ms": round((there - here) * 1000, 3),
            "ratio": round(there / here, 2),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
