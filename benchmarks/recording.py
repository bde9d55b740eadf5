"""Measure durable recording, with payloads and search rows, beside programs that only insert.

A generator that does almost no work, two filters that judge the output and two evaluators with a
score each make generations with prompts and outputs in English and Chinese. They are recorded in
chunks of 256 by the calls of the store alone (`store`) and by the whole pipeline (`pipeline`). By
turns, `recording_peers.py` inserts the very rows of such a store, its search terms among them, with
`Table.insert()` of SQLAlchemy and with `executemany` of the driver, in two commits a chunk. Every
turn begins with a copy of the same store, and its first chunk is not measured.

Then generations are recorded one at a time: by one process, by as many processes as `--processes`
at the same time, which share the generations, and with `--llm` by `log_to_db` of llm, which is
installed into `.bench/`. The wait for the lock is the time until a write transaction has begun.

All commits are durable (`synchronous=FULL`). A ratio is the median of the ratios of the rounds,
each the time of the other program divided by ours. Prints one JSON line. With `--store`, which
names an empty database of a server, no peer is measured.

    python benchmarks/recording.py [--generations N] [--words N] [--rounds N] [--single N]
        [--processes N] [--llm] [--store URL]
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import multiprocessing
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, NamedTuple

from filling import CHUNK, Texts, writes
from recording_peers import Commits, LlmLog, Timer, captured, insert_by_core, insert_by_driver

import muniment
from muniment.ids import new_id
from muniment.plugins.discovery import Plugin
from muniment.plugins.registry import Plugins
from muniment.store import Store
from muniment.store.database.engine import Database

POLICY = """
policy: bench
version: "1"
filters:
  - {filter: bench-short, stages: [output]}
  - {filter: bench-plain, stages: [output]}
"""
DECLARED = {name: frozenset({"length"}) for name in ("bench-short", "bench-plain")}
PLUGIN = Plugin("muniment-bench", "0.1", "bench", "recording_plugin")
LIMITS = {
    "store ÷ Table.insert()": 0.75,
    "store ÷ executemany": 0.5,
    "one process ÷ llm, journal mode default": 1.0,
    "16 processes ÷ one process": 0.8,
}

Pair = tuple[muniment.Generation, muniment.Generation]
"""A generation as started and as ended."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--generations", type=int, default=CHUNK * 20, help="In each turn")
    arguments.add_argument("--words", type=int, default=60, help="Words of an output")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--single", type=int, default=320, help="One at a time in each turn")
    arguments.add_argument("--processes", type=int, default=16)
    arguments.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    arguments.add_argument("--llm", action="store_true", help="Comparison with llm")
    arguments.add_argument("--store", default=None, help="Empty store to use instead of files")
    options = arguments.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        stores = Stores(Path(folder), options.store)
        Path(folder, "policy.yaml").write_text(POLICY)
        texts = prompts(options.words)
        with session(stores.base, folder) as opened:
            sizes = {"chunks": options.generations, "single": options.single}
            needed = max(sizes[part] for part in options.only)
            pairs = list(generated(opened, texts, needed))
        figures = {
            "benchmark": "recording",
            "date": datetime.now(UTC).date().isoformat(),
            "database": stores.base.partition(":")[0],
            "chunk": CHUNK,
            "output_words": options.words,
            "rounds": options.rounds,
        }
        for part in options.only:
            figures |= PARTS[part](stores, texts, pairs, options)
        figures |= {
            "limits": LIMITS,
            "load_average": [round(load, 1) for load in os.getloadavg()],
            "cores": os.cpu_count(),
        }
        print(json.dumps(figures, ensure_ascii=False))


