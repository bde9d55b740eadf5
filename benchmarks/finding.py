"""Measure the speed of lists by each filter, searches, single generations and statistics.

Fills a store with the recording functions (kept in `.bench/` for the next run) and runs each query
repeatedly with warm caches. Prints one JSON line with the median and the 95th percentile in
milliseconds of the first page of 20, of each query and of all lists and searches together. With
`--llm` it also compares whole processes, `muniment audit list -n 5` and `audit search` with
`llm logs -n 5` and `-q` over as many turns, alternately.

    python benchmarks/finding.py [--generations 50000] [--rounds 25] [--store FILE] [--llm]
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from filling import MODELS, NEWS, RARE, START, WORDS, fill, generations
from startup import BENCH, LLM_VERSION, compare, install_llm

from muniment.store import Query, Store
from muniment.store.queries.stats import GROUPS

PAGE = 20
LIST_LIMIT, SEARCH_LIMIT, SHOW_LIMIT = 50.0, 200.0, 5.0  # milliseconds at a million, p95
RATIO_LIMIT = 0.6

LLM_LOG = """
import json, sys
import sqlite_utils
from llm.migrations import migrate

path = sys.argv[1]
database = sqlite_utils.Database(path)
migrate(database)
connection = database.conn
connection.execute("PRAGMA synchronous = OFF")
connection.execute("INSERT INTO conversations (id, name, model) VALUES ('c', 'bench', 'bench')")
rows = (json.loads(line) for line in sys.stdin)
with connection:
    connection.executemany(
        "INSERT INTO responses (id, model, prompt, response, conversation_id, datetime_utc) "
        "VALUES (?, 'bench', ?, ?, 'c', ?)",
        rows,
    )
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generations", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=25, help="Number of runs of each query")
    parser.add_argument("--store", type=Path, help="Filled store")
    parser.add_argument("--llm", action="store_true", help="Comparison of whole processes with llm")
    options = parser.parse_args()

    BENCH.mkdir(exist_ok=True)
    path = options.store or BENCH / f"finding-{options.generations}.db"
    if not path.exists():
        partial = path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        with Store.open(f"sqlite:///{partial}", create=True) as store:
            fill(store, options.generations)
        partial.rename(path)
    with Store.open(f"sqlite:///{path}", create=False) as store:
        begin = time.perf_counter()
        total = store.stats().total
        spent = time.perf_counter() - begin
        begin = time.perf_counter()
        store.stats(by=GROUPS)
        grouped = time.perf_counter() - begin
        lists = measured(list_queries(store, total), options.rounds)
        searches = measured(search_queries(store), options.rounds)
        shows = measured({"show": show(store, total)}, 4 * options.rounds)
    result: dict[str, Any] = {
        "benchmark": "finding",
        "generations": total,
        "store_gb": round(path.stat().st_size / 1e9, 3),
        "python": sys.version.split()[0],
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "rounds": options.rounds,
        "list_ms": lists,
        "search_ms": searches,
        "show_ms": shows["show"],
        "stats_s": round(spent, 2),
        "stats_by_all_groups_s": round(grouped, 2),
        "limits_ms": {"list": LIST_LIMIT, "search": SEARCH_LIMIT, "show": SHOW_LIMIT},
        "ok": lists["all"]["p95"] <= LIST_LIMIT
        and searches["all"]["p95"] <= SEARCH_LIMIT
        and shows["show"]["p95"] <= SHOW_LIMIT,
    }
    if options.llm:
        result["compared_with"] = f"llm {LLM_VERSION}"
        result["processes"] = beside_llm(path, total)
    print(json.dumps(result))


