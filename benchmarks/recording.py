"""Measure durable recording, with payloads and search rows.

Whole batches go through `Session.run` with a generator that does almost no work, two filters that
judge the output, two evaluators with a score each, and prompts and outputs in English and Chinese.
The time of recording is that of the store's two calls for each chunk. `pipeline` is the total time.
One at a time means one transaction each. The processes write one file concurrently, and the
generations are counted afterwards. Prints one JSON line.

    python benchmarks/recording.py [--generations N] [--words N] [--processes N] [--store URL]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filling import Texts

import muniment
from muniment.plugins.registry import Plugin, Plugins
from muniment.store import Store

CHUNK = 256
POLICY = """
policy: bench
version: "1"
filters:
  - {filter: bench-short, stages: [output]}
  - {filter: bench-plain, stages: [output]}
"""
PLUGIN = Plugin("muniment-bench", "0.1", "bench", "recording_plugin")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--generations", type=int, default=256 * 80)
    arguments.add_argument("--words", type=int, default=60, help="Words of an output")
    arguments.add_argument("--single", type=int, default=300, help="Generations for one at a time")
    arguments.add_argument("--processes", type=int, default=16)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--store", default=None, help="Empty store to use instead of a new file")
    options = arguments.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        url = options.store or f"sqlite:///{folder}/muniment.db"
        Path(folder, "policy.yaml").write_text(POLICY)
        prompts = pool(options.words)
        with session(url, folder) as opened:
            batch(opened, prompts, CHUNK)  # imports modules and creates the store
            rounds = [
                batch(opened, prompts, options.generations // options.rounds)
                for _ in range(options.rounds)
            ]
            best = max(rounds, key=lambda figures: figures["recorded_per_second"])
            alone = batch(opened, prompts, options.single, size=1)
        context = multiprocessing.get_context("spawn")
        with context.Pool(options.processes) as workers:
            workers.map(warm, range(options.processes), chunksize=1)
            start = time.perf_counter()
            each = options.single // 10
            tasks = [(url, folder, options.words, each)] * options.processes
            workers.starmap(one_by_one, tasks, chunksize=1)
            spent = time.perf_counter() - start
        with Store.open(url, create=False) as store:
            recorded = sum(1 for _ in store.generations())
            verified = store.verify(projections=True, payloads=True).ok
        expected = CHUNK + options.generations // options.rounds * options.rounds
        expected += options.single + each * options.processes
        print(
            json.dumps(
                {
                    "benchmark": "recording",
                    "database": url.partition(":")[0],
                    "chunk": CHUNK,
                    "output_words": options.words,
                    "generations": expected,
                    "exact_count": recorded == expected,
                    "verified": verified,
                    **best,
                    "recorded_per_second_of_each_round": [
                        figures["recorded_per_second"] for figures in rounds
                    ],
                    "one_at_a_time_per_second": alone["recorded_per_second"],
                    "processes": options.processes,
                    "one_at_a_time_from_processes_per_second": round(
                        each * options.processes / spent
                    ),
                    "load_average": [round(load, 1) for load in os.getloadavg()],
                    "cores": os.cpu_count(),
                }
            )
        )


def session(url: str, home: str) -> muniment.Session:
    """Open a session with the benchmark's plugin only."""
    opened = muniment.Session(home, store=url, actor="bench", plugins=Plugins([PLUGIN]))
    opened._writer = TimedStore.open(url, create=True)
    return opened


def pool(words: int) -> list[str]:
    """Return prompts, from which the generator makes the outputs."""
    source = random.Random(7)
    texts = Texts(source)
    return [
        texts.chinese(words) if number % 3 == 0 else texts.english(words) for number in range(997)
    ]


class TimedStore(Store):
    """A store that adds up the time of recording."""

    spent = processor = 0.0

    def record_started(self, *given: Any, **options: Any) -> None:
        """Record and add the time."""
        with self._timed():
            super().record_started(*given, **options)

    def record_outcomes(self, *given: Any, **options: Any) -> None:
        """Record and add the time."""
        with self._timed():
            super().record_outcomes(*given, **options)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        start, processor = time.perf_counter(), time.process_time()
        yield
        self.spent += time.perf_counter() - start
        self.processor += time.process_time() - processor


def batch(
    opened: muniment.Session, prompts: Sequence[str], count: int, *, size: int = CHUNK
) -> dict[str, float]:
    """Run the requests through the pipeline and return the speed."""
    specs = (
        muniment.GenerationSpec(prompts[number % len(prompts)][:60], "free")
        for number in range(count)
    )
    store = opened._writer
    assert isinstance(store, TimedStore)
    store.spent = store.processor = 0.0
    whole, processor = time.perf_counter(), time.process_time()
    found = opened.run(specs, policy=opened.home / "policy.yaml", batch_size=size)
    done = sum(1 for item in found if getattr(item, "status", "") == "completed")
    whole, processor = time.perf_counter() - whole, time.process_time() - processor
    assert done == count, done
    return {
        "recorded_per_second": round(count / store.spent),
        "recorded_per_processor_second": round(count / store.processor),
        "pipeline_per_second": round(count / whole),
        "pipeline_per_processor_second": round(count / processor),
    }


def warm(number: int) -> None:
    """Import the modules for recording in a process of the pool."""
    sys.path.insert(0, str(Path(__file__).parent))
    time.sleep(0.2)  # so that every process of the pool runs one


def one_by_one(url: str, home: str, words: int, count: int) -> None:
    """Record generations one at a time."""
    with session(url, home) as opened:
        batch(opened, pool(words), count, size=1)


if __name__ == "__main__":
    main()