class Stores:
    """The stores of the turns, which are copies of one file, or one database of a server.

    Attributes:
        folder: The folder of the files, which also has the policy.
        base: The URL of the store that is copied.
        files: Whether every turn has a file of its own.
    """

    def __init__(self, folder: Path, server: str | None) -> None:
        self.folder, self.files = folder, server is None
        self.base = server or f"sqlite:///{folder}/base.db"

    def url(self, name: str) -> str:
        """Return the URL of the last copy with this name, or of the server's database."""
        return f"sqlite:///{self.folder}/{name}.db" if self.files else self.base

    def copy(self, name: str) -> str:
        """Copy the store, and return the URL of the copy or of the server's database."""
        if self.files:
            path = path_of(self.url(name))
            for suffix in ("", "-wal", "-shm"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
            source = sqlite3.connect(path_of(self.base))
            with closing(source), closing(sqlite3.connect(path)) as target:
                source.backup(target)
        return self.url(name)


def path_of(url: str) -> Path:
    """Return the file of an SQLite store."""
    return Path(url.removeprefix("sqlite:///"))


def session(url: str, home: str | Path) -> muniment.Session:
    """Open a session with the benchmark's plugin only."""
    return muniment.Session(home, store=url, actor="bench", plugins=Plugins([PLUGIN]))


def asked(url: str, *command: str) -> dict[str, Any]:
    """Return the result of a command of `muniment audit`."""
    program = [sys.executable, "-m", "muniment", "--store", url, "audit", *command, "--json"]
    printed = subprocess.run(program, check=True, stdout=subprocess.PIPE).stdout
    result: dict[str, Any] = json.loads(printed)
    return result


def is_sound(url: str) -> bool:
    """Return whether a store has no problems."""
    return bool(asked(url, "verify", "--projections", "--payloads")["ok"])


def prompts(words: int) -> list[str]:
    """Return prompts, from each of which the generator makes an output of `words` words."""
    source = random.Random(7)
    texts = Texts(source)
    return [
        texts.chinese(words // 3) if number % 3 == 0 else texts.english(words // 3)
        for number in range(997)
    ]


def generated(opened: muniment.Session, texts: Sequence[str], count: int) -> Iterator[Pair]:
    """Run requests through the pipeline and yield the generations."""
    specs = (muniment.GenerationSpec(texts[n % len(texts)], "free") for n in range(count))
    for ended in opened.run(specs, policy=opened.home / "policy.yaml", batch_size=CHUNK):
        assert isinstance(ended, muniment.Generation)
        assert ended.status == "completed", ended.failure
        started = replace(
            ended,
            status="started",
            finished_at=None,
            outputs=(),
            verdicts=(),
            scores=(),
            usage=None,
            environment={},
            plugins=ended.plugins[-1:],
        )
        yield started, ended


def renewed(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the generations with new ids, so that a store can have both."""
    run = new_id()
    ids = [{"id": new_id(), "run_id": run} for _ in pairs]
    return [(replace(s, **id), replace(e, **id)) for (s, e), id in zip(pairs, ids, strict=True)]


def by_turns(turns: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[Any]]:
    """Make every turn in each round, beginning with another one, and return the results."""
    results: dict[str, list[Any]] = {name: [] for name in turns}
    for number in range(rounds):
        names = list(turns)
        for name in itertools.islice(itertools.cycle(names), number, number + len(names)):
            gc.collect()
            gc.freeze()  # the garbage collector would visit the generations and rows of all turns
            results[name].append(turns[name]())
            print(f"round {number + 1}: {name} {results[name][-1]}", file=sys.stderr)
    return results


def compared(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """Return the ratios of the rounds, each their seconds divided by ours, and the median."""
    ratios = [their / our for our, their in zip(ours, theirs, strict=True)]
    return {
        "median": round(statistics.median(ratios), 3),
        "rounds": [round(ratio, 3) for ratio in ratios],
    }


# ---- in chunks ------------------------------------------------------------------------------


def in_chunks(
    stores: Stores, texts: Sequence[str], pairs: Sequence[Pair], options: argparse.Namespace
) -> dict[str, Any]:
    """Measure recording in chunks, by turns with the peers."""
    pairs = pairs[: options.generations]
    turns: dict[str, Callable[[], Timer]] = {
        "store": lambda: by_store(stores.copy("store"), pairs),
        "pipeline": lambda: by_pipeline(stores, texts, len(pairs)),
    }
    rows: Sequence[Commits] = ()
    if stores.files:
        with Store.open(url := stores.copy("rows"), create=False) as store:
            rows = captured(
                path_of(url), (writes(store, chunk, POLICY, DECLARED) for chunk in chunks(pairs))
            )
        turns["Table.insert()"] = lambda: by_peer(insert_by_core, stores.copy("core"), rows)
        turns["executemany"] = lambda: by_peer(insert_by_driver, stores.copy("driver"), rows)
    timers = by_turns(turns, options.rounds)
    wall = {name: [timer.wall for timer in held] for name, held in timers.items()}
    processor = {name: [timer.processor for timer in held] for name, held in timers.items()}
    count = len(pairs)
    peers = turns.keys() - {"store", "pipeline"}
    return {
        "generations": count,
        "chunks_verified": is_sound(stores.url("store")),
        "rows": sum(len(r.values) for commits in rows[1:] for commit in commits for r in commit),
        "per_second": {name: round(count / statistics.median(wall[name])) for name in turns},
        "recorded_per_processor_second": round(count / statistics.median(processor["store"])),
        "pipeline_per_processor_second": round(count / statistics.median(processor["pipeline"])),
        **{
            f"{ours} ÷ {peer}": compared(wall[ours], wall[peer])
            for ours in ("store", "pipeline")
            for peer in sorted(peers)
        },
        **{
            f"{ours} ÷ {peer}, processor time": compared(processor[ours], processor[peer])
            for ours in ("store", "pipeline")
            for peer in sorted(peers)
        },
    }


def chunks(pairs: Sequence[Pair]) -> Iterator[Sequence[Pair]]:
    """Yield chunks with new ids. The first is an additional one, which is not measured."""
    yield renewed(pairs[:CHUNK])
    new = renewed(pairs)
    for start in range(0, len(new), CHUNK):
        yield new[start : start + CHUNK]


def by_store(url: str, pairs: Sequence[Pair]) -> Timer:
    """Record chunks with the calls of the store."""
    timer = Timer()
    with Store.open(url, create=False) as store:
        first, *others = chunks(pairs)
        for write in writes(store, first, POLICY, DECLARED):
            write()
        with timer.running():
            for chunk in others:
                for write in writes(store, chunk, POLICY, DECLARED):
                    write()
    return timer


def by_pipeline(stores: Stores, texts: Sequence[str], count: int) -> Timer:
    """Generate and record as many with the whole pipeline."""
    timer = Timer()
    with session(stores.copy("pipeline"), stores.folder) as opened:
        for _ in generated(opened, texts, CHUNK):
            pass
        with timer.running():
            for _ in generated(opened, texts, count):
                pass
    return timer


def by_peer(
    insert: Callable[[Path, Sequence[Commits], Timer], None], url: str, rows: Sequence[Commits]
) -> Timer:
    """Insert the rows with a peer."""
    timer = Timer()
    insert(path_of(url), rows, timer)
    return timer


# ---- one at a time --------------------------------------------------------------------------


class Concurrent(NamedTuple):
    """The wall time from the first begin to the last end, and the processor time of all processes.

    `waits` are the seconds of each wait for the lock.
    """

    wall: float
    processor: float
    waits: Sequence[float]

    def __repr__(self) -> str:
        return f"{self.wall:.2f}s, {self.processor:.2f}s of processor time"


def one_at_a_time(
    stores: Stores, texts: Sequence[str], pairs: Sequence[Pair], options: argparse.Namespace
) -> dict[str, Any]:
    """Measure recording one at a time, by turns with several processes and with llm."""
    pairs = pairs[: options.single]
    many = f"{options.processes} processes"
    turns: dict[str, Callable[[], Any]] = {
        "one process": lambda: concurrently(stores.copy("one"), pairs, 1),
        many: lambda: concurrently(stores.copy("many"), pairs, options.processes),
    }
    logs = {}
    if options.llm:
        logs = {
            f"llm, journal mode {mode}": LlmLog(stores.folder / f"llm-{mode}.db", mode)
            for mode in ("default", "wal")
        }
        turns |= {name: lambda log=log: log.log(outputs) for name, log in logs.items()}
        outputs = [(ended.prompt, ended.text) for _, ended in pairs]
    results = by_turns(turns, options.rounds)
    for log in logs.values():
        log.close()
    one, several = results["one process"], results[many]
    waits = [wait for result in several for wait in result.waits]
    figures = {
        "one_at_a_time": len(pairs),
        "one_at_a_time_verified": is_sound(stores.url("many")),
        "one_at_a_time_per_second": {
            name: round(len(pairs) / statistics.median(result.wall for result in held), 1)
            for name, held in results.items()
        },
        f"{many} ÷ one process": compared(_times(several, "wall"), _times(one, "wall")),
        f"wait of {many} for the lock": {
            "part_of_time": round(sum(waits) / sum(_times(several, "wall")) / options.processes, 3),
            "mean_ms": round(1000 * statistics.mean(waits), 1),
            "p99_ms": round(1000 * statistics.quantiles(waits, n=100)[-1], 1),
            "longest_ms": round(1000 * max(waits), 1),
        },
    }
    for name in logs:
        for kind, suffix in (("wall", ""), ("processor", ", processor time")):
            figures[f"one process ÷ {name}{suffix}"] = compared(
                _times(one, kind), _times(results[name], kind)
            )
    return figures


def _times(results: Sequence[Any], kind: str) -> list[float]:
    return [getattr(result, kind) for result in results]


def concurrently(url: str, pairs: Sequence[Pair], processes: int) -> Concurrent:
    """Record generations one at a time in several processes, which share them."""
    before = asked(url, "stats")["total"]
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(processes), context.SimpleQueue()
    parts = [renewed(pairs[number::processes]) for number in range(processes)]
    workers = [
        context.Process(target=record_singly, args=(url, part, barrier, results)) for part in parts
    ]
    for worker in workers:
        worker.start()
    begins, ends, processor, waits = zip(*(results.get() for _ in workers), strict=True)
    for worker in workers:
        worker.join()
    assert asked(url, "stats")["total"] == before + len(pairs) + processes
    wall, all_waits = max(ends) - min(begins), list(itertools.chain.from_iterable(waits))
    return Concurrent(wall, sum(processor), all_waits)


def record_singly(
    url: str, pairs: Sequence[Pair], barrier: Barrier, results: SimpleQueue[Any]
) -> None:
    """Record generations one at a time, after one that is not measured."""
    waits: list[float] = []
    writing = Database.writing

    @contextmanager
    def timed(self: Database, **options: Any) -> Iterator[Any]:
        begin = time.perf_counter()
        with writing(self, **options) as connection:
            waits.append(time.perf_counter() - begin)
            yield connection

    Database.writing = timed  # type: ignore[method-assign]
    with Store.open(url, create=False) as store:
        for write in writes(store, renewed(pairs[:1]), POLICY, DECLARED):
            write()
        waits.clear()
        barrier.wait()
        begin = time.monotonic()  # the same clock in all processes
        processor = time.process_time()
        for pair in pairs:
            for write in writes(store, [pair], POLICY, DECLARED):
                write()
        results.put((begin, time.monotonic(), time.process_time() - processor, waits))


PARTS = {"chunks": in_chunks, "single": one_at_a_time}

if __name__ == "__main__":
    main()