def list_queries(store: Store, total: int) -> Mapping[str, Callable[[], object]]:
    """Return lists by each filter and by several, with common and rare values and without any."""
    newest = next(store.generations(Query(limit=1)))
    middle = START + timedelta(seconds=total // 2)
    wanted: dict[str, dict[str, Any]] = {
        "nothing": {},
        "status completed": {"status": "completed"},
        "status failed": {"status": "failed"},
        "status interrupted": {"status": "interrupted"},
        "generator": {"generator": "text"},
        "generator unknown": {"generator": "nobody"},
        "model": {"model": MODELS[0].name},
        "model rare": {"model": MODELS[2].digest[:20]},
        "decision flag": {"decision": "flag"},
        "filter": {"filter": "blocklist"},
        "filter block": {"filter": "blocklist", "decision": "block"},
        "filter never": {"filter": "patterns", "decision": "block"},
        "actor": {"actor": "actor-3"},
        "actor rare": {"actor": "rare-actor"},
        "tag": {"tag": "nightly"},
        "tag rare": {"tag": "rare"},
        "run": {"run": newest.run_id},
        "seed": {"seed": newest.seed},
        "since": {"since": newest.started_at - timedelta(hours=1)},
        "until": {"until": middle},
        "between": {"since": middle, "until": middle + timedelta(hours=1)},
        "status, decision: none": {"status": "completed", "decision": "block"},
        "generator, status, model": {
            "generator": "images",
            "status": "failed",
            "model": MODELS[1].name,
        },
        "tag, status": {"tag": "nightly", "status": "failed"},
        "actor, tag rare": {"actor": "actor-5", "tag": "rare"},
        "status, until": {"status": "blocked", "until": middle},
        "actor, since, filter block": {
            "actor": "actor-3",
            "since": middle,
            "filter": "blocklist",
            "decision": "block",
        },
    }
    return {
        name: lambda given=given: list(store.generations(Query(**given, limit=PAGE)))
        for name, given in wanted.items()
    }


def search_queries(store: Store) -> Mapping[str, Callable[[], object]]:
    """Return searches for common and rare words and phrases, English and Chinese, some filtered."""
    wanted: dict[str, tuple[str, dict[str, Any]]] = {
        "common": ("the", {}),
        "two common": ("the of", {}),
        "common phrase": ('"of the"', {}),
        "rare": (RARE, {}),
        "rare and common": (f"{RARE} the", {}),
        "nothing": ("qqqqq", {}),
        "one character": ("国", {}),
        "common character": ("不", {}),
        "two characters": ("卫星", {}),
        "a sentence": (NEWS, {}),
        "mixed": (f"国 {RARE}", {}),
        "common, status": ("the", {"status": "failed"}),
        "common, tag rare": ("the", {"tag": "rare"}),
        "common, actor rare": ("不", {"actor": "rare-actor"}),
        "common, until": ("the", {"until": START + timedelta(hours=1)}),
    }
    return {
        name: lambda text=text, given=given: list(store.search(text, Query(**given, limit=PAGE)))
        for name, (text, given) in wanted.items()
    }


def show(store: Store, total: int) -> Callable[[], object]:
    """Return a call that shows a random one of the newest thousand, by the end of its id."""
    ids = [g.id for g in store.generations(Query(limit=min(total, 1000)))]
    source = random.Random(3)
    return lambda: store.generation(store.find(source.choice(ids)[-12:]))


def measured(
    queries: Mapping[str, Callable[[], object]], rounds: int
) -> dict[str, dict[str, float]]:
    """Run all queries alternately and return the times by query and of all.

    One unmeasured run comes first.

    `cpu_p95` is processor time, which does not depend on the load of other processes.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in queries}
    for number in range(rounds + 1):
        for name, ask in queries.items():
            begin, worked = time.perf_counter(), time.process_time()
            ask()
            if number:
                spent = time.perf_counter() - begin, time.process_time() - worked
                times[name].append((spent[0] * 1000, spent[1] * 1000))
    times["all"] = list(itertools.chain.from_iterable(times.values()))
    return {
        name: {
            "p50": round(statistics.median(wall for wall, _ in held), 2),
            "p95": _p95(wall for wall, _ in held),
            "cpu_p95": _p95(cpu for _, cpu in held),
        }
        for name, held in times.items()
    }


def _p95(values: Iterable[float]) -> float:
    return round(statistics.quantiles(values, n=20, method="inclusive")[-1], 2)


def beside_llm(path: Path, total: int) -> dict[str, object]:
    """Compare whole processes with llm over a log of the same prompts and outputs."""
    programs = install_llm()
    home = BENCH / f"llm-finding-{total}"
    if not (home / "logs.db").exists():
        home.mkdir(parents=True, exist_ok=True)
        writer = subprocess.Popen(
            [programs / "python", "-c", LLM_LOG, home / "logs.partial"], stdin=subprocess.PIPE
        )
        assert writer.stdin is not None
        for _, g in itertools.islice(generations(1, WORDS), total):
            row = (g.id.lower(), g.prompt, g.text, g.started_at.isoformat())
            writer.stdin.write(json.dumps(row).encode() + b"\n")
        writer.stdin.close()
        if writer.wait() != 0:
            raise SystemExit("llm's log could not be written")
        (home / "logs.partial").rename(home / "logs.db")
    muniment = [str(Path(sys.executable).parent / "muniment"), "--store", f"sqlite:///{path}"]
    llm = str(programs / "llm")
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MUNIMENT_")}
    theirs = {**os.environ, "LLM_USER_PATH": str(home)}
    commands = {
        "list": ([*muniment, "audit", "list", "-n", "5"], [llm, "logs", "-n", "5"]),
        "search": (
            [*muniment, "audit", "search", RARE, "-n", "5"],
            [llm, "logs", "-q", RARE, "-n", "5"],
        ),
        "search common": (
            [*muniment, "audit", "search", "the", "-n", "5"],
            [llm, "logs", "-q", "the", "-n", "5"],
        ),
    }
    return {
        name: compare((mine, ours), (other, theirs), 11, RATIO_LIMIT)
        for name, (mine, other) in commands.items()
    }


if __name__ == "__main__":
    main()
